//! Zstandard (RFC 8878): a series of frames.
//!
//! Frames are decompressed in one call each time, never as a stream: a stream's decoder allocates the window that the
//! frame's header asks for, up to 128 MiB from a few bytes, while the one-shot decoder's window is its output. Where
//! the output proves too small the call is repeated with four times the room, so that the wasted work stays below a
//! third; a reused scratch soon has the room at once.

use super::{DecompressError, OUTPUT_LEN_MIN, Output};
use crate::header::Codec;
use zstd::zstd_safe::{self, CCtx, DCtx, zstd_sys::ZSTD_ErrorCode};

/// The level of Kafka's own clients.
const LEVEL: i32 = 3;
/// The ratio that a first try makes room for.
const RATIO_USUAL: usize = 8;
/// How much the room grows from try to try.
const GROWTH: usize = 4;

const CORRUPT: DecompressError = DecompressError::Corrupt(Codec::Zstd);

pub(super) struct Decoder(Option<DCtx<'static>>);

impl Decoder {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
        let decoder = self.0.get_or_insert_default();
        let usual = input.len().saturating_mul(RATIO_USUAL).max(OUTPUT_LEN_MIN);
        // A size that the frame declares is a hint at most: beyond the usual ratio it is reached by trying.
        let first = match zstd_safe::get_frame_content_size(input) {
            Ok(Some(len)) => usize::try_from(len).unwrap_or(usize::MAX).min(usual),
            _ => usual,
        };
        let mut wanted = first.min(out.admitted());
        loop {
            out.reserve(wanted)?;
            match decoder.decompress(out.room(), input) {
                Ok(len) => {
                    out.filled += len;
                    return Ok(());
                }
                Err(code) if !is_too_small(code) => return Err(CORRUPT),
                Err(_) if out.room().len() >= out.admitted() => {
                    return Err(DecompressError::TooLarge { max: out.len_max });
                }
                Err(_) => {
                    let grown = out.room().len().saturating_mul(GROWTH).max(OUTPUT_LEN_MIN);
                    wanted = grown.min(out.admitted());
                }
            }
        }
    }
}

/// Error codes are negative numbers, returned as sizes.
fn is_too_small(code: usize) -> bool {
    code.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize
}

#[derive(Default)]
pub(super) struct Encoder(Option<CCtx<'static>>);

impl Encoder {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let encoder = self.0.get_or_insert_default();
        let at = out.len();
        out.resize(at + zstd_safe::compress_bound(input.len()), 0);
        let len = encoder
            .compress(&mut out[at..], input, LEVEL)
            .expect("the output has room for the worst case, and the level exists");
        out.truncate(at + len);
    }
}
