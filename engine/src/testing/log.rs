//! Topics in memory.

use crate::source::SourceBatch;
use millrace_record::{
    ArchivedBatchBuilder, BatchMeta, Codec, Compressor, HeadersBuf, KafkaBatchBuilder, Offset, Scratch,
    SharedBatch, TopicId,
};
use std::collections::BTreeMap;

/// The largest batch that a test topic takes.
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A record for a topic that a job reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestRecord {
    /// Its timestamp, ms since the Unix epoch.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

impl TestRecord {
    /// A record without a key.
    #[must_use]
    pub fn new(timestamp: i64, value: impl AsRef<[u8]>) -> Self {
        Self { timestamp, key: None, value: Some(value.as_ref().to_vec()) }
    }

    /// The same record with a key.
    #[must_use]
    pub fn with_key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }
}

/// A record that a job has written, in a committed epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, ms since the Unix epoch.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

impl OutputRecord {
    /// The key as text; empty if there is none.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[must_use]
    pub fn key_text(&self) -> &str {
        text(self.key.as_ref())
    }

    /// The value as text; empty if there is none.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[must_use]
    pub fn value_text(&self) -> &str {
        text(self.value.as_ref())
    }
}

fn text(bytes: Option<&Vec<u8>>) -> &str {
    bytes.map_or("", |bytes| std::str::from_utf8(bytes).expect("a text"))
}

/// All topics.
#[derive(Debug, Default)]
pub(super) struct Log {
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: TopicId,
    pub(super) partitions: Vec<Partition>,
}

/// The batches of a partition, in order.
#[derive(Debug, Default)]
pub(super) struct Partition {
    batches: Vec<SharedBatch>,
    pub(super) end: Offset,
}

impl Log {
    pub(super) fn create(&mut self, name: &str, partitions: u32) {
        let mut id = [0; 16];
        id[15] = self.topics.len() as u8 + 2;
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        self.topics.insert(name.to_owned(), Topic { id: TopicId::from_bytes(id), partitions });
    }

    pub(super) fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (&String, &Topic)> {
        self.topics.iter()
    }

    pub(super) fn partition(&mut self, topic: TopicId, partition: i32) -> &mut Partition {
        let topic = self.topics.values_mut().find(|candidate| candidate.id == topic);
        &mut topic.expect("a topic of the test").partitions[partition as usize]
    }

    pub(super) fn partition_named(&mut self, topic: &str, partition: i32) -> &mut Partition {
        let id = self.topic(topic).unwrap_or_else(|| panic!("no topic `{topic}`: create it first")).id;
        self.partition(id, partition)
    }
}

impl Partition {
    /// Gives a batch the next offsets.
    pub(super) fn append(&mut self, batch: &SharedBatch) {
        let mut header = *batch.header();
        (header.base_offset, header.leader_epoch) = (self.end, 0);
        self.end += i64::from(header.last_offset_delta) + 1;
        let batch =
            SharedBatch::new(header, batch.payload().clone()).expect("the header of the same payload");
        self.batches.push(batch);
    }

    /// The batches from an offset on, at most so many.
    pub(super) fn read(&self, from: Offset, count: usize) -> (Vec<SourceBatch>, Offset) {
        let end = |batch: &SharedBatch| {
            batch.header().base_offset + i64::from(batch.header().last_offset_delta) + 1
        };
        let wanted: Vec<_> = self.batches.iter().filter(|batch| end(batch) > from).take(count).collect();
        let next = wanted.last().map_or(from, |batch| end(batch));
        (wanted.into_iter().cloned().map(SourceBatch::new).collect(), next)
    }

    pub(super) fn records(&self, partition: i32) -> Vec<OutputRecord> {
        let mut scratch = Scratch::new(MESSAGE_BYTES_MAX * 16);
        let mut all = Vec::new();
        for batch in &self.batches {
            for record in batch.as_batch().records(&mut scratch).expect("a batch of the test") {
                let record = record.expect("a record of the test");
                all.push(OutputRecord {
                    partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                });
            }
        }
        all
    }
}

/// A batch of records: archived, or Kafka's with a codec.
pub(super) fn batch_of(records: &[TestRecord], codec: Option<Codec>) -> SharedBatch {
    let mut bytes = Vec::new();
    let headers = HeadersBuf::new();
    let parts = |record: &TestRecord| (record.timestamp, record.key.clone(), record.value.clone());
    let Some(codec) = codec else {
        let mut builder = ArchivedBatchBuilder::new(MESSAGE_BYTES_MAX);
        for record in records {
            let (timestamp, key, value) = parts(record);
            builder
                .push(timestamp, key.as_deref(), value.as_deref(), headers.as_headers())
                .expect("a test's batch is small");
        }
        builder.finish(&BatchMeta::PLAIN, &mut bytes).expect("a batch has records");
        return SharedBatch::from_image(&bytes.into()).expect("a built batch");
    };
    let mut builder = KafkaBatchBuilder::new(MESSAGE_BYTES_MAX);
    for record in records {
        let (timestamp, key, value) = parts(record);
        builder
            .push(timestamp, key.as_deref(), value.as_deref(), headers.as_headers())
            .expect("a test's batch is small");
    }
    let header = builder
        .finish(&BatchMeta::PLAIN, codec, &mut Compressor::new(), &mut bytes)
        .expect("a batch has records");
    SharedBatch::new(header, bytes.into()).expect("a built batch")
}
