//! The parts that records are made of.

use crate::table::spec::Width;

/// Begins the definition of a namespace, which gets the next free index of the run.
pub(super) const NAMESPACE: u8 = 1;
/// Begins a section of entries with their values.
pub(super) const PUT: u8 = 2;
/// Begins a section of removed entries.
pub(super) const REMOVE: u8 = 3;
/// A namespace that was dropped.
pub(super) const DROP: u8 = 4;
/// A range of a key's elements that was removed.
pub(super) const REMOVE_RANGE: u8 = 5;

/// How many namespaces a run can define: their index is one byte.
pub(super) const NAMESPACES_MAX: usize = 256;
/// How many records a section can have: their number is two bytes.
pub(super) const SECTION_MAX: u16 = u16::MAX;
/// Bytes of a section's head: tag, namespace, number of records.
pub(super) const SECTION_HEAD: usize = 4;

/// The tag of a bound that is absent.
pub(super) const UNBOUNDED: u8 = 0;
/// The tag of a bound that belongs to the range.
pub(super) const INCLUDED: u8 = 1;
/// The tag of a bound that does not.
pub(super) const EXCLUDED: u8 = 2;

/// Appends a number in groups of seven bits, the lowest first, with the eighth bit set in all but the last.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field: as it is if its width is fixed, otherwise after its length.
#[inline]
pub(super) fn put_field(out: &mut Vec<u8>, width: Width, bytes: &[u8]) {
    if width == Width::Variable {
        put_varint(out, bytes.len() as u64);
    }
    out.extend_from_slice(bytes);
}

/// A cursor over the records of a run. Positions in errors count from the run's first byte.
pub(super) struct Cursor<'a> {
    run: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Reads `run` from byte `at` on.
    pub(super) const fn new(run: &'a [u8], at: usize) -> Self {
        Self { run, at }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn remaining(&self) -> usize {
        self.run.len() - self.at
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at == self.run.len()
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.run[self.at..].get(..length)?;
        self.at += length;
        Some(bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.first_chunk().copied()
    }

    /// A number as [`put_varint`] writes it; only its shortest form.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A field as [`put_field`] writes it.
    pub(super) fn field(&mut self, width: Width) -> Option<&'a [u8]> {
        let length = match width {
            Width::Fixed(bytes) => bytes as usize,
            Width::Variable => usize::try_from(self.varint()?).ok()?,
        };
        self.bytes(length)
    }
}
