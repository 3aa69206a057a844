//! The partitions of a source's task: what of them is there, which is read next, how far each was read.

use super::{Demand, SourceBatch, SourceData, SplitSpec};
use crate::{
    epoch::{Attempt, JobId, SourceId, SourcePosition},
    failure::Cause,
    task::{SourceRecords, SplitStatus},
};
use millrace_record::{
    BatchHeader, Codec, LeaderEpoch, Offset, PartitionIndex, Scratch, SharedBatch, TopicId,
    kafka::KAFKA_HEADER_LEN,
};
use std::collections::VecDeque;

/// More is asked for when fewer bytes than this are there.
const LOW_BYTES: usize = 256 << 10;
/// How much is asked for at once.
const DEMAND_BYTES: usize = 512 << 10;
/// The most that a compressed batch may come out as.
const INFLATED_BYTES_MAX: usize = 128 << 20;
/// What the memory for decompression is shrunk to after a batch.
const INFLATED_BYTES_KEPT: usize = 1 << 20;

/// The partitions of a source's task.
#[derive(Debug)]
pub(crate) struct SourceReader {
    job: JobId,
    attempt: Attempt,
    source: SourceId,
    splits: Vec<Split>,
    /// The partition to look at first, so that none starves the others.
    next: usize,
    scratch: Scratch,
    /// Demands to be carried off.
    pub(crate) demands: Vec<Demand>,
    /// Whether all input ends, so that a task without partitions has ended from the beginning.
    is_bounded: bool,
    /// Whether the end was told.
    ended: bool,
}

#[derive(Debug)]
struct Split {
    topic: TopicId,
    partition: PartitionIndex,
    /// The next offset to be read: everything before it was.
    position: Offset,
    /// The position at the last barrier.
    told: Offset,
    leader_epoch: LeaderEpoch,
    until: Offset,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// How many records of the first batch were taken; nothing before it was opened.
    taken: Option<u32>,
    /// Where the next demand begins.
    demand_from: Offset,
    /// Whether a demand is out.
    is_demanded: bool,
    high_watermark: Offset,
}

/// A batch that waits.
#[derive(Debug)]
struct Queued {
    batch: SourceBatch,
    /// The length that it came with: it may be decompressed while it waits.
    bytes: usize,
    leader_epoch: LeaderEpoch,
}

/// What is to be done next with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceTurn {
    /// Take records of this partition's first batch.
    Batch(usize),
    /// Every partition was read to its end.
    End,
}

impl SourceReader {
    pub(crate) fn new(job: JobId, attempt: Attempt, source: SourceId, is_bounded: bool) -> Self {
        Self {
            job,
            attempt,
            source,
            splits: Vec::new(),
            next: 0,
            scratch: Scratch::new(INFLATED_BYTES_MAX),
            demands: Vec::new(),
            is_bounded,
            ended: false,
        }
    }

    /// Adds a partition; returns its status for the task's context.
    pub(crate) fn add(&mut self, spec: &SplitSpec, now_ms: i64) -> SplitStatus {
        let split = Split {
            topic: spec.topic,
            partition: spec.partition,
            position: spec.start,
            told: spec.start,
            leader_epoch: -1,
            until: spec.until.unwrap_or(Offset::MAX),
            queue: VecDeque::new(),
            queued_bytes: 0,
            taken: None,
            demand_from: spec.start,
            is_demanded: false,
            high_watermark: spec.start,
        };
        let ended = split.is_ended();
        self.splits.push(split);
        self.demand(self.splits.len() - 1);
        let waiting_since_ms = (!ended).then_some(now_ms);
        SplitStatus { topic: spec.topic, partition: spec.partition, waiting_since_ms, ended }
    }

    /// Goes back to other positions: a new attempt begins. Partitions that are not named keep theirs.
    pub(crate) fn reset(&mut self, attempt: Attempt, positions: &[SourcePosition]) {
        self.attempt = attempt;
        self.ended = false;
        self.demands.clear();
        for index in 0..self.splits.len() {
            let split = &mut self.splits[index];
            split.queue.clear();
            (split.queued_bytes, split.taken, split.is_demanded) = (0, None, false);
            let position =
                positions.iter().find(|p| (p.topic, p.partition) == (split.topic, split.partition));
            if let Some(position) = position {
                (split.position, split.leader_epoch) = (position.offset, position.leader_epoch);
            }
            (split.demand_from, split.told) = (split.position, split.position);
            self.demand(index);
        }
    }

    /// Takes in batches; returns the partition's index, or nothing if the task does not read it.
    pub(crate) fn receive(&mut self, data: SourceData) -> Option<usize> {
        let index =
            self.splits.iter().position(|s| (s.topic, s.partition) == (data.topic, data.partition))?;
        let split = &mut self.splits[index];
        split.is_demanded = false;
        split.high_watermark = data.high_watermark;
        split.demand_from = data.next.max(split.demand_from);
        for batch in data.batches {
            let bytes = batch.batch.payload().len();
            split.queued_bytes += bytes;
            split.queue.push_back(Queued { batch, bytes, leader_epoch: data.leader_epoch });
        }
        if split.queue.is_empty() {
            // Nothing but what the log leaves out, such as the ends of transactions.
            split.position = split.position.max(data.next);
            split.leader_epoch = data.leader_epoch;
        }
        self.demand(index);
        Some(index)
    }

    /// Whether something could be done.
    pub(crate) fn is_ready(&self) -> bool {
        self.splits.iter().any(|split| !split.queue.is_empty()) || self.turn_is_end()
    }

