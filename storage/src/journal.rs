//! The shard's journal.

pub(crate) mod chain;
pub(crate) mod entry;
pub(crate) mod frame;
