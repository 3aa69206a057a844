//! Reading from segment files.
//!
//! Everything read is checked before anyone sees it: headers and payloads against their checksums, offsets against
//! each other. What does not fit is named by file and position, and never served.

use super::{
    LogInner, ReadError,
    segments::{self, Segment},
};
use crate::{
    cache::Window,
    error::{Damage, IoError},
    segment::{
        header::{SEGMENT_HEADER_LEN, SegmentHeader},
        marks::Marks,
        walk::{Step, Walk},
    },
};
use bytes::Bytes;
use millrace_record::{Batch, HEADER_LEN, Offset};
use millrace_runtime::{BLOCK_SIZE, File, OpenOptions, Queue, spawn_into};
use std::{path::PathBuf, rc::Rc};

/// Bytes of a first read, and of the longest that read-ahead grows to.
const WINDOW_MIN: usize = 64 * 1024;
pub(crate) const WINDOW_MAX: usize = 1 << 20;

#[derive(Debug)]
/// A segment that is being read, and how far it can be.
pub(crate) struct Source {
    pub(crate) id: u64,
    pub(crate) base: Offset,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Position behind what the file holds.
    pub(crate) end: u64,
    /// Offset behind that, if it is known.
    pub(crate) end_offset: Option<Offset>,
}

impl Source {
    fn damage(&self, position: u64, what: impl std::fmt::Display) -> ReadError {
        Damage::new(&self.path, position, what).into()
    }

    async fn read_at(&self, position: u64, len: usize) -> Result<Bytes, ReadError> {
        let len = len.min((self.end - position) as usize);
        let bytes = self.file.read_at(position, len).await.map_err(IoError::on("read", &self.path))?;
        if bytes.len() < len {
            return Err(self.damage(position + bytes.len() as u64, "the file ends before its last batch"));
        }
        Ok(bytes)
    }

    /// Reads consecutive batches from `position` on, where the one at `offset` starts: some `len` bytes of them, at
    /// least one.
    pub(crate) async fn window(
        &self,
        offset: Offset,
        position: u64,
        len: usize,
    ) -> Result<Window, ReadError> {
        let mut len = len;
        loop {
            let bytes = self.read_at(position, len).await?;
            match self.check(offset, position, &bytes)? {
                Ok(window) => return Ok(window),
                Err(need) => len = need.next_multiple_of(BLOCK_SIZE),
            }
        }
    }

    /// Checks what was read. The inner `Err` says how many bytes the first batch needs.
    fn check(
        &self,
        offset: Offset,
        position: u64,
        bytes: &Bytes,
    ) -> Result<Result<Window, usize>, ReadError> {
        let mut walk = Walk::new(bytes, position, 0);
        let mut marks = Marks::default();
        let (mut next, mut used) = (offset, 0);
        loop {
            let at = position + walk.at() as u64;
            match walk.step().map_err(|error| self.damage(at, error))? {
                Some(Step::Batch(start, header)) => {
                    let at = position + start as u64;
                    if header.base_offset != next {
                        let found = header.base_offset;
                        return Err(self.damage(at, format_args!("offset {found} where {next} follows")));
                    }
                    let payload = &bytes[start + HEADER_LEN..walk.at()];
                    let checked = Batch::new(header, payload).and_then(|batch| batch.check());
                    checked.map_err(|error| self.damage(at, error))?;
                    marks.note(header.base_offset, start);
                    next = header.next_offset();
                    used = walk.at();
                }
                // A segment that is appended to is in the file up to some block only; the rest is in memory.
                Some(Step::Partial { .. }) if used > 0 && self.end_offset.is_none() => break,
                Some(Step::Partial { start, need }) if position + (start + need) as u64 > self.end => {
                    return Err(
                        self.damage(position + start as u64, "a batch goes on behind the segment's end")
                    );
                }
                Some(Step::Partial { start, need }) if used == 0 => return Ok(Err(start + need)),
                Some(Step::Partial { .. }) => break,
                None if used == 0 => return Err(self.damage(position, "no batch where one must be")),
                None => {
                    used = walk.at();
                    break;
                }
            }
        }
        if self.end_offset.is_some_and(|end| next > end || (next < end && position + used as u64 == self.end))
        {
            return Err(
                self.damage(position + used as u64, format_args!("the segment ends at offset {next}"))
            );
        }
        Ok(Ok(Window {
            segment: self.base,
            base: position,
            bytes: bytes.slice(..used),
            marks,
            first: offset,
            next,
        }))
    }
}

impl LogInner {
    /// Brings a window that holds `offset` into the cache, and returns it. `None` if the log has to be looked at again:
    /// the offset is in memory, or its segment has changed meanwhile.
    pub(super) async fn fetch(
        self: &Rc<Self>,
        offset: Offset,
        max_bytes: usize,
    ) -> Result<Option<Rc<Window>>, ReadError> {
        self.find_window(offset, max_bytes).await.inspect_err(|error| self.note_read(error))
    }

    async fn find_window(
        self: &Rc<Self>,
        offset: Offset,
        max_bytes: usize,
    ) -> Result<Option<Rc<Window>>, ReadError> {
        self.ensure_listed().await?;
        let Some(source) = self.source(offset).await? else { return Ok(None) };
        let before = self.shared.cache.window_before(source.id, offset);
        let window = match &before {
            // Someone reads on: more and more at once.
            Some(before) => {
                let len = (2 * before.bytes.len()).clamp(WINDOW_MIN, WINDOW_MAX);
                source.window(offset, before.end(), len).await?
            }
            None => self.seek(&source, offset, max_bytes.clamp(WINDOW_MIN, WINDOW_MAX)).await?,
        };
        let window = Rc::new(window);
        if !self.is_current(&source) {
            return Ok(None);
        }
        self.shared.cache.keep_window(source.id, Rc::clone(&window));
        self.shared.memory.relieve(&self.shared.cache);
        if before.is_some() {
            self.read_ahead(source, &window);
        }
        Ok(Some(window))
    }

