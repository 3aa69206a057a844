//! The disk format's one checksum, CRC-32C (Castagnoli), and what covers what.
//!
//! Checksums form a tree, so that every byte is summed once on its way in, and a change near the root costs little:
//!
//! - the **payload checksum** covers what the producer sent. For the kafka encoding it is Kafka's own CRC, verified
//!   once where the batch is received and reused from then on. Kafka leaves the first 21 bytes of a batch out of it;
//!   each of those is a copy of a header field, and a reader compares them;
//! - the **header checksum** covers the header with the payload checksum in it: giving a batch its offset sums 76
//!   bytes, not the payload;
//! - a journal frame's checksum covers the headers of what it holds, and belongs to storage.
//!
//! CRC-32C because Kafka's batches carry it (a second kind would mean a second pass), processors compute it, and it
//! finds every burst of up to 32 bits. It guards against rot and torn writes, not against an adversary.

/// The CRC-32C of `bytes`.
#[inline]
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The CRC-32C of what `crc` was computed over, followed by `bytes`.
#[inline]
#[must_use]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_append(crc32c(b"1234"), b"56789"), 0xe306_9283);
    }
}
