//! Shortening a log at either end, and removing it.

use super::{
    AppendError, Log, LogInner, ReadError,
    prepare::{Need, PrepareError},
    segments::{self, Segment},
};
use crate::{
    cache::Window,
    error::IoError,
    fatal::FatalError,
    journal::{
        checkpoint_entry,
        entry::{Body, Checkpoint, Entry, Place},
        queues::Pending,
    },
    segment::{
        header::SEGMENT_HEADER_LEN,
        walk::{Step, Walk},
    },
    signal::Done,
};
use bytes::Bytes;
use millrace_record::Offset;
use millrace_runtime::{BLOCK_SIZE, fs};
use std::rc::Rc;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// Why a log's start can't be moved.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogStartError {
    /// The new start lies behind what consumers may see.
    #[error("offset {offset} is behind the high watermark {end}")]
    OutOfRange {
        /// The wanted start.
        offset: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// The log has been removed, or the store closed.
    #[error("the log is closed")]
    Closed,
    /// The store has failed.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// Why a log can't be cut or removed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// The new end lies outside of the log.
    #[error("offset {offset} is not in {start}..={end}")]
    OutOfRange {
        /// The wanted end.
        offset: Offset,
        /// The log's start.
        start: Offset,
        /// The log's end.
        end: Offset,
    },
    /// The log has been removed, or the store closed.
    #[error("the log is closed")]
    Closed,
    /// The place of the cut can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The store has failed.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

impl From<AppendError> for CutError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Fatal(error) => Self::Fatal(error),
            _ => Self::Closed,
        }
    }
}

impl From<PrepareError> for CutError {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Io(error) => Self::Io(error),
            PrepareError::Fatal(error) => Self::Fatal(error),
            PrepareError::Read(error) => Self::Read(error),
        }
    }
}

/// Where a cut goes through.
struct Edge {
    /// Offset of the first batch that is dropped.
    to: Offset,
    place: Place,
    /// Bytes of the place's block before it.
    block: Bytes,
}

impl Log {
    /// Records before `offset` may not be read any more (Kafka's DeleteRecords). Durable when it returns; segments that
    /// hold nothing else are removed.
    ///
    /// # Errors
    /// [`LogStartError`].
    pub async fn advance_start(&self, offset: Offset) -> Result<(), LogStartError> {
        let log = &self.0;
        let done = {
            let state = &mut *log.state.borrow_mut();
            if !state.is_open() {
                return Err(LogStartError::Closed);
            }
            if offset > state.high_watermark() {
                return Err(LogStartError::OutOfRange { offset, end: state.high_watermark() });
            }
            if offset <= state.start {
                return Ok(());
            }
            state.start = offset;
            state.epochs.raise_start(offset);
            log.resize_checkpoint(state);
            let done = Rc::<Done>::default();
            log.queue(state, Body::LogStart { start: offset }, None, Some(Rc::clone(&done)));
            done
        };
        log.shared.journal.wait_for(&done).await?;
        log.waiters.wake_all();
        log.remove_before_start().await;
        Ok(())
    }

    /// Drops every batch that ends behind `offset`, and returns the new end. Nothing but administration and replication
    /// has a use for this: what is dropped may have been acknowledged. Durable when it returns.
    ///
    /// # Errors
    /// [`CutError`]; the log is as it was then, unless the store has failed. A batch that reaches over the log's start
    /// can't be dropped: the log would end before it starts.
    pub async fn cut(&self, offset: Offset) -> Result<Offset, CutError> {
        let log = &self.0;
        let _inside = log.door.enter().await;
        // One at a time: the journal's reserve has room for one.
        let _only = log.shared.cuts.enter().await;
        log.check_cut(offset)?;
        log.settle().await?;
        if log.flush_all().await?.is_none() {
            return Err(CutError::Closed);
        }
        if offset == self.end_offset() {
            return Ok(offset);
        }
        log.ensure_listed().await?;
        let edge = log.edge(offset).await?;
        if edge.to < self.start_offset() {
            return Err(CutError::OutOfRange { offset, start: self.start_offset(), end: self.end_offset() });
        }
        log.perform_cut(&edge).await?;
        Ok(edge.to)
    }
}

impl LogInner {
    fn check_cut(&self, offset: Offset) -> Result<(), CutError> {
        let state = self.state.borrow();
        if !state.is_open() {
            return Err(CutError::Closed);
        }
        if offset < state.start || offset > state.end {
            return Err(CutError::OutOfRange { offset, start: state.start, end: state.end });
        }
        Ok(())
    }

    /// Knows which segments there are.
    pub(super) async fn ensure_listed(self: &Rc<Self>) -> Result<(), ReadError> {
        while !self.state.borrow().segments.listed {
            self.provide(Need::Files).await.map_err(|error| match error {
                PrepareError::Io(error) => ReadError::Io(error),
                PrepareError::Read(error) => error,
                PrepareError::Fatal(_) => ReadError::Closed,
            })?;
        }
        Ok(())
    }

    /// Finds where the first batch starts that ends behind `offset`. Everything is in files.
    async fn edge(self: &Rc<Self>, offset: Offset) -> Result<Edge, CutError> {
        let base = self.state.borrow().segments.holding(offset).map(|segment| segment.base);
        let Some(base) = base else { return Err(CutError::Closed) };
        let Some(source) = self.source_of(base).await? else { return Err(CutError::Closed) };
        let window = self.seek(&source, offset, BLOCK_SIZE).await?;
        let (to, position) = start_in(&window, offset).unwrap_or((source.base, SEGMENT_HEADER_LEN));
        let from = position - position % BLOCK;
        let len = (position - from) as usize;
        let path = segments::path(&self.folder, source.base);
        let block = source.file.read_at(from, len).await.map_err(IoError::on("read", &path))?;
        let place = Place { segment: source.base, position };
        Ok(Edge { to, place, block })
    }

