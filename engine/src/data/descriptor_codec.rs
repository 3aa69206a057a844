//! The written form of a descriptor, which goes with every changelog, snapshot and typed topic, and its hash.
//!
//! Little-endian, depth first:
//!
//! ```text
//! descriptor  name: text, version: u32, size: u32, shape
//! text        length: u16, UTF-8
//! shape       0 primitive: u8 | 1 string | 2 option: descriptor | 3 vec: descriptor
//!             | 4 array: length u32, descriptor | 5 tuple: fields | 6 struct: fields
//!             | 7 enum: count u16, { name: text, tag: u8, fields }
//! fields      count: u16, { name: text, offset: u32, flags: u8 (1 = has a default), descriptor }
//! ```

use super::{Descriptor, Field, Node, Primitive, Shape, Variant};
use std::{borrow::Cow, sync::Arc};
use xxhash_rust::xxh3::xxh3_64;

/// Deeper nesting is refused when a descriptor is read: the reader recurses.
const DEPTH_MAX: u32 = 32;

const PRIMITIVE: u8 = 0;
const STRING: u8 = 1;
const OPTION: u8 = 2;
const VEC: u8 = 3;
const ARRAY: u8 = 4;
const TUPLE: u8 = 5;
const STRUCT: u8 = 6;
const ENUM: u8 = 7;
const HAS_DEFAULT: u8 = 1;

/// Why bytes are not a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorError {
    /// They end too early.
    #[error("descriptor ends after {0} bytes, in the middle")]
    Truncated(usize),
    /// A tag or flag that this version does not know, or text that is not UTF-8.
    #[error("descriptor byte {at}: {what}")]
    Malformed {
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

impl Descriptor {
    /// Appends the written form.
    ///
    /// # Panics
    /// If a name is longer than 64 KiB, or a type has more than 65,535 fields: the derive can't produce either.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        Writer { out, names: true }.descriptor(self);
    }

    /// Reads a written descriptor from the front of `bytes`; returns it and what follows.
    ///
    /// # Errors
    /// If the bytes are not a descriptor. Nothing is allocated on the word of a count.
    pub fn read_from(bytes: &[u8]) -> Result<(Self, &[u8]), DescriptorError> {
        let mut reader = Reader { bytes, at: 0 };
        let descriptor = reader.descriptor(0)?;
        Ok((descriptor, &bytes[reader.at..]))
    }

    /// XXH3-64 of the written form without what does not concern bytes: names of types, and defaults. Equal hashes
    /// may be read in place.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut out = Vec::new();
        Writer { out: &mut out, names: false }.descriptor(self);
        xxh3_64(&out)
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Whether the names of types and the defaults are written.
    names: bool,
}

