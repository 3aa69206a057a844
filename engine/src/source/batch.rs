//! What passes between a source's task and the log.

use crate::epoch::{Attempt, JobId, SourceId};
use millrace_record::{LeaderEpoch, Offset, PartitionIndex, SharedBatch, TopicId};

/// A batch of a partition, by reference. Its header has the offsets and the leader epoch.
#[derive(Clone, Debug)]
pub struct SourceBatch {
    pub(crate) batch: SharedBatch,
    pub(crate) checked: bool,
}

impl SourceBatch {
    /// A batch whose values nobody has looked at: where they are to be archived values, each is checked.
    #[must_use]
    pub const fn new(batch: SharedBatch) -> Self {
        Self { batch, checked: false }
    }

    /// Says that the values need not be checked again.
    ///
    /// # Safety
    /// Every value is a valid archived value of the type that the job declares for the topic: it passed the door of a
    /// topic of this type, or [`access`](crate::data::access).
    #[must_use]
    pub const unsafe fn assume_checked(mut self) -> Self {
        self.checked = true;
        self
    }
}

/// A partition that a source's task reads on this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitSpec {
    /// The source.
    pub source: SourceId,
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset to be read.
    pub start: Offset,
    /// The offset to end before, for input that ends.
    pub until: Option<Offset>,
}

/// A source wants records of a partition. Answered by one [`SourceData`], as soon as there is a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The source.
    pub source: SourceId,
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset wanted.
    pub from: Offset,
    /// About how many bytes at most; one batch at least.
    pub max_bytes: usize,
}

/// The answer to a [`Demand`].
#[derive(Clone, Debug)]
pub struct SourceData {
    /// The job.
    pub job: JobId,
    /// The attempt that asked.
    pub attempt: Attempt,
    /// The source.
    pub source: SourceId,
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The batches, in the order of their offsets. The first may begin before the offset that was asked for.
    pub batches: Vec<SourceBatch>,
    /// The partition's leader epoch when they were read.
    pub leader_epoch: LeaderEpoch,
    /// Where to go on: behind the batches, and behind whatever the log left out.
    pub next: Offset,
    /// The end of what readers may see, for the lag.
    pub high_watermark: Offset,
}
