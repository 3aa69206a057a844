//! A record for a topic, while a user's closure writes it.

use millrace_record::{Headers, HeadersBuf, PartitionIndex, Timestamp};

/// A record for a topic in the making: its buffers are kept from record to record, so that writing one allocates nothing.
///
/// It begins without key, value and headers, at the timestamp of the stream's record.
#[derive(Debug, Default)]
pub struct TopicRecord {
    timestamp: Timestamp,
    partition: Option<PartitionIndex>,
    has_key: bool,
    has_value: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: HeadersBuf,
}

impl TopicRecord {
    pub(crate) fn begin(&mut self, timestamp: Timestamp) {
        self.timestamp = timestamp;
        self.partition = None;
        (self.has_key, self.has_value) = (false, false);
        self.key.clear();
        self.value.clear();
        self.headers.clear();
    }

    /// The key, to be written to; empty at first.
    #[inline]
    pub fn key(&mut self) -> &mut Vec<u8> {
        self.has_key = true;
        &mut self.key
    }

    /// The value, to be written to; empty at first. Without a call the record has none: a tombstone in a compacted topic.
    #[inline]
    pub fn value(&mut self) -> &mut Vec<u8> {
        self.has_value = true;
        &mut self.value
    }

    /// Appends a header.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        self.headers.push(name.as_bytes(), Some(value));
    }

    /// Sets the timestamp, in ms since the Unix epoch.
    pub fn set_timestamp(&mut self, timestamp: Timestamp) {
        self.timestamp = timestamp;
    }

    /// Chooses the partition. Otherwise the key does, as Kafka's own producer would; without a key, batches take turns.
    pub fn set_partition(&mut self, partition: PartitionIndex) {
        self.partition = Some(partition);
    }

    pub(crate) const fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    pub(crate) const fn partition(&self) -> Option<PartitionIndex> {
        self.partition
    }

    pub(crate) fn key_bytes(&self) -> Option<&[u8]> {
        self.has_key.then_some(&self.key)
    }

    pub(crate) fn value_bytes(&self) -> Option<&[u8]> {
        self.has_value.then_some(&self.value)
    }

    pub(crate) fn headers(&self) -> Headers<'_> {
        self.headers.as_headers()
    }
}
