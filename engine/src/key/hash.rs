//! The fixed hash over canonical key bytes.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The seed of the key hash: the ASCII bytes of `millrace` as a big-endian number. Part of the format.
pub const KEY_HASH_SEED: u64 = u64::from_be_bytes(*b"millrace");

/// The hash of a key's canonical bytes: XXH3, 64 bits, seeded with [`KEY_HASH_SEED`].
///
/// Its upper bits choose key group, shard and segment of a table; its lower bits the line within the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// The hash of `key`'s canonical bytes.
    #[inline]
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(xxh3_64_with_seed(key, KEY_HASH_SEED))
    }
}

/// Canonical key bytes together with their hash, so that it is computed once on a record's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashedKey<'a> {
    hash: KeyHash,
    bytes: &'a [u8],
}

impl<'a> HashedKey<'a> {
    /// Hashes `bytes`.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { hash: KeyHash::of(bytes), bytes }
    }

    /// Takes over a hash that was computed before, as by the sender of an exchange. It must be [`KeyHash::of`] the bytes:
    /// with another one the key is kept where nobody looks for it.
    #[inline]
    #[must_use]
    pub fn from_parts(hash: KeyHash, bytes: &'a [u8]) -> Self {
        debug_assert_eq!(hash, KeyHash::of(bytes), "a key travels with its own hash");
        Self { hash, bytes }
    }

    /// The hash.
    #[inline]
    #[must_use]
    pub const fn hash(&self) -> KeyHash {
        self.hash
    }

    /// The canonical bytes.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}
