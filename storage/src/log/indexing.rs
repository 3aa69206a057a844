//! Coming by the index of a segment: from this life's appends, the cache, its file, or the segment itself.

use super::{
    LogInner, ReadError,
    cold::{Source, WINDOW_MAX},
    segments::{self, Indexed},
};
use crate::segment::{
    header::SEGMENT_HEADER_LEN,
    index::SegmentIndex,
    walk::{Step, Walk},
};
use millrace_record::Offset;
use millrace_runtime::fs;
use std::rc::Rc;

impl LogInner {
    /// Looks something up in the index of a segment, which knows all batches that its file holds.
    pub(super) async fn with_index<R>(
        &self,
        source: &Source,
        look: impl FnOnce(&SegmentIndex) -> R,
    ) -> Result<R, ReadError> {
        let (until, until_position) = {
            let state = self.state.borrow();
            match state
                .segments
                .get(source.base)
                .filter(|segment| segment.id == source.id)
                .map(|at| &at.index)
            {
                Some(Indexed::Whole(index)) => return Ok(look(index)),
                Some(Indexed::From(offset, position, _)) => (*offset, *position),
                Some(Indexed::Elsewhere) | None => (Offset::MAX, source.end),
            }
        };
        if let Some(index) = self.shared.cache.index(source.id) {
            return Ok(look(&index));
        }
        let earlier = self.build_index(source, until, until_position).await?;
        {
            let state = &mut *self.state.borrow_mut();
            if let Some(segment) =
                state.segments.get_mut(source.base).filter(|segment| segment.id == source.id)
                && let Indexed::From(_, _, own) = &mut segment.index
            {
                let mut whole = std::mem::replace(own, SegmentIndex::new(source.base, SEGMENT_HEADER_LEN));
                whole.prepend(&earlier);
                let found = look(&whole);
                segment.index = Indexed::Whole(whole);
                return Ok(found);
            }
        }
        let earlier = Rc::new(earlier);
        if self.is_current(source) {
            self.shared.cache.keep_index(source.id, Rc::clone(&earlier));
            self.shared.memory.relieve(&self.shared.cache);
        }
        Ok(look(&earlier))
    }

    /// The index of all batches before `until`, which lies at `until_position`.
    async fn build_index(
        &self,
        source: &Source,
        until: Offset,
        until_position: u64,
    ) -> Result<SegmentIndex, ReadError> {
        let saved = self
            .saved_index(source.base)
            .await
            .filter(|index| index.end() <= until && source.end_offset.is_none_or(|end| index.end() == end));
        let was_saved = saved.is_some();
        let mut index = saved.unwrap_or_else(|| SegmentIndex::new(source.base, SEGMENT_HEADER_LEN));
        let until = until.min(source.end_offset.unwrap_or(Offset::MAX));
        while index.end() < until && index.end_position() < until_position {
            let window = source.window(index.end(), index.end_position(), WINDOW_MAX).await?;
            let mut walk = Walk::new(&window.bytes, window.base, 0);
            while let Ok(Some(Step::Batch(start, header))) = walk.step() {
                if header.base_offset < until {
                    index.note(&header, window.base + start as u64);
                }
            }
        }
        if source.end_offset.is_some() && !was_saved {
            self.write_index(source.base, &index).await;
        }
        Ok(index)
    }

    async fn saved_index(&self, base: Offset) -> Option<SegmentIndex> {
        let path = self.folder.join(segments::index_name(base));
        if !matches!(fs::exists(&path).await, Ok(true)) {
            return None;
        }
        match fs::read(&path).await.map(|bytes| SegmentIndex::decode(&bytes)) {
            Ok(Ok(index)) if index.base() == base => Some(index),
            _ => {
                tracing::warn!(path = %path.display(), "an index does not read, and is made anew");
                None
            }
        }
    }

    /// Writes the index of a sealed segment beside it. Without the file the next start reads the segment instead.
    pub(super) async fn write_index(&self, base: Offset, index: &SegmentIndex) {
        let path = self.folder.join(segments::index_name(base));
        if let Err(error) = fs::write_atomically(&path, &index.encode()).await {
            tracing::warn!(path = %path.display(), %error, "cannot save an index");
        }
    }

    /// An index has led to a place where no batch is: it is not used again.
    pub(super) async fn distrust_index(&self, source: &Source) {
        self.shared.cache.forget_index(source.id);
        let path = self.folder.join(segments::index_name(source.base));
        if matches!(fs::exists(&path).await, Ok(true))
            && let Err(error) = fs::remove_file(&path).await
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a wrong index");
        }
    }
}
