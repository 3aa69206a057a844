//! Writing a frame: own bytes into one buffer, shared bytes between them by reference.

use super::Field;
use super::Format;
use bytes::{BufMut, Bytes, BytesMut};

/// Shared bytes shorter than this are copied into the frame: a copy is cheaper than one more piece to gather.
pub const COPY_BELOW: usize = 2048;

/// A message that Kafka's encoding cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string of more than 32,767 bytes in a version whose strings have a length of two bytes.
    #[error("a string of {len} bytes does not fit the message's version")]
    StringTooLong {
        /// Its length.
        len: usize,
    },
    /// A frame of more than 2 GiB.
    #[error("a frame of {len} bytes")]
    FrameTooLong {
        /// Its length.
        len: usize,
    },
}

/// Writes one frame at a time, of bytes of its own and shared ones, and keeps its buffer for the next.
#[derive(Debug, Default)]
pub struct Writer {
    own: BytesMut,
    /// Shared pieces, each with the length of `own` before it.
    shared: Vec<(usize, Bytes)>,
    shared_len: usize,
    error: Option<EncodeError>,
}

/// Bytes of a frame's length.
const LENGTH_SIZE: usize = 4;

impl Writer {
    /// A writer that has written nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes one frame with `write`, length first, and gives its pieces, in order.
    ///
    /// # Errors
    /// [`EncodeError`], the first that occurred; nothing is left behind.
    pub fn frame(&mut self, write: impl FnOnce(&mut Self)) -> Result<Vec<Bytes>, EncodeError> {
        self.clear();
        self.own.put_bytes(0, LENGTH_SIZE);
        write(self);
        let len = self.written() - LENGTH_SIZE;
        let length = i32::try_from(len).map_err(|_| EncodeError::FrameTooLong { len });
        match (self.error, length) {
            (None, Ok(length)) => {
                self.own[..LENGTH_SIZE].copy_from_slice(&length.to_be_bytes());
                Ok(self.take())
            }
            (Some(error), _) | (None, Err(error)) => {
                self.clear();
                Err(error)
            }
        }
    }

    /// Writes a value without a frame's length around it, as one piece.
    ///
    /// # Errors
    /// [`EncodeError`], the first that occurred.
    pub fn value(value: &impl Field, format: Format) -> Result<Bytes, EncodeError> {
        let mut writer = Self::new();
        value.encode(&mut writer, format);
        match writer.error {
            Some(error) => Err(error),
            None => Ok(writer.take().into_iter().collect::<super::RecordSet>().into_bytes()),
        }
    }

    fn clear(&mut self) {
        self.own.clear();
        self.shared.clear();
        self.shared_len = 0;
        self.error = None;
    }

    /// Cuts what was written into its pieces.
    fn take(&mut self) -> Vec<Bytes> {
        let own = self.own.split().freeze();
        let mut pieces = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut start = 0;
        for (end, shared) in self.shared.drain(..) {
            if end > start {
                pieces.push(own.slice(start..end));
            }
            pieces.push(shared);
            start = end;
        }
        if own.len() > start {
            pieces.push(own.slice(start..));
        }
        self.shared_len = 0;
        pieces
    }

    fn written(&self) -> usize {
        self.own.len() + self.shared_len
    }

    fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    /// Copies `bytes` into the frame.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.own.put_slice(bytes);
    }

    /// Puts `bytes` into the frame without a copy, unless they are few.
    pub fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() < COPY_BELOW {
            return self.bytes(bytes);
        }
        self.shared.push((self.own.len(), bytes.clone()));
        self.shared_len += bytes.len();
    }

    /// Kafka's UNSIGNED_VARINT.
    #[inline]
    pub fn uvarint(&mut self, value: u32) {
        let (bytes, len) = uvarint(value);
        self.bytes(&bytes[..len]);
    }

    /// A length or count in the format's encoding, `None` for null. `wide` tells whether the inflexible form takes
    /// four bytes (arrays, bytes) or two (strings).
    #[inline]
    pub fn length(&mut self, flexible: bool, wide: bool, length: Option<usize>) {
        let Some(length) = length else {
            return match (flexible, wide) {
                (true, _) => self.uvarint(0),
                (false, true) => self.bytes(&(-1_i32).to_be_bytes()),
                (false, false) => self.bytes(&(-1_i16).to_be_bytes()),
            };
        };
        if flexible || wide {
            // A count of 2^31 and more cannot be in a frame: each element takes a byte.
            let Some(count) = u32::try_from(length).ok().filter(|&count| count <= i32::MAX as u32) else {
                return self.fail(EncodeError::FrameTooLong { len: length });
            };
            if flexible { self.uvarint(count + 1) } else { self.bytes(&count.to_be_bytes()) }
        } else {
            match i16::try_from(length) {
                Ok(length) => self.bytes(&length.to_be_bytes()),
                Err(_) => self.fail(EncodeError::StringTooLong { len: length }),
            }
        }
    }

    /// A tagged field: tag, size of what `write` writes, and that.
    pub fn tagged_field(&mut self, tag: u32, write: impl FnOnce(&mut Self)) {
        self.uvarint(tag);
        let (start, written) = (self.own.len(), self.written());
        write(self);
        let size = self.written() - written;
        let Ok(size) = u32::try_from(size) else { return self.fail(EncodeError::FrameTooLong { len: size }) };
        // The size is known only now, and stands before the value: make room for it.
        let (bytes, len) = uvarint(size);
        let end = self.own.len();
        self.own.put_bytes(0, len);
        self.own.copy_within(start..end, start + len);
        self.own[start..start + len].copy_from_slice(&bytes[..len]);
        for (position, _) in self.shared.iter_mut().rev().take_while(|(position, _)| *position >= start) {
            *position += len;
        }
    }
}

/// The bytes of an UNSIGNED_VARINT, and how many they are.
#[inline]
fn uvarint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes[len] = if value == 0 { low } else { low | 0x80 };
        len += 1;
        if value == 0 {
            return (bytes, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(pieces: &[Bytes]) -> Vec<u8> {
        pieces.concat()
    }

    #[test]
    fn large_shared_bytes_are_not_copied() {
        let large = Bytes::from(vec![7; COPY_BELOW]);
        let small = Bytes::from_static(b"small");
        let mut writer = Writer::new();
        let pieces = writer
            .frame(|writer| {
                writer.bytes(b"ab");
                writer.shared(&large);
                writer.shared(&large);
                writer.shared(&small);
            })
            .unwrap();
        assert_eq!(pieces.len(), 4);
        assert_eq!(pieces[1].as_ptr(), large.as_ptr());
        assert_eq!(pieces[2].as_ptr(), large.as_ptr());
        let len = 2 + 2 * COPY_BELOW + 5;
        assert_eq!(joined(&pieces)[..4], u32::try_from(len).unwrap().to_be_bytes());
        assert_eq!(joined(&pieces).len(), 4 + len);
    }

    #[test]
    fn a_tagged_field_gets_its_size_even_around_shared_bytes() {
        let large = Bytes::from(vec![7; COPY_BELOW]);
        let mut writer = Writer::new();
        let pieces = writer
            .frame(|writer| {
                writer.shared(&large);
                writer.tagged_field(3, |writer| {
                    writer.bytes(b"x");
                    writer.shared(&large);
                    writer.bytes(b"yz");
                });
            })
            .unwrap();
        let bytes = joined(&pieces);
        let field = &bytes[4 + COPY_BELOW..];
        let size = COPY_BELOW + 3;
        assert_eq!(field[..4], [3, (size & 0x7f) as u8 | 0x80, (size >> 7) as u8, b'x']);
        assert_eq!(field[4 + COPY_BELOW..], *b"yz");
    }

    #[test]
    fn what_cannot_be_encoded_is_reported_once_and_leaves_nothing() {
        let mut writer = Writer::new();
        let failed = writer.frame(|writer| writer.length(false, false, Some(40_000)));
        assert_eq!(failed, Err(EncodeError::StringTooLong { len: 40_000 }));
        let pieces = writer.frame(|writer| writer.bytes(b"x")).unwrap();
        assert_eq!(joined(&pieces), [0, 0, 0, 1, b'x']);
    }
}
