//! Snappy: raw, as librdkafka writes it, or in the framing of Java's library (xerial), which Kafka's own clients use:
//! a header of 16 bytes, then blocks, each with its length before it (big-endian).

use super::{DecompressError, Output};
use crate::header::Codec;

/// First bytes of the framing; no raw stream starts so, for it would declare 2 bytes and then copy from before them.
const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic, version and oldest compatible version.
const FRAME_HEADER_LEN: usize = 16;
/// Version and compatible version, both 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Input bytes per block that Java's library writes.
const BLOCK_LEN: usize = 32 * 1024;
/// No element of the format makes more than 64 bytes out of 3.
const RATIO_MAX: usize = 22;

const CORRUPT: DecompressError = DecompressError::Corrupt(Codec::Snappy);

pub(super) fn decompress(input: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
    if !input.starts_with(&MAGIC) {
        return decompress_block(input, out);
    }
    let mut rest = input;
    while !rest.is_empty() {
        // Streams may be concatenated: a header may stand wherever a block may.
        if rest.starts_with(&MAGIC) {
            rest = rest.get(FRAME_HEADER_LEN..).ok_or(CORRUPT)?;
            continue;
        }
        let (len, behind) = rest.split_first_chunk().ok_or(CORRUPT)?;
        let len = u32::from_be_bytes(*len) as usize;
        let (block, behind) = behind.split_at_checked(len).ok_or(CORRUPT)?;
        decompress_block(block, out)?;
        rest = behind;
    }
    Ok(())
}

fn decompress_block(block: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
    let len = snap::raw::decompress_len(block).map_err(|_| CORRUPT)?;
    if len > block.len().saturating_mul(RATIO_MAX) {
        return Err(CORRUPT);
    }
    out.reserve(len)?;
    out.filled += snap::raw::Decoder::new().decompress(block, &mut out.room()[..len]).map_err(|_| CORRUPT)?;
    Ok(())
}

#[derive(Default)]
pub(super) struct Encoder(Option<Box<snap::raw::Encoder>>);

impl Encoder {
    /// Writes the framing, as the Java client does.
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let encoder = self.0.get_or_insert_with(|| Box::new(snap::raw::Encoder::new()));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSIONS);
        for block in input.chunks(BLOCK_LEN) {
            let at = out.len();
            out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
            let len =
                encoder.compress(block, &mut out[at + 4..]).expect("the output has room for the worst case");
            out[at..at + 4].copy_from_slice(&(len as u32).to_be_bytes());
            out.truncate(at + 4 + len);
        }
    }
}
