//! Reading a log before any store is open.

use super::{LogState, list};
use crate::{
    error::{Damage, IoError},
    key::LogKey,
    log::{ReadError, Source},
    segment::header::{SEGMENT_HEADER_LEN, SegmentHeader},
};
use millrace_record::{Offset, SharedBatch};
use millrace_runtime::{BLOCK_SIZE, File, OpenOptions};
use std::path::PathBuf;

/// Reads a recovered log from its start to its end.
#[derive(Debug)]
pub struct LogReader {
    store: [u8; 16],
    folder: PathBuf,
    key: LogKey,
    next: Offset,
    end: Offset,
    /// Base and length of the last segment.
    last: (Offset, u64),
    /// Base offsets of the segments, ascending; learnt with the first read.
    bases: Option<Vec<Offset>>,
    /// The segment that is being read, and where.
    open: Option<(Source, Offset, u64)>,
}

impl LogReader {
    pub(super) fn new(store: [u8; 16], folder: PathBuf, log: &LogState) -> Self {
        let last = (log.place.segment, log.place.position);
        Self { store, folder, key: log.key, next: log.start, end: log.end, last, bases: None, open: None }
    }

    /// The next batches, at least one; empty at the end.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&mut self) -> Result<Vec<SharedBatch>, ReadError> {
        while self.next < self.end {
            let (source, offset, position) = match self.open.take() {
                Some(open) => open,
                None => self.open_next().await?,
            };
            let window = source.window(offset, position, crate::log::WINDOW_MAX).await?;
            let batches = window.batches_from(self.next);
            let end = window.next;
            if source.end_offset.is_none_or(|last| end < last) {
                let position = window.end();
                self.open = Some((source, end, position));
            }
            self.next = self.next.max(end);
            if !batches.is_empty() {
                return Ok(batches);
            }
        }
        Ok(Vec::new())
    }

    /// Opens the segment that holds the next offset, at its start.
    async fn open_next(&mut self) -> Result<(Source, Offset, u64), ReadError> {
        let bases = match &mut self.bases {
            Some(bases) => bases,
            bases => {
                let names = list(&self.folder).await?;
                let found = names.iter().filter_map(|entry| crate::log::base_of(&entry.name));
                let mut found: Vec<_> = found.filter(|base| *base <= self.last.0).collect();
                found.sort_unstable();
                bases.insert(found)
            }
        };
        let behind = bases.partition_point(|base| *base <= self.next);
        let Some(&base) = behind.checked_sub(1).and_then(|at| bases.get(at)) else {
            let what = format_args!("no segment holds offset {}", self.next);
            return Err(Damage::new(&self.folder, 0, what).into());
        };
        let next = bases.get(behind).copied();
        let path = self.folder.join(crate::log::file_name(base));
        let file = File::open(&path, OpenOptions::READ).await.map_err(IoError::on("open", &path))?;
        let block = file.read_at(0, BLOCK_SIZE).await.map_err(IoError::on("read", &path))?;
        let header = SegmentHeader::decode(&block).map_err(|error| Damage::new(&path, 0, error))?;
        if header.key != self.key || header.base != base || header.store != self.store {
            return Err(Damage::new(&path, 0, "this is another log's segment").into());
        }
        let len = file.len().await.map_err(IoError::on("ask the length of", &path))?;
        let (end, end_offset) = if base == self.last.0 { (self.last.1, Some(self.end)) } else { (len, next) };
        Ok((Source { id: 0, base, path, file, end, end_offset }, base, SEGMENT_HEADER_LEN))
    }
}