    fn turn_is_end(&self) -> bool {
        let can_end = self.is_bounded || !self.splits.is_empty();
        !self.ended && can_end && self.splits.iter().all(Split::is_ended)
    }

    /// What is to be done next.
    pub(crate) fn turn(&mut self) -> Option<SourceTurn> {
        let count = self.splits.len();
        for offset in 0..count {
            let index = (self.next + offset) % count;
            if !self.splits[index].queue.is_empty() {
                self.next = (index + 1) % count;
                return Some(SourceTurn::Batch(index));
            }
        }
        if self.turn_is_end() {
            self.ended = true;
            return Some(SourceTurn::End);
        }
        None
    }

    /// The records of a partition's first batch that were not taken yet; nothing if it has none for us.
    pub(crate) fn records(&mut self, index: usize) -> Result<Option<SourceRecords<'_>>, Cause> {
        let Self { splits, scratch, .. } = self;
        let split = &mut splits[index];
        let Some(Queued { batch: first, .. }) = split.queue.front_mut() else { return Ok(None) };
        let header = *first.batch.header();
        if header.attributes.is_control()
            || end_of(&header) <= split.position
            || header.base_offset >= split.until
        {
            return Ok(None);
        }
        let invalid = |error: &dyn std::fmt::Display| Cause::InvalidBatch(error.to_string());
        if split.taken.is_none() {
            inflate(first, scratch).map_err(|error| invalid(&error))?;
            split.taken = Some(0);
        }
        let records = first.batch.as_batch().records(scratch).map_err(|error| invalid(&error))?;
        let taken = split.taken.unwrap_or(0);
        let span = split.position..split.until;
        Ok(Some(SourceRecords::new(records, taken, header.record_count, span, first.checked)))
    }

    /// Notes how many records of a partition's first batch were taken.
    pub(crate) fn advance(&mut self, index: usize, taken: u32) {
        self.splits[index].taken = Some(taken);
    }

    /// A partition's first batch is done. Returns whether nothing of the partition is left to read for now.
    pub(crate) fn finish(&mut self, index: usize) -> bool {
        let split = &mut self.splits[index];
        if let Some(Queued { batch, bytes, leader_epoch }) = split.queue.pop_front() {
            split.queued_bytes -= bytes;
            split.leader_epoch = leader_epoch;
            split.position = split.position.max(end_of(batch.batch.header()));
        }
        split.taken = None;
        if split.queue.is_empty() {
            split.position = split.position.max(split.demand_from);
        }
        let is_empty = split.queue.is_empty();
        self.demand(index);
        is_empty
    }

    /// Whether batches of a partition are there.
    pub(crate) fn has_data(&self, index: usize) -> bool {
        !self.splits[index].queue.is_empty()
    }

    pub(crate) fn is_ended(&self, index: usize) -> bool {
        self.splits[index].is_ended()
    }

    /// How far each partition was read that has moved since the last time. Asked between batches.
    pub(crate) fn moved_positions(&mut self) -> Vec<SourcePosition> {
        let position = |split: &Split| SourcePosition {
            source: self.source,
            topic: split.topic,
            partition: split.partition,
            leader_epoch: split.leader_epoch,
            offset: split.position,
        };
        let moved = self.splits.iter().filter(|split| split.position != split.told).map(position).collect();
        for split in &mut self.splits {
            split.told = split.position;
        }
        moved
    }

    /// Records that readers may see and this task has not read, over all partitions.
    pub(crate) fn lag(&self) -> u64 {
        self.splits.iter().map(Split::lag).sum()
    }

    fn demand(&mut self, index: usize) {
        let split = &mut self.splits[index];
        if split.is_demanded || split.queued_bytes >= LOW_BYTES || split.demand_from >= split.until {
            return;
        }
        split.is_demanded = true;
        self.demands.push(Demand {
            job: self.job,
            attempt: self.attempt,
            source: self.source,
            topic: split.topic,
            partition: split.partition,
            from: split.demand_from,
            max_bytes: DEMAND_BYTES,
        });
    }
}

impl Split {
    fn is_ended(&self) -> bool {
        self.queue.is_empty() && self.position >= self.until
    }

    /// Records that readers may see and that were not taken; those of the first batch count one by one.
    fn lag(&self) -> u64 {
        let first = self.queue.front().map(|first| first.batch.batch.header().base_offset);
        let taken = first.zip(self.taken).map(|(base, taken)| base + i64::from(taken));
        let next = taken.map_or(self.position, |taken| taken.max(self.position));
        (self.high_watermark - next).max(0).cast_unsigned()
    }
}

/// One past the last offset of a batch.
fn end_of(header: &BatchHeader) -> Offset {
    header.base_offset + i64::from(header.last_offset_delta) + 1
}

/// Puts an uncompressed batch in the place of a compressed one, so that coming back to it costs no second decompression.
fn inflate(batch: &mut SourceBatch, scratch: &mut Scratch) -> Result<(), millrace_record::BatchError> {
    let mut header = *batch.batch.header();
    if header.codec == Codec::None {
        return Ok(());
    }
    let payload = batch.batch.payload();
    let records = scratch.decompress(header.codec, &payload[KAFKA_HEADER_LEN..])?;
    let mut inflated = Vec::with_capacity(KAFKA_HEADER_LEN + records.len());
    inflated.extend_from_slice(&payload[..KAFKA_HEADER_LEN]);
    inflated.extend_from_slice(records);
    scratch.shrink_to(INFLATED_BYTES_KEPT);
    header.codec = Codec::None;
    header.payload_len = inflated.len() as u32;
    batch.batch = SharedBatch::new(header, inflated.into())?;
    Ok(())
}
