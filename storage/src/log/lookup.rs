//! Finding offsets by time.
//!
//! Exact to the record, also inside compressed batches and where timestamps are out of order: the index tells for every
//! place the largest timestamp before it, so the first batch that can hold the answer is found, and read.

use super::{Isolation, Log, LogInner, ReadError, ReadRequest, segments::Indexed};
use crate::segment::index::{MaxTimestamp, SegmentIndex};
use millrace_record::{LeaderEpoch, Offset, Scratch, SharedBatch, Timestamp};
use std::rc::Rc;

/// Bytes that are read at once.
const STEP: usize = 1 << 20;
/// A batch that decompresses to more is answered by its first offset, in bytes. Producers fill batches of a few MiB at most;
/// what comes to more is made to. The memory is never held while something is waited for: a shard has it once.
const DECOMPRESSED_MAX: usize = 32 << 20;

/// A record that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// Why a timestamp can't be looked up: the log can't be read.
pub type LookupError = ReadError;

impl Log {
    /// The first record whose timestamp is not before `timestamp`; `None` if no record that may be seen is as new.
    ///
    /// # Errors
    /// If the log can't be read.
    pub async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        isolation: Isolation,
    ) -> Result<Option<FoundOffset>, LookupError> {
        let mut at = self.start_offset();
        while at < self.high_watermark() {
            match self.0.hint(at, timestamp).await? {
                Hint::From(offset) => {
                    return self.first_from(offset.max(at), isolation, |found| found >= timestamp).await;
                }
                Hint::Behind(next) => at = next,
                Hint::None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp; `None` if no record may be seen.
    ///
    /// # Errors
    /// If the log can't be read.
    pub async fn max_timestamp(&self, isolation: Isolation) -> Result<Option<FoundOffset>, LookupError> {
        let (mut at, mut best) = (self.start_offset(), None::<MaxTimestamp>);
        let end = self.high_watermark();
        while at < end {
            let Some((max, next)) = self.0.segment_max(at).await? else { break };
            // What the index knows may lie outside of what may be seen: then the batches themselves tell.
            let is_visible = |max: &MaxTimestamp| max.batch >= at && max.batch < end;
            let max = match max {
                Some(max) if !is_visible(&max) => self.largest_between(at, next.min(end), isolation).await?,
                max => max,
            };
            if max.is_some_and(|max| best.is_none_or(|best| max.timestamp > best.timestamp)) {
                best = max;
            }
            at = next;
        }
        match best {
            Some(best) => {
                let from = best.batch.max(self.start_offset());
                self.first_from(from, isolation, |found| found == best.timestamp).await
            }
            None => Ok(None),
        }
    }

    /// The first record from `offset` on whose timestamp fits.
    async fn first_from(
        &self,
        mut offset: Offset,
        isolation: Isolation,
        fits: impl Fn(Timestamp) -> bool,
    ) -> Result<Option<FoundOffset>, ReadError> {
        let start = offset;
        // The index knows batches that nobody may see yet.
        while offset < self.high_watermark() {
            let request = ReadRequest { offset, max_bytes: STEP, at_least_one: true, isolation };
            let batches = self.read(&request).await?.batches;
            let Some(last) = batches.last() else { break };
            offset = last.header().next_offset();
            let mut scratch = Scratch::new(DECOMPRESSED_MAX);
            for batch in &batches {
                if let Some(found) = find_in(batch, start, &fits, &mut scratch) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The largest timestamp of the records from `offset` on in the batches before `end`.
    async fn largest_between(
        &self,
        mut offset: Offset,
        end: Offset,
        isolation: Isolation,
    ) -> Result<Option<MaxTimestamp>, ReadError> {
        let mut best = None::<MaxTimestamp>;
        let start = offset;
        while offset < end {
            let request = ReadRequest { offset, max_bytes: STEP, at_least_one: true, isolation };
            let batches = self.read(&request).await?.batches;
            let Some(last) = batches.last() else { break };
            offset = last.header().next_offset();
            let mut scratch = Scratch::new(DECOMPRESSED_MAX);
            for batch in batches.iter().filter(|batch| batch.header().base_offset < end) {
                let timestamp = largest_in(batch, start, &mut scratch);
                if best.is_none_or(|best| timestamp > best.timestamp) {
                    best = Some(MaxTimestamp { timestamp, batch: batch.header().base_offset });
                }
            }
        }
        Ok(best)
    }
}

/// The first record of a batch, not before `start`, whose timestamp fits.
fn find_in(
    batch: &SharedBatch,
    start: Offset,
    fits: &impl Fn(Timestamp) -> bool,
    scratch: &mut Scratch,
) -> Option<FoundOffset> {
    let header = batch.header();
    let found = |offset, timestamp| FoundOffset { offset, timestamp, leader_epoch: header.leader_epoch };
    match batch.as_batch().records(scratch) {
        Ok(mut records) => records.find_map(|record| {
            let record = record.ok()?;
            (record.offset >= start && fits(record.timestamp)).then(|| found(record.offset, record.timestamp))
        }),
        // It can't be looked into; it does hold the record if its largest timestamp fits.
        Err(_) => {
            fits(header.max_timestamp).then(|| found(header.base_offset.max(start), header.max_timestamp))
        }
    }
}

/// The largest timestamp of a batch's records that are not before `start`.
fn largest_in(batch: &SharedBatch, start: Offset, scratch: &mut Scratch) -> Timestamp {
    let header = batch.header();
    if header.base_offset >= start {
        return header.max_timestamp;
    }
    let records = batch.as_batch().records(scratch).into_iter().flatten().flatten();
    let visible = records.filter(|record| record.offset >= start);
    visible.map(|record| record.timestamp).max().unwrap_or(header.max_timestamp)
}

/// Where a timestamp may be found.
enum Hint {
    /// From this offset on.
    From(Offset),
    /// Not in this segment; the next one starts here.
    Behind(Offset),
    /// Not here, and there is no other segment.
    None,
}

impl LogInner {
    /// Asks the segment that holds `offset` where it has a timestamp.
    async fn hint(self: &Rc<Self>, offset: Offset, timestamp: Timestamp) -> Result<Hint, ReadError> {
        let Some((max, next)) = self.segment_max(offset).await? else { return Ok(Hint::None) };
        if max.is_none_or(|max| max.timestamp < timestamp) {
            return Ok(if next == Offset::MAX { Hint::None } else { Hint::Behind(next) });
        }
        let base = self.state.borrow().segments.holding(offset).map(|segment| segment.base);
        let Some(base) = base else { return Ok(Hint::From(offset)) };
        let found = self.with_index(base, |index| index.before_timestamp(timestamp)).await?.flatten();
        Ok(found.map_or(Hint::From(offset), |(offset, _)| Hint::From(offset)))
    }

    /// The largest timestamp in the segment that holds `offset`, and where the next segment starts (or `MAX`).
    async fn segment_max(
        self: &Rc<Self>,
        offset: Offset,
    ) -> Result<Option<(Option<MaxTimestamp>, Offset)>, ReadError> {
        self.ensure_listed().await?;
        let (base, next, known) = {
            let state = self.state.borrow();
            let Some(segment) = state.segments.holding(offset) else { return Ok(None) };
            let next = state.segments.behind(segment.base).unwrap_or(Offset::MAX);
            (segment.base, next, segment.max_timestamp)
        };
        if let Some(max) = known {
            return Ok(Some((max, next)));
        }
        let Some(max) = self.with_index(base, SegmentIndex::max_timestamp).await? else { return Ok(None) };
        let state = &mut *self.state.borrow_mut();
        if next < Offset::MAX
            && let Some(segment) = state.segments.get_mut(base)
            && matches!(segment.index, Indexed::Elsewhere)
        {
            segment.max_timestamp = Some(max);
        }
        Ok(Some((max, next)))
    }
}
