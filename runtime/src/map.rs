//! Hash tables whose seed comes from the backend, so that a world's iteration order follows from its seed and a
//! server's can't be guessed by a peer that chooses keys.

use std::hash::BuildHasher;

/// A hash map seeded by the backend.
pub type HashMap<K, V> = hashbrown::HashMap<K, V, Seeded>;
/// A hash set seeded by the backend.
pub type HashSet<T> = hashbrown::HashSet<T, Seeded>;

/// A hasher builder that takes its seed from [`random_u64`](crate::random_u64) once, when it is made.
#[derive(Clone, Debug)]
pub struct Seeded(foldhash::fast::FixedState);

impl Default for Seeded {
    fn default() -> Self {
        Self(foldhash::fast::FixedState::with_seed(crate::random_u64()))
    }
}

impl BuildHasher for Seeded {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
