//! Committed offsets.

use millrace_record::{LeaderEpoch, Offset, Timestamp};

/// What a group committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The offset of the record to read next.
    pub offset: Offset,
    /// The leader epoch of the last record read; -1 if the consumer did not say.
    pub leader_epoch: LeaderEpoch,
    /// What the consumer keeps with it.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
}

/// An offset to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What to commit.
    pub committed: Committed,
}
