//! Kafka's compression codecs, both ways.
//!
//! Decompression writes into one contiguous, reused buffer, so that records are read there in place. Its memory is
//! bounded by a cap that the caller chooses and by what the codec's ratio allows for the bytes that are there: sizes
//! that a compressed stream claims are never allocated on credit.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use crate::header::Codec;

/// The least that the output grows to, in bytes: small batches settle at once.
const OUTPUT_LEN_MIN: usize = 16 * 1024;

/// Why bytes do not decompress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// More comes out than the caller admits: a bomb, or a limit set too low.
    #[error("decompresses to more than {max} bytes")]
    TooLarge {
        /// The cap, in bytes.
        max: usize,
    },
    /// The codec's own format is broken, cut short, or of a variant that no Kafka client writes.
    #[error("broken {} data", .0.name())]
    Corrupt(Codec),
}

/// Memory that decompression writes into and works with, reused from batch to batch. Owned by the caller: records of
/// a compressed batch borrow from it.
pub struct Scratch {
    /// All initialised; only the part that an [`Output`] filled means anything.
    bytes: Vec<u8>,
    len_max: usize,
    zstd: zstd::Decoder,
}

impl Scratch {
    /// An empty scratch that refuses to hold more than `len_max` bytes of output. Allocates when it is used.
    #[must_use]
    pub const fn new(len_max: usize) -> Self {
        Self { bytes: Vec::new(), len_max, zstd: zstd::Decoder::new() }
    }

    /// Sets another cap for what comes; memory is kept.
    pub fn set_len_max(&mut self, len_max: usize) {
        self.len_max = len_max;
    }

    /// Gives memory beyond `len` bytes back, so that one large batch does not hold it for ever.
    pub fn shrink_to(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.bytes.shrink_to(len);
    }

    /// Decompresses all of `input`.
    ///
    /// # Errors
    /// [`DecompressError`]: broken input, or more output than the cap.
    pub fn decompress(&mut self, codec: Codec, input: &[u8]) -> Result<&[u8], DecompressError> {
        let mut out = Output { bytes: &mut self.bytes, filled: 0, len_max: self.len_max };
        match codec {
            Codec::None => out.append(input)?,
            Codec::Gzip => gzip::decompress(input, &mut out)?,
            Codec::Snappy => snappy::decompress(input, &mut out)?,
            Codec::Lz4 => lz4::decompress(input, &mut out)?,
            Codec::Zstd => self.zstd.decompress(input, &mut out)?,
        }
        let filled = out.filled;
        Ok(&self.bytes[..filled])
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({} of at most {} bytes)", self.bytes.len(), self.len_max)
    }
}

/// Where a codec writes: a buffer that grows by doubling up to its cap.
struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    filled: usize,
    len_max: usize,
}

impl Output<'_> {
    /// What the cap still admits, in bytes.
    fn admitted(&self) -> usize {
        self.len_max - self.filled
    }

    /// Makes room for `want` bytes behind what is filled.
    fn reserve(&mut self, want: usize) -> Result<(), DecompressError> {
        if want > self.admitted() {
            return Err(DecompressError::TooLarge { max: self.len_max });
        }
        let need = self.filled + want;
        if need > self.bytes.len() {
            let len = need.max(self.bytes.len().saturating_mul(2)).max(OUTPUT_LEN_MIN).min(self.len_max);
            self.bytes.resize(len, 0);
        }
        Ok(())
    }

    /// All room behind what is filled.
    fn room(&mut self) -> &mut [u8] {
        let end = self.bytes.len().min(self.len_max);
        &mut self.bytes[self.filled..end]
    }

    /// What is filled, and all room behind it.
    fn split(&mut self) -> (&[u8], &mut [u8]) {
        let end = self.bytes.len().min(self.len_max);
        let (filled, room) = self.bytes[..end].split_at_mut(self.filled);
        (filled, room)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), DecompressError> {
        self.reserve(bytes.len())?;
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }
}

/// Compresses, keeping each codec's tables from batch to batch.
#[derive(Default)]
pub struct Compressor {
    snappy: snappy::Encoder,
    lz4: lz4::Encoder,
    zstd: zstd::Encoder,
}

impl Compressor {
    /// A compressor; its tables are allocated when they are first used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input`, compressed as Kafka's own clients do by default, to `out`.
    pub fn compress(&mut self, codec: Codec, input: &[u8], out: &mut Vec<u8>) {
        match codec {
            Codec::None => out.extend_from_slice(input),
            Codec::Gzip => gzip::compress(input, out),
            Codec::Snappy => self.snappy.compress(input, out),
            Codec::Lz4 => self.lz4.compress(input, out),
            Codec::Zstd => self.zstd.compress(input, out),
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

#[cfg(test)]
mod tests;
