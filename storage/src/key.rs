//! What names a log.

use millrace_record::{PartitionIndex, TopicId};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Whether a log is a partition's own, or holds what may one day be spliced onto it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LogKind {
    /// The partition itself: what consumers see.
    Data = 1,
    /// Its sibling: uncommitted pieces of dataflow output, which have no offset in the partition yet.
    Staged = 2,
}

impl LogKind {
    /// The kind of this number on disk.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Data),
            2 => Some(Self::Staged),
            _ => None,
        }
    }
}

/// A log's name. It outlives restarts and knows no shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogKey {
    /// Which topic.
    pub topic: TopicId,
    /// Which of its partitions, from 0.
    pub partition: PartitionIndex,
    /// The partition, or what is staged for it.
    pub kind: LogKind,
}

impl LogKey {
    /// The log of a partition.
    #[must_use]
    pub const fn data(topic: TopicId, partition: PartitionIndex) -> Self {
        Self { topic, partition, kind: LogKind::Data }
    }

    /// What is staged for a partition.
    #[must_use]
    pub const fn staged(topic: TopicId, partition: PartitionIndex) -> Self {
        Self { topic, partition, kind: LogKind::Staged }
    }

    /// The same partition's log of the other kind.
    #[must_use]
    pub const fn with_kind(self, kind: LogKind) -> Self {
        Self { kind, ..self }
    }

    /// The folder of the log's segments, below the folder `topics` of a data directory.
    pub(crate) fn folder(&self, topics: &Path) -> PathBuf {
        let mut path = topics.join(self.topic.to_string());
        path.push(self.partition.to_string());
        if self.kind == LogKind::Staged {
            path.push(STAGED_FOLDER);
        }
        path
    }
}

/// The folder of a staged log within its partition's.
pub(crate) const STAGED_FOLDER: &str = "staged";

impl fmt::Display for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)?;
        match self.kind {
            LogKind::Data => Ok(()),
            LogKind::Staged => f.write_str("/staged"),
        }
    }
}
