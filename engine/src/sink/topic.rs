//! A topic as an output of a task: batches per partition, held until their epoch ends.

use super::{TopicRecord, partition_of};
use crate::{
    epoch::Mark,
    failure::{Cause, fail},
    task::Context,
};
use millrace_record::{
    ArchivedBatchBuilder, BatchMeta, Codec, Compressor, KafkaBatchBuilder, PartitionIndex, PushError,
    SharedBatch, TopicId,
};
use std::collections::BTreeMap;

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
    /// How many batches may be on their way to the log, over all partitions, before the task takes new records.
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

/// A batch for the owner of a partition to stage: a piece of its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedAppend {
    /// Job, attempt, epoch and task.
    pub mark: Mark,
    /// The sink of the task, for the credit that is to be returned.
    pub output: u32,
    /// The target's topic.
    pub topic: TopicId,
    /// The target.
    pub partition: PartitionIndex,
    /// The records, without offset and leader epoch.
    pub batch: SharedBatch,
}

/// One topic that a task writes to.
#[derive(Debug)]
pub(crate) struct TopicOutput {
    index: u32,
    name: String,
    info: TopicInfo,
    options: SinkOptions,
    builders: BTreeMap<PartitionIndex, Builder>,
    compressor: Compressor,
    /// Where the next batch of records without a key goes.
    turn: u32,
    /// How many more batches may be handed over; below zero after an epoch that had more.
    credits: i64,
    /// Whole batches of the open epoch.
    held: Vec<(PartitionIndex, SharedBatch)>,
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
    pub(crate) fn new(index: u32, name: String, info: TopicInfo, options: SinkOptions) -> Self {
        Self {
            index,
            name,
            info,
            options,
            builders: BTreeMap::new(),
            compressor: Compressor::new(),
            turn: 0,
            credits: i64::from(options.credits),
            held: Vec::new(),
            records: 0,
        }
    }

    /// Adds a record to the batch of its partition.
    fn push(&mut self, record: &TopicRecord) {
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
        let mut pushed = builder.push(record);
        if pushed == Err(PushError::Full) {
            self.cut(partition);
            pushed = self.builders.get_mut(&partition).map_or(Ok(()), |builder| builder.push(record));
        }
        if let Err(PushError::TooLarge { len, max }) = pushed {
            fail(Cause::RecordTooLarge { topic: self.name.clone(), len, max });
        }
        self.records += 1;
        if self.builders.get(&partition).is_some_and(|builder| builder.len() >= self.options.batch_bytes) {
            self.cut(partition);
        }
    }

    /// Ends the batch of a partition.
    fn cut(&mut self, partition: PartitionIndex) {
        let Some(builder) = self.builders.get_mut(&partition) else { return };
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
        let Some(batch) = finished else { return };
        let batch = batch.expect("a builder's header describes its payload");
        self.turn = self.turn.wrapping_add(1);
        self.held.push((partition, batch));
    }

    /// Hands over all batches of the epoch that ends, whole or not. Returns whether the output is blocked by that.
    fn seal(&mut self, mark: Mark, appends: &mut Vec<StagedAppend>) -> bool {
        let open: Vec<_> =
            self.builders.iter().filter(|(_, builder)| !builder.is_empty()).map(|(p, _)| *p).collect();
        for partition in open {
            self.cut(partition);
        }
        let could_go_on = self.credits > 0;
        self.credits -= self.held.len() as i64;
        let (output, topic) = (self.index, self.info.id);
        let staged = |(partition, batch)| StagedAppend { mark, output, topic, partition, batch };
        appends.extend(self.held.drain(..).map(staged));
        could_go_on && self.credits <= 0
    }

    /// Takes credits back. Returns whether the output is no longer blocked by that.
    fn credit(&mut self, credits: u32) -> bool {
        let was_blocked = self.credits <= 0;
        self.credits += i64::from(credits);
        was_blocked && self.credits > 0
    }

    /// Forgets everything that was not handed over: a new attempt begins.
    fn reset(&mut self) {
        self.builders.clear();
        self.held.clear();
        self.credits = i64::from(self.options.credits);
    }
}

impl Context {
    /// Adds a record to a topic output.
    #[inline]
    pub(crate) fn append(&mut self, output: usize, record: &TopicRecord) {
        self.topics[output].push(record);
    }

    /// Hands over the batches of the epoch that ends. What comes now belongs to a later one.
    pub(crate) fn seal_topics(&mut self, mark: Mark) -> Vec<StagedAppend> {
        let mut appends = Vec::new();
        for topic in &mut self.topics {
            self.topics_blocked += usize::from(topic.seal(mark, &mut appends));
        }
        appends
    }

    /// Takes back credits of a topic output.
    pub(crate) fn credit_topic(&mut self, output: usize, credits: u32) {
        self.topics_blocked -= usize::from(self.topics[output].credit(credits));
    }

    pub(crate) fn reset_topics(&mut self) {
        for topic in &mut self.topics {
            topic.reset();
        }
        self.topics_blocked = 0;
    }
}