    /// Fetches what follows a window while its reader is busy with it.
    fn read_ahead(self: &Rc<Self>, source: Source, window: &Rc<Window>) {
        let is_done = window.end() >= source.end || source.end_offset == Some(window.next);
        if is_done || self.shared.cache.window(source.id, window.next).is_some() {
            return;
        }
        let (log, offset, position) = (Rc::clone(self), window.next, window.end());
        spawn_into(Queue::Background, async move {
            // An error will be found again by whoever needs this.
            if let Ok(window) = source.window(offset, position, WINDOW_MAX).await
                && log.is_current(&source)
                && log.shared.cache.window(source.id, offset).is_none()
            {
                log.shared.cache.keep_window(source.id, Rc::new(window));
                log.shared.memory.relieve(&log.shared.cache);
            }
        });
    }

    /// Reads the window that holds `offset`, by way of the index.
    pub(super) async fn seek(
        self: &Rc<Self>,
        source: &Source,
        offset: Offset,
        len: usize,
    ) -> Result<Window, ReadError> {
        let start = (source.base, SEGMENT_HEADER_LEN);
        // The first batch is where it is in every segment. Whoever reads a log from its start waits for no index, which of a
        // segment that is not sealed may have to be made of all its batches.
        let mut trusts_index = offset > source.base;
        let found = if trusts_index {
            self.with_index(source.base, |index| index.before_offset(offset)).await?.flatten()
        } else {
            None
        };
        let (mut first, mut position) = found.unwrap_or(start);
        loop {
            match source.window(first, position, len).await {
                Ok(window) if window.next > offset => return Ok(window),
                Ok(window) => (first, position) = (window.next, window.end()),
                // Either the segment or its index is wrong. The segment alone decides.
                Err(ReadError::Corrupt(_)) if trusts_index => {
                    trusts_index = false;
                    self.distrust_index(source).await;
                    (first, position) = start;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The segment that holds `offset`, opened. `None` if that is in memory, or the segment gone meanwhile.
    async fn source(self: &Rc<Self>, offset: Offset) -> Result<Option<Source>, ReadError> {
        let base = {
            let state = self.state.borrow();
            let Some(segment) = state.segments.holding(offset) else {
                let what = format_args!("no segment holds offset {offset}");
                return Err(Damage::new(&self.folder, 0, what).into());
            };
            if segment.tail.first_offset().is_some_and(|first| first <= offset) {
                return Ok(None);
            }
            segment.base
        };
        self.source_of(base).await
    }

    /// The segment at `base`, opened. `None` if it is gone.
    pub(super) async fn source_of(self: &Rc<Self>, base: Offset) -> Result<Option<Source>, ReadError> {
        let (id, file) = {
            let state = self.state.borrow();
            let Some(segment) = state.segments.get(base) else { return Ok(None) };
            (segment.id, segment.file.clone().or_else(|| segment.reader.clone()))
        };
        let path = segments::path(&self.folder, base);
        let file = match file {
            Some(file) => file,
            None => self.open_to_read(id, base, path.clone()).await?,
        };
        let len = file.len().await.map_err(IoError::on("ask the length of", &path))?;
        let state = self.state.borrow();
        let Some(segment) = state.segments.get(base).filter(|segment| segment.id == id) else {
            return Ok(None);
        };
        let (end, end_offset) = segment.readable(len, state.segments.behind(base));
        Ok(Some(Source { id, base, path, file, end, end_offset }))
    }

    /// Opens a segment that was not used before, and looks whether it is what it should be.
    async fn open_to_read(self: &Rc<Self>, id: u64, base: Offset, path: PathBuf) -> Result<File, ReadError> {
        let file = File::open(&path, OpenOptions::READ).await.map_err(IoError::on("open", &path))?;
        let block = file.read_at(0, BLOCK_SIZE).await.map_err(IoError::on("read", &path))?;
        let header = SegmentHeader::decode(&block).map_err(|error| Damage::new(&path, 0, error))?;
        if header.key != self.key || header.base != base || header.store != self.shared.dirs.store_id() {
            let what = format_args!("this is segment {} of {}, or another store's", header.base, header.key);
            return Err(Damage::new(&path, 0, what).into());
        }
        if let Some(segment) = self.state.borrow_mut().segments.get_mut(base)
            && segment.id == id
        {
            segment.reader = Some(file.clone());
        }
        self.shared.readers.opened(self, base);
        Ok(file)
    }

    /// Closes a segment that was opened to read.
    pub(crate) fn close_reader(&self, base: Offset) {
        if let Some(segment) = self.state.borrow_mut().segments.get_mut(base) {
            segment.reader = None;
        }
    }

    /// Whether a segment is still what it was when `source` was made of it.
    pub(super) fn is_current(&self, source: &Source) -> bool {
        self.state.borrow().segments.get(source.base).is_some_and(|segment| segment.id == source.id)
    }
}

impl Segment {
    /// Up to where its file can be read: position, and the offset there if it is sealed.
    fn readable(&self, file_len: u64, next: Option<Offset>) -> (u64, Option<Offset>) {
        match self.end {
            None => (file_len, next),
            Some(end) => (self.written.min(end), next.filter(|_| self.written >= end)),
        }
    }
}
