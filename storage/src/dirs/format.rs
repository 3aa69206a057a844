//! The file that makes a directory a data directory.

use bytes::{Buf, BufMut};
use millrace_record::checksum::crc32c;
use millrace_runtime::BLOCK_SIZE;

const MAGIC: [u8; 8] = *b"MILLRACE";
/// The version written, and the only one read: that of everything below the directory which has none of its own.
const VERSION: u32 = 1;
/// Archived batches are little-endian and unaligned. Both are fixed at compile time (`millrace_record` holds them by an
/// assertion); a directory that says otherwise was written by something else.
const ARCHIVE_FLAGS: u32 = 0b11;
const LEN: usize = 64;

/// Who a data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// The store that it belongs to: the same in all directories of one list.
    pub(crate) store: [u8; 16],
    /// Its own id.
    pub(crate) dir: [u8; 16],
}

/// Why a format file does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is too short, is something else, or rot has struck.
    #[error("it is damaged")]
    Damaged,
    /// A later release wrote it.
    #[error("version {0} was written by a later release; this one reads version {VERSION}")]
    Version(u32),
    /// A field says what this release can't serve.
    #[error("its {0} is not supported here")]
    Unsupported(&'static str),
}

impl Format {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let mut out = &mut bytes[..];
        out.put_slice(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(BLOCK_SIZE as u32);
        out.put_slice(&self.store);
        out.put_slice(&self.dir);
        out.put_u32_le(ARCHIVE_FLAGS);
        let checksum = crc32c(&bytes[..LEN - 4]);
        bytes[LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// # Errors
    /// [`FormatError`]. The checksum is looked at before the version: rot is told from a newer format.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let (fields, mut stored) = bytes.first_chunk::<LEN>().ok_or(FormatError::Damaged)?.split_at(LEN - 4);
        let mut rest = fields.strip_prefix(&MAGIC).ok_or(FormatError::Damaged)?;
        if stored.get_u32_le() != crc32c(fields) {
            return Err(FormatError::Damaged);
        }
        let version = rest.get_u32_le();
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        if rest.get_u32_le() as usize != BLOCK_SIZE {
            return Err(FormatError::Unsupported("block size"));
        }
        let (mut store, mut dir) = ([0; 16], [0; 16]);
        rest.copy_to_slice(&mut store);
        rest.copy_to_slice(&mut dir);
        if rest.get_u32_le() != ARCHIVE_FLAGS {
            return Err(FormatError::Unsupported("archive layout"));
        }
        if rest.iter().any(|&byte| byte != 0) {
            return Err(FormatError::Unsupported("reserved field"));
        }
        Ok(Self { store, dir })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The layout, byte by byte, as docs/formats.md has it.
    #[test]
    fn layout_is_fixed() {
        let bytes = Format { store: [1; 16], dir: [2; 16] }.encode();
        assert_eq!(&bytes[..8], b"MILLRACE");
        assert_eq!(bytes[8..16], [1, 0, 0, 0, 0, 16, 0, 0]);
        assert_eq!((&bytes[16..32], &bytes[32..48]), (&[1; 16][..], &[2; 16][..]));
        assert_eq!(bytes[48..60], [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let bytes = Format { store: [1; 16], dir: [2; 16] }.encode();
        for bit in 0..LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Format::decode(&flipped), Err(FormatError::Damaged), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(store: [u8; 16], dir: [u8; 16]) {
            let format = Format { store, dir };
            prop_assert_eq!(Format::decode(&format.encode()), Ok(format));
        }

        #[test]
        fn any_bytes_are_refused_or_encode_to_themselves(mut bytes in prop::collection::vec(any::<u8>(), 60..70), from in 8usize..60) {
            bytes[..8].copy_from_slice(&MAGIC);
            let good = Format { store: [1; 16], dir: [2; 16] }.encode();
            bytes[from..60].copy_from_slice(&good[from..60]);
            if bytes.len() >= LEN {
                let checksum = crc32c(&bytes[..60]);
                bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
            }
            if let Ok(format) = Format::decode(&bytes) {
                prop_assert_eq!(&format.encode()[..], &bytes[..LEN]);
            }
        }
    }
}
