//! Randomness: the machine's in the native backend, the world's seed in the simulator.

use crate::context::{Backend, current};

/// A uniformly distributed number. Not for secrets.
#[must_use]
pub fn random_u64() -> u64 {
    match current() {
        Backend::Native => crate::native::random::next_u64(),
        #[cfg(feature = "sim")]
        Backend::Sim(shard) => shard.random_u64(),
    }
}

/// `N` uniformly distributed bytes, for identifiers. Not for secrets.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random_u64().to_le_bytes()[..chunk.len()]);
    }
    bytes
}
