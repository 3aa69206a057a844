//! Reading out of a frame, never past its end and never on credit.

use super::SharedStr;
use bytes::Bytes;
use std::{fmt, str};

/// Memory that the arrays of one decoded message may take, in bytes. An array element can be 100 times as large in
/// memory as on the wire (an empty string is one byte there), so that the frame's size alone is no bound. A Fetch or
/// Metadata message of 200,000 partitions needs about a third of this.
pub const DECODED_BYTES_MAX: usize = 64 << 20;

/// Tagged fields that one structure may carry. Kafka's own have at most four; the rest is room for the future.
pub const TAGGED_FIELDS_MAX: u32 = 64;

/// What was wrong with the bytes of a message, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DecodeError {
    /// Position in the frame, in bytes after the length.
    pub at: usize,
    /// The innermost structure and field that were being read, if any.
    pub within: Option<(&'static str, &'static str)>,
    /// What was wrong.
    pub kind: DecodeErrorKind,
}

/// What was wrong with the bytes of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does.
    #[error("{needed} bytes needed, {remaining} left")]
    Truncated {
        /// Bytes that the value takes, at least.
        needed: usize,
        /// Bytes that were left.
        remaining: usize,
    },
    /// An array claims more elements than the remaining bytes can hold.
    #[error("{count} elements claimed with {remaining} bytes left")]
    Count {
        /// Elements claimed.
        count: usize,
        /// Bytes that were left.
        remaining: usize,
    },
    /// A length below -1, or -1 where null is not allowed to be written so.
    #[error("a length of {0}")]
    NegativeLength(i32),
    /// Null where the version does not allow it.
    #[error("null is not allowed here")]
    Null,
    /// A text that is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A variable-length integer that does not fit into 32 bits.
    #[error("a varint of more than 32 bits")]
    Varint,
    /// More than [`TAGGED_FIELDS_MAX`] tagged fields in one structure.
    #[error("{0} tagged fields in one structure")]
    TaggedFields(u32),
    /// A tagged field whose value is shorter than its size.
    #[error("tagged field {tag} has {unread} bytes after its value")]
    TaggedFieldSize {
        /// The field's tag.
        tag: u32,
        /// Bytes that its value left unread.
        unread: usize,
    },
    /// The message's arrays would take more than [`DECODED_BYTES_MAX`].
    #[error("the decoded message would take more than {DECODED_BYTES_MAX} bytes")]
    TooLarge,
    /// The version of a structure that names its own is not known.
    #[error("version {0} is not known")]
    Version(i16),
}

impl DecodeError {
    /// Notes the structure and field that were being read, unless an inner one is noted already.
    #[must_use]
    pub fn within(mut self, structure: &'static str, field: &'static str) -> Self {
        self.within.get_or_insert((structure, field));
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((structure, field)) = self.within {
            write!(f, "{structure}.{field}, ")?;
        }
        write!(f, "byte {}: {}", self.at, self.kind)
    }
}

/// Reads values out of a frame, in order.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
    end: usize,
    memory_left: usize,
}

impl<'a> Reader<'a> {
    /// Reads `frame` from its first byte.
    #[must_use]
    pub fn new(frame: &'a Bytes) -> Self {
        Self { frame, at: 0, end: frame.len(), memory_left: DECODED_BYTES_MAX }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// An error at the current position.
    #[cold]
    #[must_use]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { at: self.at, within: None, kind }
    }

    /// Steps over `len` bytes and tells where they began.
    fn advance(&mut self, len: usize) -> Result<usize, DecodeError> {
        if len > self.remaining() {
            return Err(self.error(DecodeErrorKind::Truncated { needed: len, remaining: self.remaining() }));
        }
        let start = self.at;
        self.at += len;
        Ok(start)
    }