    /// Cuts. Nobody appends or flushes meanwhile; a failure on the way is for good, and recovery takes it from there.
    async fn perform_cut(self: &Rc<Self>, edge: &Edge) -> Result<(), CutError> {
        let _io = self.io.enter().await;
        let forgotten = self.forget_saved_producers().await;
        forgotten.map_err(IoError::on("remove", &self.folder))?;
        let index = self.folder.join(segments::index_name(edge.place.segment));
        self.remove_if_there(&index).await?;
        let begun = self.state.borrow_mut().segments.give_up();
        let (removed, done) = self.cut_in_memory(edge);
        self.shared.journal.wait_for(&done).await?;
        for base in removed.iter().map(|segment| segment.base).chain(begun) {
            for name in [segments::file_name(base), segments::index_name(base)] {
                let path = self.folder.join(name);
                let result = self.remove_if_there(&path).await;
                result.map_err(|error| self.shared.fatal.raise("remove", &path, &error.kind.into()))?;
            }
        }
        let synced = self.when_files_can_be_opened(|| fs::sync_dir(&self.folder)).await;
        self.shared.fatal.guard("sync a folder", &self.folder, synced)?;
        // The block of the cut is written anew: its bytes are in the journal.
        let place = {
            let state = &mut *self.state.borrow_mut();
            if let Some(active) = state.segments.active() {
                active.end = active.end.map(|end| active.tail.pad(end));
            }
            state.segments.end()
        };
        self.flush_to(place, true).await?;
        let done = Rc::<Done>::default();
        let checkpoint = self.checkpoint_after_cut(place);
        self.shared.journal.push_maintenance(checkpoint_entry(self, checkpoint, &done));
        self.shared.journal.wait_for(&done).await?;
        Ok(())
    }

    /// Makes the log end at the edge, for everybody who looks from now on, and queues the entry that tells it. Returns
    /// the segments that are behind it.
    fn cut_in_memory(self: &Rc<Self>, edge: &Edge) -> (Vec<Segment>, Rc<Done>) {
        let state = &mut *self.state.borrow_mut();
        let Place { segment: base, position } = edge.place;
        let mut removed = state.segments.remove_from(base);
        let file = removed.first_mut().and_then(|segment| segment.file.take());
        for segment in &mut removed {
            self.shared.memory.give(segment.tail.clear());
        }
        let mut last = Segment::growing(self.shared.next_id(), base, edge.to, position);
        last.file = file;
        last.written = position - position % BLOCK;
        last.synced = last.written;
        last.allocated = position.next_multiple_of(BLOCK);
        let taken = last.tail.restart(position, &edge.block);
        if taken > 0 {
            self.shared.memory.take(taken, self);
        }
        state.segments.push(last);
        state.end = edge.to;
        state.durable_end = state.durable_end.min(edge.to);
        state.epochs.cut(edge.to);
        self.resize_checkpoint(state);
        state.producers = None;
        state.cuts += 1;
        let done = Rc::<Done>::default();
        let body = Body::Cut { to: edge.to, at: edge.place, block: edge.block.clone() };
        let entry = Entry { key: self.key, body };
        let number = state.number();
        let pending =
            Pending { log: Rc::clone(self), number, entry, batch: None, done: Some(Rc::clone(&done)) };
        self.shared.journal.push_maintenance(pending);
        removed.remove(0);
        (removed, done)
    }

    fn checkpoint_after_cut(&self, place: Place) -> Checkpoint {
        let state = &mut *self.state.borrow_mut();
        state.entries.framed.clear();
        state.entries.covered = state.entries.made;
        Checkpoint { place, replay_from: self.shared.journal.next_sequence(), ..self.present(state) }
    }

    pub(super) async fn remove_if_there(&self, path: &std::path::Path) -> Result<(), IoError> {
        if fs::exists(path).await.map_err(IoError::on("look for", path))? {
            fs::remove_file(path).await.map_err(IoError::on("remove", path))?;
        }
        Ok(())
    }

    /// Removes the segments that end before the log's start. One that stays behind is found and removed later.
    pub(super) async fn remove_before_start(&self) {
        let _io = self.io.enter().await;
        let removed = {
            let state = &mut *self.state.borrow_mut();
            if !state.segments.listed || !state.is_open() {
                return;
            }
            let start = state.start;
            state.segments.remove_before(start)
        };
        for mut segment in removed {
            self.shared.memory.give(segment.tail.clear());
            for name in [segments::file_name(segment.base), segments::index_name(segment.base)] {
                if let Err(error) = self.remove_if_there(&self.folder.join(name)).await {
                    tracing::warn!(log = %self.key, %error, "a segment before the log's start stays");
                }
            }
        }
    }
}

/// Offset and position of the first batch in a window that ends behind `offset`.
fn start_in(window: &Window, offset: Offset) -> Option<(Offset, u64)> {
    let mut walk = Walk::new(&window.bytes, window.base, 0);
    while let Ok(Some(Step::Batch(start, header))) = walk.step() {
        if header.next_offset() > offset {
            return Some((header.base_offset, window.base + start as u64));
        }
    }
    None
}
