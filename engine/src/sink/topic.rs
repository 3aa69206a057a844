//! A topic as an output of a task: batches per partition, staged against credits.

use super::{TopicRecord, partition_of};
use crate::{
    epoch::{Attempt, Epoch, JobId, TaskId},
    failure::{Cause, fail},
    task::Context,
};
use millrace_record::{
    ArchivedBatchBuilder, BatchMeta, Codec, Compressor, KafkaBatchBuilder, PartitionIndex, PushError,
    SharedBatch, TopicId,
};
use std::collections::{BTreeMap, VecDeque};

/// What a batch's image may need beyond its length in Kafka's encoding: the header, and the columns of a few records.
const IMAGE_SLACK: usize = 1024;

/// How the batches of a sink are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkEncoding {
    /// The project's columns, which other jobs read in place. Encoded for Kafka's clients when they fetch.
    Archived,
    /// Kafka's message format 2, compressed as given.
    Kafka(Codec),
}

/// How a sink writes to its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkOptions {
    /// How batches are encoded.
    pub encoding: SinkEncoding,
    /// A batch is cut when it has this many bytes, in Kafka's encoding; at a barrier at the latest.
    pub batch_bytes: usize,
    /// How many batches may be on their way to the log, over all partitions.
    pub credits: u32,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self { encoding: SinkEncoding::Archived, batch_bytes: 64 << 10, credits: 64 }
    }
}

/// What a task must know of a topic that it writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
    /// Its `max.message.bytes`.
    pub max_message_bytes: usize,
}

/// A batch for the owner of a partition to keep aside until its epoch is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedAppend {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The task that wrote it.
    pub task: TaskId,
    /// The barrier that the task passed last: the batch belongs to the epoch of the next one.
    pub after: Epoch,
    /// The sink of the task, for the credit that is to be returned.
    pub output: u32,
    /// The target's topic.
    pub topic: TopicId,
    /// The target.
    pub partition: PartitionIndex,
    /// The records, without offset and leader epoch.
    pub batch: SharedBatch,
}

/// What marks the batches of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) job: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) task: TaskId,
    pub(crate) after: Epoch,
}

/// One topic that a task writes to.
#[derive(Debug)]
pub(crate) struct TopicOutput {
    index: u32,
    name: String,
    info: TopicInfo,
    options: SinkOptions,
    pub(crate) origin: Origin,
    builders: BTreeMap<PartitionIndex, Builder>,
    compressor: Compressor,
    /// Where the next batch of records without a key goes.
    turn: u32,
    credits: u32,
    backlog: VecDeque<StagedAppend>,
    /// Batches that have their credit, to be carried off.
    pub(crate) staged: Vec<StagedAppend>,
    /// Batches made since the last barrier.
    pub(crate) since_barrier: u32,
    pub(crate) records: u64,
}

#[derive(Debug)]
enum Builder {
    Archived(ArchivedBatchBuilder),
    Kafka(KafkaBatchBuilder),
}

