//! From what is on disk to logs that can be opened.
//!
//! [`recover`] runs once per start, on one shard, before anything else. It reads every journal that it finds, whichever
//! shards wrote them, and brings what they say into the segments, durably. After that the journals are not needed any
//! more; but they stay until every shard of this start has a journal of its own, whose first frames hold a checkpoint
//! of every log. A crash anywhere in between is harmless: the next start does the same again, and a later generation's
//! checkpoint goes before all that earlier journals say of its log.

mod journals;
mod orphans;
mod reader;
mod replay;
mod survey;

pub use orphans::SetAsideError;
pub use reader::LogReader;

use crate::{
    dirs::DataDirs,
    epochs::EpochTable,
    error::{Damage, IoError},
    journal::entry::{Place, SpliceMark},
    key::LogKey,
    reserve,
    store::Opened,
};
use journals::FoundJournal;
use millrace_record::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use millrace_runtime::fs;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Why a start refuses. Nothing that is refused is changed, so that it can be looked at.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// Something that was durable is not there any more, or not what it was.
    #[error("{0}. Nothing was changed; restore the file from a copy, or see `millrace log verify`")]
    Damage(#[from] Damage),
    /// A log lies in a data directory that is not in the list.
    #[error("log {key} is in a data directory (id {dir}) that is not in the list: is a disk not mounted?")]
    MissingDir {
        /// The log.
        key: LogKey,
        /// The directory's id.
        dir: String,
    },
    /// Two journals tell different things of one log, and neither is later.
    #[error("two journals of the same start both claim log {0}")]
    Ambiguous(LogKey),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A log as recovery left it. Can be sent to the shard that will own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    pub(crate) key: LogKey,
    /// Index of its data directory.
    pub(crate) dir: usize,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) place: Place,
    pub(crate) spliced: SpliceMark,
    pub(crate) epochs: EpochTable,
    /// Of its next append.
    pub(crate) leader_epoch: LeaderEpoch,
    /// Whether it was never on disk.
    pub(crate) is_new: bool,
}

/// What recovery found.
#[derive(Debug)]
pub struct Recovered {
    dirs: DataDirs,
    generation: u64,
    is_clean: bool,
    logs: BTreeMap<LogKey, LogState>,
    /// Folders of logs that no journal knows.
    strays: BTreeSet<(usize, LogKey)>,
    journals: Vec<PathBuf>,
}

/// The logs of one shard-to-be, and what its store must know.
#[derive(Debug)]
pub struct ShardPart {
    pub(crate) dirs: DataDirs,
    pub(crate) generation: u64,
    /// Its number among the parts.
    pub(crate) nth: usize,
    pub(crate) logs: Vec<LogState>,
}

/// Journals of earlier starts, to be removed when every shard has its own.
#[derive(Debug)]
#[must_use = "the old journals stay until they are removed"]
pub struct OldJournals {
    generation: u64,
    logs: usize,
    journals: Vec<PathBuf>,
}

/// Recovers everything in the data directories. Whoever calls holds their locks.
///
/// # Errors
/// [`RecoverError`]. A start must not go on then.
pub async fn recover(dirs: &DataDirs) -> Result<Recovered, RecoverError> {
    reserve::remove_old(dirs).await?;
    let journals = journals::find(dirs).await?;
    let folders = orphans::folders(dirs).await?;
    let set_aside = orphans::set_aside_before(dirs).await?;
    let newest = journals.iter().map(|journal| journal.generation).max().unwrap_or(0);
    let is_clean =
        journals.iter().filter(|journal| journal.generation == newest).all(|journal| journal.is_closed);
    let survey = survey::survey(&journals)?;
    let mut logs = replay::replay(dirs, &journals, survey, &folders, &set_aside).await?;
    if !is_clean {
        for log in logs.values_mut().filter(|log| log.epochs.len() > 0) {
            log.leader_epoch += 1;
        }
    }
    let strays = folders.into_iter().filter(|(_, key)| !logs.contains_key(key)).collect();
    tracing::info!(logs = logs.len(), journals = journals.len(), is_clean, "recovered");
    let journals = journals.into_iter().map(|FoundJournal { folder, .. }| folder).collect();
    Ok(Recovered { dirs: dirs.clone(), generation: newest + 1, is_clean, logs, strays, journals })
}

impl Recovered {
    /// Whether the last process stopped cleanly. If not, every log's leader epoch is one higher than before.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// The logs, in order, with their first offsets and those behind their last records.
    pub fn logs(&self) -> impl Iterator<Item = (LogKey, Offset, Offset)> + '_ {
        self.logs.values().map(|log| (log.key, log.start, log.end))
    }

    /// Reads a log before anything is opened: how the server learns from the log of its metadata which topics there
    /// are. `None` if there is no such log.
    #[must_use]
    pub fn reader(&self, key: LogKey) -> Option<LogReader> {
        let log = self.logs.get(&key)?;
        Some(LogReader::new(self.dirs.store_id(), self.dirs.dir(log.dir).folder(&key), log))
    }

    /// Divides the logs among `shards` shards; a partition's two logs stay together. The store of each part is to be
    /// opened, and then the old journals are removed.
    pub fn split(
        self,
        shards: usize,
        owner: impl Fn(TopicId, PartitionIndex) -> usize,
    ) -> (Vec<ShardPart>, OldJournals) {
        let Self { dirs, generation, logs, journals, .. } = self;
        let mut parts: Vec<_> = (0..shards)
            .map(|nth| ShardPart { dirs: dirs.clone(), generation, nth, logs: Vec::new() })
            .collect();
        let old = OldJournals { generation, logs: logs.len(), journals };
        for log in logs.into_values() {
            parts[owner(log.key.topic, log.key.partition)].logs.push(log);
        }
        (parts, old)
    }
}

impl OldJournals {
    /// Removes them. Every part must have been opened: `opened` is the proof.
    ///
    /// # Errors
    /// The operating system's. What is left is removed by the next start.
    ///
    /// # Panics
    /// If a part was not opened: its logs would be lost.
    pub async fn remove(self, opened: &[Opened]) -> Result<(), IoError> {
        let logs: usize =
            opened.iter().filter(|part| part.generation == self.generation).map(|part| part.logs).sum();
        assert_eq!(logs, self.logs, "every part of what was recovered is opened before the old journals go");
        for folder in &self.journals {
            journals::remove(folder).await?;
        }
        Ok(())
    }
}

/// The entries of a folder, or none if there is no such folder.
async fn list(folder: &std::path::Path) -> Result<Vec<fs::DirEntry>, IoError> {
    if !fs::exists(folder).await.map_err(IoError::on("look for", folder))? {
        return Ok(Vec::new());
    }
    fs::read_dir(folder).await.map_err(IoError::on("list", folder))
}
