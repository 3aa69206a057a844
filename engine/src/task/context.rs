//! What a task's calls may use: outputs, the clock, the budget.

use super::Watch;
use crate::{
    data::Encode,
    exchange::{ChangeKind, EdgeOutput, Mark, Partitioning, SendState},
    failure::RecordPlace,
    key::HashedKey,
    sink::TopicOutput,
};
use millrace_record::{Offset, PartitionIndex, TopicId};

/// A partition that a source's task reads on this shard, as far as its clock is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitStatus {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// Since when nothing more was there to read, though the task could have taken it; processing time in ms. Nothing
    /// while there are records, or while the task is blocked: then the partition is not idle, but waiting for us.
    pub waiting_since_ms: Option<i64>,
    /// Whether a bounded partition has been read to its end: it holds no watermark back.
    pub ended: bool,
}

/// What a task's calls may use. One per task, kept between calls.
#[derive(Debug)]
pub struct Context {
    pub(crate) edges: Vec<EdgeOutput>,
    pub(crate) topics: Vec<TopicOutput>,
    pub(crate) send: SendState,
    /// How many topic outputs wait for the log.
    pub(crate) topics_blocked: usize,
    /// What is left of the step's budget.
    pub(crate) budget: u32,
    pub(crate) now_ms: i64,
    /// When to call [`Task::timer`](super::Task::timer).
    pub(crate) wake_at_ms: Option<i64>,
    /// The watermark that outputs were last told.
    pub(crate) watermark: i64,
    pub(crate) idle: bool,
    pub(crate) splits: Vec<SplitStatus>,
    /// The split whose batch is being taken.
    pub(crate) split: usize,
    /// Records taken in this attempt.
    pub(crate) ordinal: u64,
    /// The offset of the record that is being taken, for sources.
    pub(crate) offset: Option<Offset>,
    pub(crate) watch: Watch,
}

impl Context {
    pub(crate) fn new(send: SendState, watch: Watch) -> Self {
        Self {
            edges: Vec::new(),
            topics: Vec::new(),
            send,
            topics_blocked: 0,
            budget: 0,
            now_ms: 0,
            wake_at_ms: None,
            watermark: i64::MIN,
            idle: false,
            splits: Vec::new(),
            split: 0,
            ordinal: 0,
            offset: None,
            watch,
        }
    }

    /// Whether to stop as soon as the task can: an output has no room, or the step's budget is used up. Asked before
    /// each record, and before each result of a flush.
    #[inline]
    #[must_use]
    pub fn full(&self) -> bool {
        self.budget == 0 || self.is_blocked()
    }

    /// Whether an output has no room.
    #[inline]
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.send.backlogged > 0 || self.topics_blocked > 0
    }

    /// Takes `units` of work (records taken, results flushed) from the step's budget.
    #[inline]
    pub fn charge(&mut self, units: u32) {
        self.budget = self.budget.saturating_sub(units);
    }

    /// Notes that the next record of an edge is being taken, and charges it.
    #[inline]
    pub fn begin_record(&mut self) {
        self.watch.at(self.ordinal);
        self.ordinal += 1;
        self.charge(1);
    }

    /// Notes that a record of a topic is being taken, and charges it.
    #[inline]
    pub fn begin_source_record(&mut self, offset: Offset) {
        self.offset = Some(offset);
        self.begin_record();
    }

    /// What the last call to `begin_record` was about.
    pub(crate) fn place(&self) -> Option<RecordPlace> {
        match (self.offset, self.splits.get(self.split)) {
            (Some(offset), Some(split)) => {
                Some(RecordPlace::Source { topic: split.topic, partition: split.partition, offset })
            }
            _ => self.ordinal.checked_sub(1).map(RecordPlace::Ordinal),
        }
    }

    /// Processing time, in ms since the Unix epoch: an input like any other, the same throughout a step, and never
    /// falling, not even over a restore.
    #[inline]
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Asks to be called when processing time reaches `at_ms`. The earliest moment asked for counts.
    pub fn wake_at(&mut self, at_ms: i64) {
        self.wake_at_ms = Some(self.wake_at_ms.map_or(at_ms, |before| before.min(at_ms)));
    }

    /// The partitions that this source's task reads.
    #[must_use]
    pub fn splits(&self) -> &[SplitStatus] {
        &self.splits
    }

    /// Which of them the current batch is of.
    #[inline]
    #[must_use]
    pub const fn split(&self) -> usize {
        self.split
    }

    /// Sends a record of bytes on an output. They should be an archived value of the edge's type, root last; the reader
    /// checks them. `key` are canonical key bytes, needed where the edge is keyed.
    ///
    /// # Panics
    /// If there is no such output, or the edge is keyed and there is no key, or the key is longer than 65,535 bytes.
    pub fn emit(
        &mut self,
        output: usize,
        timestamp: i64,
        key: Option<HashedKey<'_>>,
        kind: ChangeKind,
        value: &[u8],
    ) {
        let edge = &mut self.edges[output];
        assert!(
            key.is_some() || edge.partitioning() == Partitioning::Local,
            "a record on a keyed edge has a key"
        );
        edge.push_unchecked(timestamp, key, kind, value, &mut self.send);
    }

    /// Sends a value on an output whose type it is.
    #[inline]
    pub(crate) fn send<T: Encode + ?Sized>(
        &mut self,
        output: usize,
        timestamp: i64,
        key: Option<HashedKey<'_>>,
        value: &T,
    ) {
        self.edges[output].push(timestamp, key, value, &mut self.send);
    }

    /// Tells all outputs that no record at or below `watermark` is expected to follow. Lower ones than before are ignored.
    pub fn emit_watermark(&mut self, watermark: i64) {
        if watermark > self.watermark {
            self.watermark = watermark;
            self.mark(Mark::Watermark(watermark));
        }
    }

    /// Tells all outputs whether to wait for this task's watermark.
    pub(crate) fn emit_idle(&mut self, idle: bool) {
        if idle != self.idle {
            self.idle = idle;
            self.mark(if idle { Mark::Idle } else { Mark::Active });
        }
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        for edge in &mut self.edges {
            edge.mark(mark, &mut self.send);
        }
    }

    /// Sends what is open, as far as there are credits.
    pub(crate) fn flush(&mut self) {
        for edge in &mut self.edges {
            edge.flush(&mut self.send);
        }
    }
}