impl Writer<'_> {
    fn count(&mut self, count: usize) {
        let count = u16::try_from(count).expect("names and field lists of the derive are short");
        self.out.extend_from_slice(&count.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.out.extend_from_slice(text.as_bytes());
    }

    fn descriptor(&mut self, descriptor: &Descriptor) {
        self.text(if self.names { &descriptor.name } else { "" });
        self.out.extend_from_slice(&descriptor.version.to_le_bytes());
        self.out.extend_from_slice(&descriptor.size.to_le_bytes());
        match &descriptor.shape {
            Shape::Primitive(primitive) => self.out.extend_from_slice(&[PRIMITIVE, *primitive as u8]),
            Shape::String => self.out.push(STRING),
            Shape::Option(ty) => self.tagged(OPTION, ty),
            Shape::Vec(ty) => self.tagged(VEC, ty),
            Shape::Array(ty, len) => {
                self.out.push(ARRAY);
                self.out.extend_from_slice(&len.to_le_bytes());
                self.descriptor(ty);
            }
            Shape::Tuple(fields) => {
                self.out.push(TUPLE);
                self.fields(fields);
            }
            Shape::Struct(fields) => {
                self.out.push(STRUCT);
                self.fields(fields);
            }
            Shape::Enum(variants) => {
                self.out.push(ENUM);
                self.count(variants.len());
                for variant in variants.iter() {
                    self.text(&variant.name);
                    self.out.push(variant.tag);
                    self.fields(&variant.fields);
                }
            }
        }
    }

    fn tagged(&mut self, tag: u8, descriptor: &Descriptor) {
        self.out.push(tag);
        self.descriptor(descriptor);
    }

    fn fields(&mut self, fields: &[Field]) {
        self.count(fields.len());
        for field in fields {
            self.text(&field.name);
            self.out.extend_from_slice(&field.offset.to_le_bytes());
            self.out.push(if field.default && self.names { HAS_DEFAULT } else { 0 });
            self.descriptor(&field.ty);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DescriptorError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.first_chunk().ok_or(DescriptorError::Truncated(self.bytes.len()))?;
        self.at += N;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, DescriptorError> {
        Ok(self.take::<1>()?[0])
    }

    fn number(&mut self) -> Result<u32, DescriptorError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn count(&mut self) -> Result<usize, DescriptorError> {
        Ok(usize::from(u16::from_le_bytes(self.take()?)))
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, DescriptorError> {
        Err(DescriptorError::Malformed { at: self.at.saturating_sub(1), what })
    }

    fn text(&mut self) -> Result<Cow<'static, str>, DescriptorError> {
        let len = self.count()?;
        let text = self.bytes[self.at..].get(..len).ok_or(DescriptorError::Truncated(self.bytes.len()))?;
        let Ok(text) = std::str::from_utf8(text) else { return self.malformed("a name that is not UTF-8") };
        self.at += len;
        Ok(Cow::Owned(text.to_owned()))
    }

    fn descriptor(&mut self, depth: u32) -> Result<Descriptor, DescriptorError> {
        if depth > DEPTH_MAX {
            return self.malformed("nested too deeply");
        }
        let name = self.text()?;
        let version = self.number()?;
        let size = self.number()?;
        let shape = match self.byte()? {
            PRIMITIVE => match Primitive::ALL.get(usize::from(self.byte()?)) {
                Some(primitive) => Shape::Primitive(*primitive),
                None => return self.malformed("unknown primitive"),
            },
            STRING => Shape::String,
            OPTION => Shape::Option(self.shared(depth)?),
            VEC => Shape::Vec(self.shared(depth)?),
            ARRAY => {
                let len = self.number()?;
                Shape::Array(self.shared(depth)?, len)
            }
            TUPLE => Shape::Tuple(self.fields(depth)?),
            STRUCT => Shape::Struct(self.fields(depth)?),
            ENUM => Shape::Enum(self.variants(depth)?),
            _ => return self.malformed("unknown shape"),
        };
        Ok(Descriptor { name, version, size, shape })
    }

    fn shared(&mut self, depth: u32) -> Result<Node<Descriptor>, DescriptorError> {
        Ok(Node::Shared(Arc::new(self.descriptor(depth + 1)?)))
    }

    fn fields(&mut self, depth: u32) -> Result<Node<[Field]>, DescriptorError> {
        let mut fields = Vec::new();
        for _ in 0..self.count()? {
            let name = self.text()?;
            let offset = self.number()?;
            let default = match self.byte()? {
                0 => false,
                HAS_DEFAULT => true,
                _ => return self.malformed("unknown flags of a field"),
            };
            fields.push(Field { name, offset, ty: self.shared(depth)?, default });
        }
        Ok(Node::Shared(fields.into()))
    }

    fn variants(&mut self, depth: u32) -> Result<Node<[Variant]>, DescriptorError> {
        let mut variants = Vec::new();
        for _ in 0..self.count()? {
            let name = self.text()?;
            let tag = self.byte()?;
            variants.push(Variant { name, tag, fields: self.fields(depth)? });
        }
        Ok(Node::Shared(variants.into()))
    }
}
