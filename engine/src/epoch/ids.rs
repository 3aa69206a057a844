//! The names that mark every piece of an epoch.

use millrace_record::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// An epoch of the server. One number for all its jobs; it rises over restarts, and no attempt has one twice.
    Epoch(u64)
}
number! {
    /// One run of a job, from its start to its end or failure. It rises with every restart of the job; what bears an
    /// older one is refused everywhere.
    Attempt(u64)
}
number! {
    /// A job of the server.
    JobId(u64)
}
number! {
    /// A task of a job's plan on one shard.
    TaskId(u32)
}
number! {
    /// A source of a job's plan. Two sources may read the same partition.
    SourceId(u32)
}
number! {
    /// The place of a record in the commit log: 1, 2, ... without gaps. 0 is before the first.
    CommitNumber(u64)
}

impl Epoch {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Attempt {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl CommitNumber {
    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What every piece is marked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The job that made it.
    pub job: JobId,
    /// In which attempt.
    pub attempt: Attempt,
    /// In which epoch.
    pub epoch: Epoch,
    /// The task that made it.
    pub task: TaskId,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} attempt {} epoch {} task {}", self.job, self.attempt, self.epoch, self.task)
    }
}

/// A piece: the nth that a task staged in an epoch on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceId {
    /// Whose it is.
    pub mark: Mark,
    /// 0, 1, ... for each shard anew.
    pub index: u32,
}

impl fmt::Display for PieceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} piece {}", self.mark, self.index)
    }
}

/// Where a piece goes when its epoch is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// To the job's changelog on the shard where it was staged.
    Changelog,
    /// To a partition: it is output.
    Partition {
        /// The topic.
        topic: TopicId,
        /// The partition of it.
        partition: PartitionIndex,
    },
}

/// How far a source has read a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePosition {
    /// Which source.
    pub source: SourceId,
    /// The topic that it reads.
    pub topic: TopicId,
    /// The partition of it.
    pub partition: PartitionIndex,
    /// The partition's leader epoch when it was read.
    pub leader_epoch: LeaderEpoch,
    /// The offset of the next record to be read.
    pub offset: Offset,
}
