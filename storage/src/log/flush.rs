//! Bringing what is in memory into the segments.
//!
//! Bytes go from the tail to the file as they are, in whole blocks, and no block is written twice: where everything up
//! to the log's end is wanted, padding fills the last block first. So there is never a moment at which a block that
//! holds acknowledged bytes is being rewritten.

use super::{
    Captured, LogInner, State, Status,
    segments::{self, Indexed},
};
use crate::{concurrent::for_each, fatal::FatalError, journal::entry::Place, memory::Eviction};
use bytes::Bytes;
use millrace_record::Offset;
use millrace_runtime::{BLOCK_SIZE, File, OpenOptions, Queue, fs, spawn_into};
use std::{path::Path, rc::Rc};

/// Writes of one segment in flight at once.
const WRITES_IN_FLIGHT: usize = 4;
/// A log's producers are saved when so many bytes were appended since: so much is read to know them after a start.
const UNSAVED_MAX: u64 = 32 << 20;

/// What there is to do for one segment.
struct Job {
    file: Option<File>,
    pieces: Vec<(u64, Bytes)>,
    to: u64,
    is_written: bool,
    is_synced: bool,
    is_named: bool,
    /// Cut the file to this length.
    trim_to: Option<u64>,
}

impl LogInner {
    /// Brings all that the log is now into its segments, durably. `None` if it has been removed.
    pub(crate) async fn flush_all(self: &Rc<Self>) -> Result<Option<Captured>, FatalError> {
        let _io = self.io.enter().await;
        let Some(captured) = self.capture() else { return Ok(None) };
        self.flush_to(captured.place, true).await?;
        Ok(Some(captured))
    }

    /// Brings everything before `place` into the segments, durably.
    pub(super) async fn flush_up_to(self: &Rc<Self>, place: Place) -> Result<(), FatalError> {
        let _io = self.io.enter().await;
        self.flush_to(place, true).await
    }

    /// Starts writing what fills whole blocks, so that its memory can be given up and the next sync has little to do.
    pub(super) fn write_behind(self: &Rc<Self>, state: &mut State) {
        if std::mem::replace(&mut state.writing_behind, true) {
            return;
        }
        let log = Rc::clone(self);
        spawn_into(Queue::Background, async move {
            let result = {
                let _io = log.io.enter().await;
                let end = log.state.borrow().segments.end();
                let blocks = end.position / BLOCK_SIZE as u64 * BLOCK_SIZE as u64;
                log.flush_to(Place { position: blocks, ..end }, false).await
            };
            log.state.borrow_mut().writing_behind = false;
            if result.is_ok() {
                log.shared.memory.relieve(&log.shared.cache);
            }
        });
    }

    /// Gives up the oldest chunk of the tails, if it is in a file.
    pub(crate) fn evict(self: &Rc<Self>) -> Eviction {
        let state = &mut *self.state.borrow_mut();
        let Some(segment) = state.segments.iter_mut().find(|segment| !segment.tail.is_empty()) else {
            return Eviction::Nothing;
        };
        if let Some(len) = segment.tail.evict(segment.written) {
            return Eviction::Freed(len);
        }
        // Where nothing is to be written, only an append or a flush makes a difference; to try again at once would not end.
        let end = segment.end.unwrap_or(0);
        if segment.written < end / BLOCK_SIZE as u64 * BLOCK_SIZE as u64 {
            self.write_behind(state);
        }
        Eviction::Unwritten
    }

    /// Fills the last block and notes all that the log is.
    fn capture(&self) -> Option<Captured> {
        let state = &mut *self.state.borrow_mut();
        if matches!(state.status, Status::Removed) {
            return None;
        }
        if let Some(active) = state.segments.active() {
            active.end = active.end.map(|end| active.tail.pad(end));
        }
        let is_closing = matches!(state.status, Status::Closed);
        let save = state.unsaved_bytes >= UNSAVED_MAX || (is_closing && state.unsaved_bytes > 0);
        if save {
            state.unsaved_bytes = 0;
        }
        Some(Captured {
            place: state.segments.end(),
            start: state.start,
            end: state.end,
            spliced: state.spliced,
            epochs: state.epochs.clone(),
            covered: state.entries.made,
            cuts: state.cuts,
            producers: state.producers.as_ref().filter(|_| save).cloned(),
        })
    }

    pub(super) async fn flush_to(self: &Rc<Self>, place: Place, sync: bool) -> Result<(), FatalError> {
        let bases: Vec<Offset> = {
            let state = self.state.borrow();
            let unfinished = |segment: &&segments::Segment| {
                segment.base <= place.segment && (segment.written < u64::MAX || segment.synced < u64::MAX)
            };
            state.segments.iter().filter(unfinished).map(|segment| segment.base).collect()
        };
        for base in bases {
            self.flush_segment(base, place, sync).await?;
        }
        Ok(())
    }