impl Builder {
    fn push(&mut self, record: &TopicRecord) -> Result<(), PushError> {
        let (timestamp, key, value) = (record.timestamp(), record.key_bytes(), record.value_bytes());
        match self {
            Self::Archived(builder) => builder.push(timestamp, key, value, record.headers()),
            Self::Kafka(builder) => builder.push(timestamp, key, value, record.headers()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Archived(builder) => builder.kafka_len(),
            Self::Kafka(builder) => builder.len(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Archived(builder) => builder.is_empty(),
            Self::Kafka(builder) => builder.is_empty(),
        }
    }
}

impl TopicOutput {
    pub(crate) fn new(
        index: u32,
        name: String,
        info: TopicInfo,
        options: SinkOptions,
        origin: Origin,
    ) -> Self {
        Self {
            index,
            name,
            info,
            options,
            origin,
            builders: BTreeMap::new(),
            compressor: Compressor::new(),
            turn: 0,
            credits: options.credits,
            backlog: VecDeque::new(),
            staged: Vec::new(),
            since_barrier: 0,
            records: 0,
        }
    }

    /// Adds a record to the batch of its partition. Returns how many more outputs are blocked now: 0 or 1.
    fn push(&mut self, record: &TopicRecord) -> usize {
        let partition = match (record.partition(), record.key_bytes()) {
            (Some(partition), _) => {
                let partitions = self.info.partitions;
                assert!(
                    u32::try_from(partition).is_ok_and(|partition| partition < partitions),
                    "partition {partition} of topic {}, which has {partitions}",
                    self.name
                );
                partition
            }
            (None, Some(key)) => partition_of(key, self.info.partitions),
            (None, None) => (self.turn % self.info.partitions.max(1)) as PartitionIndex,
        };
        let (encoding, max) = (self.options.encoding, self.info.max_message_bytes);
        let builder = self.builders.entry(partition).or_insert_with(|| match encoding {
            SinkEncoding::Archived => Builder::Archived(ArchivedBatchBuilder::new(max)),
            SinkEncoding::Kafka(_) => Builder::Kafka(KafkaBatchBuilder::new(max)),
        });
        let mut blocked = 0;
        let mut pushed = builder.push(record);
        if pushed == Err(PushError::Full) {
            blocked += self.cut(partition);
            pushed = self.builders.get_mut(&partition).map_or(Ok(()), |builder| builder.push(record));
        }
        if let Err(PushError::TooLarge { len, max }) = pushed {
            fail(Cause::RecordTooLarge { topic: self.name.clone(), len, max });
        }
        self.records += 1;
        if self.builders.get(&partition).is_some_and(|builder| builder.len() >= self.options.batch_bytes) {
            blocked += self.cut(partition);
        }
        blocked
    }

    /// Ends the batch of a partition.
    fn cut(&mut self, partition: PartitionIndex) -> usize {
        let Some(builder) = self.builders.get_mut(&partition) else { return 0 };
        let mut image = Vec::with_capacity(builder.len() + IMAGE_SLACK);
        let finished = match (builder, self.options.encoding) {
            (Builder::Archived(builder), _) => {
                builder.finish(&BatchMeta::PLAIN, &mut image).map(|_| SharedBatch::from_image(&image.into()))
            }
            (Builder::Kafka(builder), encoding) => {
                let codec = if let SinkEncoding::Kafka(codec) = encoding { codec } else { Codec::None };
                builder
                    .finish(&BatchMeta::PLAIN, codec, &mut self.compressor, &mut image)
                    .map(|header| SharedBatch::new(header, image.into()))
            }
        };
        let Some(batch) = finished else { return 0 };
        let batch = batch.expect("a builder's header describes its payload");
        self.turn = self.turn.wrapping_add(1);
        self.since_barrier += 1;
        let Origin { job, attempt, task, after } = self.origin;
        let (output, topic) = (self.index, self.info.id);
        self.stage(StagedAppend { job, attempt, task, after, output, topic, partition, batch })
    }

    fn stage(&mut self, append: StagedAppend) -> usize {
        if self.credits > 0 && self.backlog.is_empty() {
            self.credits -= 1;
            self.staged.push(append);
            return 0;
        }
        self.backlog.push_back(append);
        usize::from(self.backlog.len() == 1)
    }

    /// Ends all batches: a barrier has come. Returns how many more outputs are blocked now.
    fn flush(&mut self) -> usize {
        let open: Vec<_> =
            self.builders.iter().filter(|(_, builder)| !builder.is_empty()).map(|(p, _)| *p).collect();
        open.into_iter().map(|partition| self.cut(partition)).sum()
    }

    /// Takes credits back. Returns how many fewer outputs are blocked now.
    fn credit(&mut self, credits: u32) -> usize {
        let blocked = !self.backlog.is_empty();
        self.credits += credits;
        while self.credits > 0
            && let Some(append) = self.backlog.pop_front()
        {
            self.credits -= 1;
            self.staged.push(append);
        }
        usize::from(blocked && self.backlog.is_empty())
    }

    /// Forgets everything that was not carried off: a new attempt begins.
    fn reset(&mut self, attempt: Attempt, after: Epoch) {
        (self.origin.attempt, self.origin.after) = (attempt, after);
        self.builders.clear();
        self.backlog.clear();
        self.staged.clear();
        self.credits = self.options.credits;
        self.since_barrier = 0;
    }
}

impl Context {
    /// Adds a record to a topic output.
    #[inline]
    pub(crate) fn append(&mut self, output: usize, record: &TopicRecord) {
        self.topics_blocked += self.topics[output].push(record);
    }

    /// Ends all batches at a barrier: what comes now belongs to the epoch after. Returns how many batches the epoch has.
    pub(crate) fn seal_topics(&mut self, epoch: Epoch) -> u32 {
        let mut batches = 0;
        for topic in &mut self.topics {
            self.topics_blocked += topic.flush();
            topic.origin.after = epoch;
            batches += std::mem::take(&mut topic.since_barrier);
        }
        batches
    }

    /// Takes back credits of a topic output.
    pub(crate) fn credit_topic(&mut self, output: usize, credits: u32) {
        self.topics_blocked -= self.topics[output].credit(credits);
    }

    pub(crate) fn reset_topics(&mut self, attempt: Attempt, after: Epoch) {
        for topic in &mut self.topics {
            topic.reset(attempt, after);
        }
        self.topics_blocked = 0;
    }
}
