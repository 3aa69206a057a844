//! gzip (RFC 1952): a series of members, as every reader of the format accepts it.

use super::{DecompressError, Output};
use crate::header::Codec;
use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use std::io::{Read, Write};

pub(super) fn decompress(input: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
    let mut decoder = MultiGzDecoder::new(input);
    loop {
        let read = if out.admitted() == 0 {
            // The cap is reached: fine if the stream ends here.
            decoder.read(&mut [0]).map(|read| (read, 0))
        } else {
            out.reserve(1)?;
            decoder.read(out.room()).map(|read| (read, read))
        };
        match read {
            Ok((0, _)) => return Ok(()),
            Ok((_, 0)) => return Err(DecompressError::TooLarge { max: out.len_max }),
            Ok((_, filled)) => out.filled += filled,
            Err(_) => return Err(DecompressError::Corrupt(Codec::Gzip)),
        }
    }
}

pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) {
    let mut encoder = GzEncoder::new(out, Compression::default());
    encoder.write_all(input).expect("a Vec takes all bytes");
    encoder.finish().expect("a Vec takes all bytes");
}