    async fn flush_segment(
        self: &Rc<Self>,
        base: Offset,
        place: Place,
        sync: bool,
    ) -> Result<(), FatalError> {
        let Some(job) = self.job(base, place) else { return Ok(()) };
        let path = segments::path(&self.folder, base);
        let fatal = &self.shared.fatal;
        let has_work = !job.is_written || (sync && !(job.is_synced && job.is_named && job.trim_to.is_none()));
        if !has_work {
            return Ok(());
        }
        let file = match job.file {
            Some(file) => file,
            None => {
                let opened = self.when_files_can_be_opened(|| File::open(&path, OpenOptions::WRITE)).await;
                let file = fatal.guard("open a segment", &path, opened)?;
                if let Some(segment) = self.state.borrow_mut().segments.get_mut(base) {
                    segment.file = Some(file.clone());
                }
                file
            }
        };
        self.write_pieces(&file, &path, job.pieces).await?;
        if let Some(segment) = self.state.borrow_mut().segments.get_mut(base) {
            segment.written = segment.written.max(job.to);
        }
        if !sync {
            return Ok(());
        }
        if let Some(len) = job.trim_to {
            fatal.guard("cut a segment", &path, file.set_len(len).await)?;
        }
        if !self.shared.options.fault.skip_segment_sync {
            fatal.guard("sync a segment", &path, file.sync_data().await)?;
        }
        if !job.is_named && !self.shared.options.fault.skip_dir_sync {
            let synced = self.when_files_can_be_opened(|| fs::sync_dir(&self.folder)).await;
            fatal.guard("sync a folder", &self.folder, synced)?;
        }
        let is_sealed = {
            let state = &mut *self.state.borrow_mut();
            let Some(segment) = state.segments.get_mut(base) else { return Ok(()) };
            segment.synced = segment.synced.max(job.to);
            segment.named = true;
            segment.trimmed |= job.trim_to.is_some();
            segment.trimmed
        };
        if is_sealed {
            self.save_index(base).await;
        }
        Ok(())
    }

    /// What is to be done for the segment at `base`, if everything before `place` is to be in files.
    fn job(&self, base: Offset, place: Place) -> Option<Job> {
        let state = self.state.borrow();
        let segment = state.segments.get(base)?;
        let end = segment.end?;
        let is_sealed = !state.segments.is_active(base);
        // Everything of a sealed segment lies before the place, and it ends at a block.
        let to = if base < place.segment { end } else { place.position.min(end) };
        Some(Job {
            file: segment.file.clone(),
            pieces: if segment.written < to { segment.tail.pieces(segment.written..to) } else { Vec::new() },
            to,
            is_written: segment.written >= to,
            is_synced: segment.synced >= to,
            is_named: segment.named,
            trim_to: (is_sealed && base < place.segment && !segment.trimmed).then_some(end),
        })
    }

    async fn write_pieces(
        &self,
        file: &File,
        path: &Path,
        mut pieces: Vec<(u64, Bytes)>,
    ) -> Result<(), FatalError> {
        let fatal = self.shared.fatal.clone();
        if pieces.len() <= 1 {
            let Some((position, bytes)) = pieces.pop() else { return Ok(()) };
            return fatal.guard("write a segment", path, file.write_at(position, bytes).await);
        }
        let (file, path) = (file.clone(), path.to_owned());
        for_each(WRITES_IN_FLIGHT, pieces, move |(position, bytes)| {
            let (file, path, fatal) = (file.clone(), path.clone(), fatal.clone());
            async move { fatal.guard("write a segment", &path, file.write_at(position, bytes).await) }
        })
        .await
    }

    /// Writes the index of a sealed segment beside it, and keeps it in the cache alone. Without the file the next start
    /// reads the segment instead.
    async fn save_index(&self, base: Offset) {
        let (id, index) = {
            let state = &mut *self.state.borrow_mut();
            let Some(segment) = state.segments.get_mut(base) else { return };
            match std::mem::replace(&mut segment.index, Indexed::Elsewhere) {
                Indexed::Whole(index) => {
                    segment.max_timestamp = Some(index.max_timestamp());
                    (segment.id, index)
                }
                // What is missing would have to be read; it will be when somebody needs it.
                Indexed::From(..) | Indexed::Elsewhere => return,
            }
        };
        let index = Rc::new(index);
        self.shared.cache.keep_index(id, Rc::clone(&index));
        self.write_index(base, &index).await;
    }
}