    /// The next `len` bytes, borrowed.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`].
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let start = self.advance(len)?;
        Ok(&self.frame[start..start + len])
    }

    /// The next `len` bytes as a slice that shares the frame's memory.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`].
    #[inline]
    pub fn shared(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let start = self.advance(len)?;
        Ok(self.frame.slice(start..start + len))
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`].
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes(N)?.try_into() {
            Ok(array) => Ok(array),
            Err(_) => unreachable!("a slice of N bytes is an array of N bytes"),
        }
    }

    /// An unsigned integer in groups of seven bits, lowest first: Kafka's UNSIGNED_VARINT.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`], [`DecodeErrorKind::Varint`].
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && byte > 0x0f {
                return Err(self.error(DecodeErrorKind::Varint));
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    /// A length or count in the format's encoding; `None` is null. `wide` tells whether the inflexible form takes
    /// four bytes (arrays, bytes) or two (strings).
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`], [`DecodeErrorKind::Varint`], [`DecodeErrorKind::NegativeLength`].
    #[inline]
    pub fn length(&mut self, flexible: bool, wide: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize));
        }
        let length =
            if wide { i32::from_be_bytes(self.array()?) } else { i16::from_be_bytes(self.array()?).into() };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(self.error(DecodeErrorKind::NegativeLength(length))),
        }
    }

    /// A text of `len` bytes, borrowed.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`], [`DecodeErrorKind::NotUtf8`].
    pub fn str(&mut self, len: usize) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes(len)?;
        str::from_utf8(bytes).map_err(|_| self.error(DecodeErrorKind::NotUtf8))
    }

    /// A text of `len` bytes that shares the frame's memory.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Truncated`], [`DecodeErrorKind::NotUtf8`].
    pub fn shared_str(&mut self, len: usize) -> Result<SharedStr, DecodeError> {
        let bytes = self.shared(len)?;
        SharedStr::new(bytes).map_err(|_| self.error(DecodeErrorKind::NotUtf8))
    }

    /// Makes sure that `count` elements of at least `encoded_size_min` bytes each can follow, and charges the memory
    /// that they will take to the message.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Count`], [`DecodeErrorKind::TooLarge`].
    pub fn admit(&mut self, count: usize, encoded_size_min: usize, size: usize) -> Result<(), DecodeError> {
        if count > self.remaining() / encoded_size_min.max(1) {
            return Err(self.error(DecodeErrorKind::Count { count, remaining: self.remaining() }));
        }
        match count.checked_mul(size).and_then(|memory| self.memory_left.checked_sub(memory)) {
            Some(left) => self.memory_left = left,
            None => return Err(self.error(DecodeErrorKind::TooLarge)),
        }
        Ok(())
    }

    /// Reads a structure's tagged fields. `known` gets each tag with a reader that ends where the field ends, and
    /// tells whether it read the value; unknown fields are skipped.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TaggedFields`], [`DecodeErrorKind::TaggedFieldSize`], and those of `known`.
    pub fn tagged_fields<F>(&mut self, mut known: F) -> Result<(), DecodeError>
    where
        F: FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    {
        let count = self.uvarint()?;
        if count > TAGGED_FIELDS_MAX {
            return Err(self.error(DecodeErrorKind::TaggedFields(count)));
        }
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            if size > self.remaining() {
                let remaining = self.remaining();
                return Err(self.error(DecodeErrorKind::Truncated { needed: size, remaining }));
            }
            let end = std::mem::replace(&mut self.end, self.at + size);
            if known(tag, self)? {
                if self.at != self.end {
                    let unread = self.remaining();
                    return Err(self.error(DecodeErrorKind::TaggedFieldSize { tag, unread }));
                }
            } else {
                self.at = self.end;
            }
            self.end = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uvarint(bytes: &'static [u8]) -> Result<u32, DecodeErrorKind> {
        Reader::new(&Bytes::from_static(bytes)).uvarint().map_err(|error| error.kind)
    }

    #[test]
    fn varints_end_at_32_bits() {
        assert_eq!(uvarint(&[0]), Ok(0));
        assert_eq!(uvarint(&[0x7f]), Ok(127));
        assert_eq!(uvarint(&[0x80, 0x01]), Ok(128));
        assert_eq!(uvarint(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(uvarint(&[0xff, 0xff, 0xff, 0xff, 0x10]), Err(DecodeErrorKind::Varint));
        assert_eq!(uvarint(&[0xff, 0xff, 0xff, 0xff, 0x8f, 0]), Err(DecodeErrorKind::Varint));
        assert_eq!(uvarint(&[0x80]), Err(DecodeErrorKind::Truncated { needed: 1, remaining: 0 }));
    }

    #[test]
    fn lengths_below_null_are_refused() {
        let frame = Bytes::from_static(&[0xff, 0xff, 0xff, 0xfe]);
        let mut reader = Reader::new(&frame);
        assert_eq!(reader.length(false, false), Ok(None));
        assert_eq!(reader.length(false, false).unwrap_err().kind, DecodeErrorKind::NegativeLength(-2));
    }

    #[test]
    fn a_tagged_field_cannot_reach_past_its_size() {
        // One field, tag 0, two bytes long; the value wants four.
        let frame = Bytes::from_static(&[1, 0, 2, 0, 0, 0, 0]);
        let error =
            Reader::new(&frame).tagged_fields(|_, reader| reader.array::<4>().map(|_| true)).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Truncated { needed: 4, remaining: 2 });
    }

    #[test]
    fn unknown_tagged_fields_are_skipped_and_long_ones_refused() {
        let frame = Bytes::from_static(&[2, 7, 1, 0xaa, 9, 0, 0x55]);
        let mut reader = Reader::new(&frame);
        reader.tagged_fields(|_, _| Ok(false)).unwrap();
        assert_eq!(reader.bytes(1).unwrap(), &[0x55]);
        let frame = Bytes::from_static(&[0x41]);
        let error = Reader::new(&frame).tagged_fields(|_, _| Ok(false)).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::TaggedFields(65));
    }

    #[test]
    fn memory_is_charged_over_the_whole_message() {
        let frame = Bytes::from(vec![0; 1 << 20]);
        let mut reader = Reader::new(&frame);
        reader.admit(1 << 20, 1, 64).unwrap();
        assert_eq!(reader.admit(1, 1, 1).unwrap_err().kind, DecodeErrorKind::TooLarge);
        let count = DecodeErrorKind::Count { count: 20_000_000, remaining: 1 << 20 };
        assert_eq!(reader.admit(20_000_000, 1, 0).unwrap_err().kind, count);
    }
}
