//! What must be true, kept beside the store that is tested.

use millrace_record::{BatchHeader, Encoding, Offset, Timestamp};
use millrace_storage::{Isolation, Log, LogKey, ReadRequest};
use std::collections::BTreeMap;

/// What identifies a batch in a log: where it is, and the checksum of its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) offset: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) encoding: Encoding,
    pub(crate) payload_checksum: u32,
    pub(crate) payload_len: u32,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) producer: (i64, i16, i32),
    pub(crate) is_control: bool,
}

impl Known {
    pub(crate) fn of(header: &BatchHeader, offset: Offset) -> Self {
        Self {
            offset,
            next_offset: offset + i64::from(header.last_offset_delta) + 1,
            encoding: header.encoding,
            payload_checksum: header.payload_checksum,
            payload_len: header.payload_len,
            max_timestamp: header.max_timestamp,
            producer: (header.producer_id, header.producer_epoch, header.base_sequence),
            is_control: header.attributes.is_control(),
        }
    }
}

/// One log as it should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogModel {
    /// Every batch that was given an offset, in order, from the log's first start on.
    pub(crate) batches: Vec<Known>,
    /// How many of them, from the first, were acknowledged.
    pub(crate) acknowledged: usize,
    /// The start that was asked for last, and the one that was acknowledged.
    pub(crate) start_asked: Offset,
    pub(crate) start: Offset,
    /// A cut was begun and not acknowledged.
    pub(crate) cut_asked: Option<Offset>,
    /// Consumers were shown offsets before this one.
    pub(crate) shown: Offset,
    /// What they were shown, as of the last crash: it must be there once all commits are spliced again.
    pub(crate) promised: Vec<Known>,
    pub(crate) removal_asked: bool,
    pub(crate) removed: bool,
    /// What was committed: the commit's number, and its batches, wherever they went.
    pub(crate) commits: Vec<(u64, Vec<Known>)>,
    /// The idempotent producer's next sequence number.
    pub(crate) sequence: i32,
}

impl LogModel {
    pub(crate) fn end(&self) -> Offset {
        self.batches.last().map_or(0, |last| last.next_offset)
    }

    /// Everything up to `end` is acknowledged.
    pub(crate) fn acknowledge(&mut self, end: Offset) {
        let count = self.batches.partition_point(|batch| batch.next_offset <= end);
        self.acknowledged = self.acknowledged.max(count);
    }

    /// What is not there of a commit will be at the end.
    pub(crate) fn expect_commit(&mut self, batches: &[Known]) {
        for batch in batches {
            if !self.batches.iter().any(|known| known.payload_checksum == batch.payload_checksum) {
                let offset = self.end();
                let next_offset = offset + batch.next_offset - batch.offset;
                self.batches.push(Known { offset, next_offset, ..batch.clone() });
            }
        }
    }

    /// Drops what ends behind `to`.
    pub(crate) fn cut(&mut self, to: Offset) {
        self.batches.retain(|batch| batch.next_offset <= to);
        self.acknowledged = self.acknowledged.min(self.batches.len());
        self.shown = self.shown.min(to);
    }

    /// Holds what a recovered log has against what it may have, and takes over what was not certain.
    pub(crate) fn settle(&mut self, key: LogKey, start: Offset, found: &[Known]) {
        assert!(
            self.start <= start && start <= self.start_asked,
            "{key}: start {start} is neither of {self:?}"
        );
        (self.start, self.start_asked) = (start, start);
        if let Some(to) = self.cut_asked.take() {
            let mut cut = self.clone();
            cut.cut(to);
            // A cut waits until all is durable: there is nothing between done and not done.
            let found_end = found.last().map_or(start, |last| last.next_offset);
            if found_end <= cut.end() {
                *self = cut;
            }
        }
        self.promised =
            self.batches.iter().filter(|batch| batch.next_offset <= self.shown).cloned().collect();
        let first = self.batches.partition_point(|batch| batch.next_offset <= start);
        for (at, batch) in found.iter().enumerate() {
            let expected = self.batches.get(first + at);
            assert_eq!(Some(batch), expected, "{key}: batch {at} behind the start {start}");
        }
        let count = first + found.len();
        assert!(
            count >= self.acknowledged,
            "{key}: {} batches were acknowledged, {count} are there",
            self.acknowledged
        );
        self.batches.truncate(count);
        self.acknowledged = count;
        let sequences = self.batches.iter().map(|batch| batch.producer.2 + 2);
        self.sequence = sequences.max().filter(|next| *next >= 2).unwrap_or(0);
    }
}

/// All logs.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) logs: BTreeMap<LogKey, LogModel>,
    pub(crate) next_id: u64,
    pub(crate) next_commit: u64,
}

/// Reads all that consumers may see of a log, in requests of `max_bytes`, and checks each batch.
pub(crate) async fn read_all(log: &Log, max_bytes: usize) -> Vec<Known> {
    let mut found: Vec<Known> = Vec::new();
    let mut offset = log.start_offset();
    loop {
        let request =
            ReadRequest { offset, max_bytes, at_least_one: true, isolation: Isolation::ReadUncommitted };
        let read = log.read(&request).await.unwrap_or_else(|error| panic!("{log:?} at {offset}: {error}"));
        let Some(last) = read.batches.last() else {
            assert_eq!(offset, read.high_watermark, "{log:?}: nothing more before the high watermark");
            return found;
        };
        offset = last.header().next_offset();
        for batch in &read.batches {
            batch.as_batch().check().unwrap_or_else(|error| panic!("{log:?}: {error}"));
            let header = batch.header();
            if let Some(previous) = found.last() {
                assert_eq!(previous.next_offset, header.base_offset, "{log:?}: batches follow each other");
            }
            found.push(Known::of(header, header.base_offset));
        }
    }
}
