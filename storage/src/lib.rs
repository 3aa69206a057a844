//! The log: partitions, segments, the shard's journal, indexes, recovery. Usable without a network.

mod epochs;
mod journal;
mod key;
mod producer;
#[cfg(test)]
mod sample;
mod segment;

pub use key::{LogKey, LogKind};
