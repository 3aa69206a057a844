//! Reading.

use super::{Log, LogInner, Status};
use crate::{
    cache::Window,
    error::{Damage, IoError},
    journal::entry::Place,
    segment::marks::Collector,
};
use millrace_record::{BatchHeader, Offset, SharedBatch};
use std::rc::Rc;

/// Bytes that are read at once where nobody says how many.
const STEP: usize = 1 << 20;

/// Up to where a reader may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark: records of open transactions too.
    #[default]
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

/// What a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// The first offset; the batch that holds it comes whole.
    pub offset: Offset,
    /// Bytes of batches at most, as a Kafka client counts them.
    pub max_bytes: usize,
    /// Whether the first batch comes even if it is longer than that.
    pub at_least_one: bool,
    /// Up to where.
    pub isolation: Isolation,
}

/// What a reader gets. Batches share memory with the log and keep it alive.
#[derive(Clone, Debug)]
pub struct Read {
    /// Consecutive batches, from the one that holds the wanted offset.
    pub batches: Vec<SharedBatch>,
    /// The log's start when this was read.
    pub start_offset: Offset,
    /// The high watermark then.
    pub high_watermark: Offset,
    /// The last stable offset then.
    pub last_stable_offset: Offset,
}

/// Why a log can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset lies before the log's start, or behind its end.
    #[error("offset {offset} is out of range {start}..={end}")]
    OutOfRange {
        /// The wanted offset.
        offset: Offset,
        /// The log's start.
        start: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// The bytes on disk are not what was written.
    #[error(transparent)]
    Corrupt(#[from] Damage),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The log has been removed.
    #[error("the log is closed")]
    Closed,
}

impl Log {
    /// Reads batches. From memory at once; else from the segment, with read-ahead. Ends early where the rest would have
    /// to be waited for: nothing follows from a short answer but that the next read goes on there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&self, request: &ReadRequest) -> Result<Read, ReadError> {
        loop {
            if let Some(read) = self.read_now(request)? {
                return Ok(read);
            }
            if let Some(window) = self.0.fetch(request.offset, request.max_bytes).await?
                && let Some(read) = self.0.read_from(request, Some(&window), None)?
            {
                return Ok(read);
            }
        }
    }

    /// As [`Log::read`], if it need not wait for the disk: else `None`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_now(&self, request: &ReadRequest) -> Result<Option<Read>, ReadError> {
        self.0.read_from(request, None, None)
    }
}

impl LogInner {
    /// The batches from `from` up to `to`, and where they lie. They are durable.
    pub(super) async fn read_placed(
        self: &Rc<Self>,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<(Place, SharedBatch)>, ReadError> {
        let mut placed = Vec::new();
        let mut offset = from;
        while offset < to {
            let step = self.read_step(offset, to).await?;
            let Some((_, last)) = step.last() else { break };
            offset = last.header().next_offset();
            placed.extend(step);
        }
        Ok(placed)
    }

    /// The first of these batches, as many as are read at a time; none if there are none.
    pub(super) async fn read_step(
        self: &Rc<Self>,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<(Place, SharedBatch)>, ReadError> {
        let isolation = Isolation::ReadUncommitted;
        let request = ReadRequest { offset: from, max_bytes: STEP, at_least_one: true, isolation };
        loop {
            let mut places = Vec::new();
            let mut read = self.read_from(&request, None, Some(&mut places))?;
            if read.is_none()
                && let Some(window) = self.fetch(from, STEP).await?
            {
                places.clear();
                read = self.read_from(&request, Some(&window), Some(&mut places))?;
            }
            if let Some(read) = read {
                let batches = places.into_iter().zip(read.batches);
                return Ok(batches.filter(|(_, batch)| batch.header().base_offset < to).collect());
            }
        }
    }

    /// Reads from memory: tails, the cache, and a window that was just fetched.
    fn read_from(
        &self,
        request: &ReadRequest,
        fetched: Option<&Window>,
        places: Option<&mut Vec<Place>>,
    ) -> Result<Option<Read>, ReadError> {
        let (start, end, listed) = {
            let state = self.state.borrow();
            if matches!(state.status, Status::Removing(_) | Status::Removed) {
                return Err(ReadError::Closed);
            }
            (state.start, state.high_watermark(), state.segments.listed)
        };
        if request.offset < start || request.offset > end {
            return Err(ReadError::OutOfRange { offset: request.offset, start, end });
        }
        let mut batches = Vec::new();
        let answer =
            |batches| Read { batches, start_offset: start, high_watermark: end, last_stable_offset: end };
        if request.offset == end {
            return Ok(Some(answer(batches)));
        }
        if !listed {
            return Ok(None);
        }
        let mut left = request.max_bytes;
        let mut is_first = true;
        let mut wants = |header: &BatchHeader| {
            let fits = (header.kafka_len as usize) <= left || (is_first && request.at_least_one);
            let wanted = fits && header.next_offset() <= end;
            left = left.saturating_sub(header.kafka_len as usize);
            is_first = false;
            wanted
        };
        let mut collector =
            Collector { offset: request.offset, wants: &mut wants, found: &mut batches, places };
        let mut found_any = match fetched {
            Some(window) => {
                let more = window.read(&mut collector);
                if !more {
                    return Ok(Some(answer(batches)));
                }
                true
            }
            None => false,
        };
        while collector.offset < end {
            match self.collect(&mut collector) {
                Some(true) => found_any = true,
                Some(false) => {
                    found_any = true;
                    break;
                }
                None => break,
            }
        }
        Ok(found_any.then(|| answer(batches)))
    }

    /// Collects from what is in memory: a tail or a cached window that holds the collector's offset. `None` if neither
    /// does, else whether more is wanted.
    fn collect(&self, collector: &mut Collector<'_>) -> Option<bool> {
        let before = collector.offset;
        let state = self.state.borrow();
        let segment = state.segments.holding(before)?;
        let more = if segment.tail.first_offset().is_some_and(|first| first <= before) {
            segment.tail.read(segment.base, collector)
        } else {
            self.shared.cache.window(segment.id, before)?.read(collector)
        };
        // No progress though more is wanted: what is there was not to be taken.
        Some(more && collector.offset > before)
    }
}
