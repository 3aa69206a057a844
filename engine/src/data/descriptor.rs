//! The archived form of a type, as data.

use std::{borrow::Cow, fmt, ops::Deref, sync::Arc};

/// The archived form of a type: its name, declared version, size and shape.
///
/// Descriptors of the program are static; those read from a changelog or a topic are owned. The name is a label: it
/// takes no part in equality, [`hash`](Self::hash) or [compatibility](Self::compatibility).
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// The type's name in the program that wrote it; empty for scalars, containers and tuples.
    pub name: Cow<'static, str>,
    /// Declared by `#[data(version = n)]`; 1 by default. Raise it when the meaning changes and the fields do not.
    pub version: u32,
    /// Bytes of the root.
    pub size: u32,
    /// What the root consists of.
    pub shape: Shape,
}

/// What an archived root consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// A scalar, little-endian.
    Primitive(Primitive),
    /// UTF-8.
    String,
    /// A tag byte (0 or 1), then the value.
    Option(Node<Descriptor>),
    /// A relative pointer and a length; the elements lie before the root.
    Vec(Node<Descriptor>),
    /// That many elements in place.
    Array(Node<Descriptor>, u32),
    /// Fields named "0", "1" and so on.
    Tuple(Node<[Field]>),
    /// Named fields, or a tuple struct's.
    Struct(Node<[Field]>),
    /// A tag byte, then the fields of the variant.
    Enum(Node<[Variant]>),
}

/// A scalar type.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Primitive {
    Unit = 0,
    Bool = 1,
    U8 = 2,
    U16 = 3,
    U32 = 4,
    U64 = 5,
    U128 = 6,
    I8 = 7,
    I16 = 8,
    I32 = 9,
    I64 = 10,
    I128 = 11,
    F32 = 12,
    F64 = 13,
    Char = 14,
}

impl Primitive {
    /// All of them, by tag.
    pub(super) const ALL: [Self; 15] = [
        Self::Unit,
        Self::Bool,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::U128,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::I128,
        Self::F32,
        Self::F64,
        Self::Char,
    ];
}

/// A field of a struct, tuple or variant. Equality is about bytes: it leaves `default` out.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name; the position for tuples.
    pub name: Cow<'static, str>,
    /// Bytes from the start of the root that holds it.
    pub offset: u32,
    /// Its type.
    pub ty: Node<Descriptor>,
    /// Whether a reader may fill it in when the writer did not have it: declared by `#[data(default)]`.
    pub default: bool,
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: Cow<'static, str>,
    /// The tag byte.
    pub tag: u8,
    /// Its fields, with offsets from the start of the enum.
    pub fields: Node<[Field]>,
}

/// A part of a descriptor: static in a program, shared when it was read.
pub enum Node<T: ?Sized + 'static> {
    /// Compiled in.
    Static(&'static T),
    /// Read from somewhere.
    Shared(Arc<T>),
}

impl Descriptor {
    /// A descriptor of a type that needs no name. Sizes are those of types: far below 4 GiB.
    #[must_use]
    pub const fn unnamed(size: usize, shape: Shape) -> Self {
        Self { name: Cow::Borrowed(""), version: 1, size: size as u32, shape }
    }

    /// A descriptor of a derived type.
    #[must_use]
    pub const fn named(name: &'static str, version: u32, size: usize, shape: Shape) -> Self {
        Self { name: Cow::Borrowed(name), version, size: size as u32, shape }
    }

    /// The field called `name`, if this is a struct or tuple that has it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        match &self.shape {
            Shape::Struct(fields) | Shape::Tuple(fields) => fields.iter().find(|field| field.name == name),
            _ => None,
        }
    }

    /// Whether the archived form holds no relative pointer: its bytes may be copied and kept anywhere.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        let flat = |fields: &[Field]| fields.iter().all(|field| field.ty.is_flat());
        match &self.shape {
            Shape::Primitive(_) => true,
            Shape::String | Shape::Vec(_) => false,
            Shape::Option(ty) | Shape::Array(ty, _) => ty.is_flat(),
            Shape::Tuple(fields) | Shape::Struct(fields) => flat(fields),
            Shape::Enum(variants) => variants.iter().all(|variant| flat(&variant.fields)),
        }
    }
}

impl Field {
    /// A field without a default.
    #[must_use]
    pub const fn new(name: &'static str, offset: usize, ty: &'static Descriptor) -> Self {
        Self { name: Cow::Borrowed(name), offset: offset as u32, ty: Node::Static(ty), default: false }
    }

    /// The same field with a default.
    #[must_use]
    pub const fn with_default(name: &'static str, offset: usize, ty: &'static Descriptor) -> Self {
        Self { name: Cow::Borrowed(name), offset: offset as u32, ty: Node::Static(ty), default: true }
    }
}

impl Variant {
    /// A variant of a derived enum.
    #[must_use]
    pub const fn new(name: &'static str, tag: u8, fields: &'static [Field]) -> Self {
        Self { name: Cow::Borrowed(name), tag, fields: Node::Static(fields) }
    }
}

impl PartialEq for Descriptor {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.size == other.size && self.shape == other.shape
    }
}

impl Eq for Descriptor {}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.offset == other.offset && self.ty == other.ty
    }
}

impl Eq for Field {}

/// Names the type as a user would write it, `Vec<(u64, String)>`, for messages.
impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shape {
            _ if !self.name.is_empty() => f.write_str(&self.name),
            Shape::Primitive(Primitive::Unit) => f.write_str("()"),
            Shape::Primitive(primitive) => f.write_str(&format!("{primitive:?}").to_lowercase()),
            Shape::String => f.write_str("String"),
            Shape::Option(ty) => write!(f, "Option<{}>", **ty),
            Shape::Vec(ty) => write!(f, "Vec<{}>", **ty),
            Shape::Array(ty, len) => write!(f, "[{}; {len}]", **ty),
            Shape::Tuple(fields) | Shape::Struct(fields) => {
                f.write_str("(")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", *field.ty)?;
                }
                f.write_str(")")
            }
            Shape::Enum(variants) => {
                let names: Vec<&str> = variants.iter().map(|variant| &*variant.name).collect();
                f.write_str(&names.join(" | "))
            }
        }
    }
}

impl<T: ?Sized> Deref for Node<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Static(value) => value,
            Self::Shared(value) => value,
        }
    }
}

impl<T: ?Sized> Clone for Node<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Static(value) => Self::Static(value),
            Self::Shared(value) => Self::Shared(Arc::clone(value)),
        }
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Node<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for Node<T> {}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
