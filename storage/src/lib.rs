//! The log: partitions, segments, the shard's journal, indexes, recovery. Usable without a network.
//!
//! A [`Store`] is one shard's share of everything that is durable: its [`Log`]s and the journal that makes appends to
//! any of them durable in one sync. A start goes in this order:
//!
//! 1. [`DataDirs::open`] locks the data directories and makes those that are not there;
//! 2. [`recover`], on one shard, brings all that the journals of the last start hold into the segments, durably;
//! 3. with [`Recovered::reader`] the server learns from the log of its metadata which topics exist, and
//!    [`Recovered::set_aside`] moves the folders of others away;
//! 4. [`Recovered::split`] divides the logs among the shards of this start, however many those are;
//! 5. every shard opens its [`Store`], and [`OldJournals::remove`] ends the start.
//!
//! ```no_run
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! use millrace_storage::{DataDirs, Isolation, LogOptions, ReadRequest, Store, StoreOptions, recover};
//!
//! let (dirs, _locks) = DataDirs::open(&["data".into()], None).await?;
//! let (mut parts, old) = recover(&dirs).await?.split(1, |_topic, _partition| 0);
//! let (store, opened) = Store::open(StoreOptions::default(), parts.remove(0), |_| LogOptions::default()).await?;
//! old.remove(&[opened]).await?;
//! for log in store.logs() {
//!     let offset = log.start_offset();
//!     let isolation = Isolation::ReadUncommitted;
//!     let read = log.read(&ReadRequest { offset, max_bytes: 1 << 20, at_least_one: true, isolation }).await?;
//!     println!("{}: {} batches", log.key(), read.batches.len());
//! }
//! store.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what |
//! |---|---|
//! | `dirs`, `key` | data directories, their layout and format file; names of logs |
//! | `store`, `shared` | a shard's store; what its logs share |
//! | `log` | one log: appending, reading, write-behind, large appends, cuts, staged pieces and splices |
//! | `tail` | the end of a segment in memory, read while it grows |
//! | `segment` | what segment and index files hold, and walking over batches |
//! | `journal` | entries, frames, the rule of the chain, the writer, the keeper of its files |
//! | `recovery` | from journals to segments |
//! | `producer`, `epochs` | idempotent producers and leader epochs of a partition |
//! | `cache`, `memory`, `reserve` | the shard's budget of memory, and of space on a full disk |
//!
//! `docs/formats.md` shows every byte on disk and what is assumed about the medium.

mod cache;
mod concurrent;
mod dirs;
mod epochs;
mod error;
mod fatal;
#[doc(hidden)]
pub mod fuzzing;
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

pub use dirs::{DataDirs, DirLocks, DirsError, format::FormatError};
pub use epochs::EpochStart;
pub use error::{Damage, IoError, OutOfFiles};
pub use fatal::{Fatal, FatalError};
pub use journal::{JournalStats, entry::SpliceMark};
pub use key::{LogKey, LogKind};
pub use log::{
    AppendError, Appended, CutError, Durable, FoundOffset, Isolation, Log, LogStartError, LookupError, Piece,
    PieceMark, Read, ReadError, ReadRequest, SpliceError, Staged, Watcher,
};
#[doc(hidden)]
pub use options::Fault;
pub use options::{Class, Durability, FrameScope, LogOptions, StoreOptions};
pub use producer::SequenceError;
pub use recovery::{LogReader, OldJournals, RecoverError, Recovered, SetAsideError, ShardPart, recover};
pub use store::{CreateError, OpenError, Opened, Store};
