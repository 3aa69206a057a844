//! The log: partitions, segments, the shard's journal, indexes, recovery. Usable without a network.

mod cache;
mod concurrent;
mod dirs;
mod epochs;
mod error;
mod fatal;
mod journal;
mod key;
mod log;
mod memory;
mod options;
mod producer;
mod recovery;
mod reserve;
#[cfg(test)]
mod sample;
mod segment;
mod shared;
mod signal;
mod store;
mod tail;

pub use dirs::{DataDirs, DirLocks, DirsError};
pub use epochs::EpochStart;
pub use error::{Damage, IoError};
pub use fatal::{Fatal, FatalError};
pub use journal::{JournalStats, entry::SpliceMark};
pub use key::{LogKey, LogKind};
pub use log::{
    AppendError, Appended, CutError, Durable, FoundOffset, Isolation, Log, LogStartError, LookupError, Read,
    ReadError, ReadRequest, Watcher,
};
#[doc(hidden)]
pub use options::Fault;
pub use options::{Class, Durability, FrameScope, LogOptions, StoreOptions};
pub use producer::SequenceError;
pub use recovery::{LogReader, OldJournals, RecoverError, Recovered, SetAsideError, ShardPart, recover};
pub use store::{CreateError, OpenError, Opened, Store};
