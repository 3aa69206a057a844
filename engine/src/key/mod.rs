//! Keys: their canonical bytes, their hash, and where a key lives.
//!
//! Everything below the typed builder sees a key as bytes. Three things turn a key into a place, and all three are part
//! of the format of changelogs, snapshots and plans, so none of them may change under an existing job:
//!
//! 1. **Encoding** ([`EncodeKey`], [`Key`]): canonical (equal keys have equal bytes, unequal keys unequal ones) and
//!    order-preserving (`a < b` exactly when `encode(a) < encode(b)` as unsigned bytes). Every encoding is
//!    self-delimiting: none is a proper prefix of another of the same type, so that concatenated encodings
//!    compare like tuples and can be decoded again.
//! 2. **Hash** ([`KeyHash::of`]): XXH3 of 64 bits with [`KEY_HASH_SEED`] over those bytes; test vectors are committed.
//! 3. **Key group** ([`KeyGroups::group_of`]): the hash scaled to the number of groups of the plan, by multiplication. It
//!    rises with the hash, so a key group is one contiguous range of hashes, and a range of groups is one too.
//!
//! A [`Placement`] gives each of its shards one contiguous [`KeyGroupRange`].

mod encode;
mod group;
mod hash;
mod reader;

pub use encode::{EncodeKey, Key};
pub use group::{KeyGroup, KeyGroupRange, KeyGroups, Placement, PlacementError};
pub use hash::{HashedKey, KEY_HASH_SEED, KeyHash};
pub use reader::{KeyError, KeyReader};

#[cfg(test)]
mod tests;
