//! Which partition a key belongs to, so that records land where Kafka's own clients put them.

/// The partition of a record with `key` among `partitions`: that of Kafka's Java client and of librdkafka's
/// `murmur2_random`.
///
/// # Panics
/// If `partitions` is 0.
#[must_use]
pub fn partition_of_key(key: &[u8], partitions: u32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    // A remainder of a number below 2^31 fits.
    (positive % partitions) as i32
}

/// MurmurHash2 by Austin Appleby, 32 bits, with the seed that Kafka chose.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (at, byte) in tail.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * at);
    }
    if !tail.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own test of its hash.
    #[test]
    fn the_hash_is_kafkas() {
        let vectors: [(&[u8], i32); 8] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
            (b"1", -1_993_445_489),
        ];
        for (key, hash) in &vectors[..6] {
            assert_eq!(murmur2(key) as i32, *hash, "{key:?}");
        }
        assert_eq!(partition_of_key(b"foobar", 7), ((-790_332_482 & i32::MAX) % 7));
    }
}
