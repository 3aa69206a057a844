//! The log: partitions, segments, the shard's journal, indexes, recovery. Usable without a network.

mod epochs;
mod fatal;
mod journal;
mod key;
mod producer;
#[cfg(test)]
mod sample;
mod segment;
mod signal;
mod tail;

pub use key::{LogKey, LogKind};
