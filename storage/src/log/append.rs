//! Appending.

use super::{
    Log, LogInner, State,
    claim::Room,
    prepare::{Need, PrepareError, Whose},
};
use crate::{
    epochs::EpochStart,
    error::IoError,
    fatal::FatalError,
    journal::entry::{Body, Place},
    producer::{SequenceError, Verdict},
};
use millrace_record::{
    Assignment, Batch, BatchError, BatchHeader, HEADER_LEN, LeaderEpoch, Offset, Timestamp,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Why a batch is not appended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The disk is full, or no more files can be opened. That may pass.
    #[error("the disk is full, or too many files are open: {0}")]
    Exhausted(IoError),
    /// The batch is longer than the log admits.
    #[error("a batch of {len} bytes, the limit is {max}")]
    TooLarge {
        /// The batch's length, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// Its producer's numbers do not fit.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// Its header contradicts itself, or the log has no offsets left.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The log has been removed, or the store closed.
    #[error("the log is closed")]
    Closed,
    /// What the log needs for it can't be had.
    #[error(transparent)]
    Io(#[from] IoError),
    /// What the log needs for it can't be read.
    #[error(transparent)]
    Read(#[from] super::ReadError),
    /// The store has failed.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

impl From<PrepareError> for AppendError {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Io(error) if error.may_pass() => Self::Exhausted(error),
            PrepareError::Io(error) => Self::Io(error),
            PrepareError::Fatal(error) => Self::Fatal(error),
            PrepareError::Read(error) => Self::Read(error),
        }
    }
}

/// A batch is in the log, in memory at least.
#[derive(Debug)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset behind its last record.
    pub next_offset: Offset,
    /// Whether it was there already: its producer has sent it twice.
    pub is_duplicate: bool,
    /// Ready when it is durable.
    pub durable: Durable,
}

/// Ready when everything before an offset is as durable as the log's options say. Dropping it changes nothing.
pub struct Durable {
    log: Rc<LogInner>,
    offset: Offset,
    place: Option<(Offset, u64)>,
}

/// What came of an attempt.
pub(super) enum Attempt {
    Appended(Appended),
    Needs(Need),
}

impl Log {
    /// Appends a batch. Its offset is given in the order of calls, as soon as there is space and room in the journal;
    /// that is at once if nothing is short. [`Appended::durable`] tells when it is durable. With `append_time` the
    /// batch gets that time instead of its producer's.
    ///
    /// The payload is trusted: whoever received it has checked it (`millrace_record::kafka::validate`). Nothing is
    /// appended if the future is dropped before it is ready.
    ///
    /// # Errors
    /// [`AppendError`]; nothing is appended then.
    pub async fn append(
        &self,
        batch: &Batch<'_>,
        append_time: Option<Timestamp>,
    ) -> Result<Appended, AppendError> {
        let log = &self.0;
        let _inside = log.door.enter().await;
        loop {
            match log.try_append(batch, append_time)? {
                Attempt::Appended(appended) => return Ok(appended),
                Attempt::Needs(need) => log.provide(need).await?,
            }
        }
    }

    /// As [`Log::append`], if that need not wait: else `None`, and nothing is appended.
    ///
    /// # Errors
    /// [`AppendError`]; nothing is appended then.
    pub fn append_now(
        &self,
        batch: &Batch<'_>,
        append_time: Option<Timestamp>,
    ) -> Result<Option<Appended>, AppendError> {
        let Some(_inside) = self.0.door.try_enter() else { return Ok(None) };
        Ok(match self.0.try_append(batch, append_time)? {
            Attempt::Appended(appended) => Some(appended),
            Attempt::Needs(_) => None,
        })
    }

    /// Ready when everything that was appended so far is durable.
    #[must_use]
    pub fn durable(&self) -> Durable {
        Durable { log: Rc::clone(&self.0), offset: self.end_offset(), place: None }
    }
}

impl LogInner {
    pub(super) fn try_append(
        self: &Rc<Self>,
        batch: &Batch<'_>,
        append_time: Option<Timestamp>,
    ) -> Result<Attempt, AppendError> {
        let attempt = self.attempt(batch, append_time)?;
        self.shared.memory.relieve(&self.shared.cache);
        Ok(attempt)
    }

    fn attempt(
        self: &Rc<Self>,
        batch: &Batch<'_>,
        append_time: Option<Timestamp>,
    ) -> Result<Attempt, AppendError> {
        let (header, options) = (batch.header(), self.options.get());
        let len = header.total_len();
        self.shared.fatal.check()?;
        let state = &mut *self.state.borrow_mut();
        if !state.is_open() {
            return Err(AppendError::Closed);
        }
        if len > options.batch_bytes_max {
            return Err(AppendError::TooLarge { len, max: options.batch_bytes_max });
        }
        if header.has_producer() {
            if !state.segments.listed {
                return Ok(Attempt::Needs(Need::Files));
            }
            let Some(producers) = &state.producers else { return Ok(Attempt::Needs(Need::Producers)) };
            if let Verdict::Duplicate(seen) = producers.check(header)? {
                let next_offset = seen.base_offset + i64::from(seen.last_offset_delta) + 1;
                return Ok(Attempt::Appended(self.appended(seen.base_offset, next_offset, true)));
            }
        }
        let is_large = len >= self.shared.options.direct_append_bytes;
        if let Err(need) = state.need_for(len, is_large, options.segment_bytes, Room::default()) {
            return Ok(Attempt::Needs(need));
        }
        if !self.shared.journal.has_room(len) {
            return Ok(Attempt::Needs(Need::Room));
        }
        self.begin_epoch(state, state.leader_epoch);
        let assignment = Assignment { base_offset: state.end, leader_epoch: state.leader_epoch, append_time };
        BatchHeader { base_offset: state.end, ..*header }.check_fields().map_err(BatchError::from)?;
        let header = self.put(state, batch, &assignment, is_large, |at, header| {
            if is_large { Body::Reference { at, header } } else { Body::Append { at, header } }
        });
        if let Some(producers) = &mut state.producers {
            producers.note(&header);
        }
        Ok(Attempt::Appended(self.appended(header.base_offset, header.next_offset(), false)))
    }

    fn appended(self: &Rc<Self>, base_offset: Offset, next_offset: Offset, is_duplicate: bool) -> Appended {
        let durable = Durable { log: Rc::clone(self), offset: next_offset, place: None };
        Appended { base_offset, next_offset, is_duplicate, durable }
    }

    /// Puts a batch at the log's end, for which there is space, and queues the entry that `body` makes for it.
    pub(super) fn put(
        self: &Rc<Self>,
        state: &mut State,
        batch: &Batch<'_>,
        assignment: &Assignment,
        aligned: bool,
        body: impl FnOnce(Place, BatchHeader) -> Body,
    ) -> BatchHeader {
        let mut header = *batch.header();
        let len = header.total_len();
        let active = state.segments.active().expect("there is space to append to");
        let mut end = active.end.expect("a segment that is appended to has a known end");
        if aligned {
            end = active.tail.pad(end);
        }
        let fill = |slot: &mut [u8]| {
            let (head, payload) = slot.split_at_mut(HEADER_LEN);
            payload.copy_from_slice(batch.payload());
            assignment.apply(&mut header, payload).expect("the header was checked with this offset");
            head.copy_from_slice(&header.pack());
        };
        let (view, taken) = active.tail.append(end, assignment.base_offset, len, fill);
        active.note(&header, end);
        let at = Place { segment: active.base, position: end };
        if aligned {
            active.end = active.end.map(|end| active.tail.pad(end));
        }
        let unwritten = active.end.map_or(0, |end| end.saturating_sub(active.written));
        let next_space = active.space_ahead(state.claimed);
        state.end = header.next_offset();
        state.unsaved_bytes += len as u64;
        let body = body(at, header);
        let view = matches!(body, Body::Append { .. }).then_some(view);
        self.queue(state, body, view, None);
        self.after_put(state, taken, unwritten, next_space);
        header
    }

    /// Work ahead that is better done before somebody waits for it.
    fn after_put(self: &Rc<Self>, state: &mut State, taken: usize, unwritten: u64, next_space: Option<u64>) {
        if taken > 0 {
            self.shared.memory.take(taken, self);
        }
        if unwritten >= self.shared.options.write_behind_bytes {
            self.write_behind(state);
        }
        if let Some(end) = next_space {
            self.start_preparing(state, Need::Space(end), Whose::Append);
        }
    }

    /// The journal learns of a new epoch before its first batch.
    pub(super) fn begin_epoch(self: &Rc<Self>, state: &mut State, epoch: LeaderEpoch) {
        if state.epochs.latest() == Some(epoch) {
            return;
        }
        let start = EpochStart { epoch, start: state.end };
        state.epochs.begin(start.epoch, start.start);
        self.resize_checkpoint(state);
        self.queue(state, Body::EpochStart { start }, None, None);
    }
}

impl Durable {
    /// The offset before which everything is durable then.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.offset
    }
}

impl Future for Durable {
    /// `Err` if the store fails, or the log is removed, before.
    type Output = Result<(), AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (durable_end, is_gone) = {
            let state = self.log.state.borrow();
            (state.durable_end, !state.is_open())
        };
        if durable_end >= self.offset {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.log.shared.fatal.get() {
            return Poll::Ready(Err(error.into()));
        }
        // A store that is being closed makes everything durable, and one that is dropped nothing any more.
        if is_gone && !self.log.shared.journal.is_working() {
            return Poll::Ready(Err(AppendError::Closed));
        }
        let place = self.place.unwrap_or_else(|| self.log.waiters.place(self.offset));
        self.log.waiters.wait(place, cx.waker());
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.log.waiters.give_up(place);
        }
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable({} up to {})", self.log.key, self.offset)
    }
}
