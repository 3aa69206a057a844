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

/// What the index of a segment still lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Everything before this offset and position.
    Before(Offset, u64),
    /// Everything.
    All,
}

impl LogInner {
    /// Looks something up in the index of the segment at `base`, which knows all batches that its file holds. `None` if
    /// the segment is gone.
    pub(super) async fn with_index<R>(
        self: &Rc<Self>,
        base: Offset,
        look: impl Fn(&SegmentIndex) -> R,
    ) -> Result<Option<R>, ReadError> {
        loop {
            let Some(source) = self.source_of(base).await? else { return Ok(None) };
            let lack = {
                let state = self.state.borrow();
                match state.segments.get(base).filter(|segment| segment.id == source.id).map(|at| &at.index) {
                    Some(Indexed::Whole(index)) => return Ok(Some(look(index))),
                    Some(Indexed::From(offset, position, _)) => Lack::Before(*offset, *position),
                    Some(Indexed::Elsewhere) => Lack::All,
                    None => continue,
                }
            };
            if let (Lack::All, Some(index)) = (lack, self.shared.cache.index(source.id)) {
                return Ok(Some(look(&index)));
            }
            let built = self.build_index(&source, lack).await?;
            let found = look(&built);
            if self.take_index(&source, lack, built) {
                return Ok(Some(found));
            }
        }
    }

    /// Keeps an index that was built. Tells whether it is all that there is to know; if not, it was put where the rest
    /// is, or what was lacking has changed meanwhile: it is to be looked at again.
    fn take_index(&self, source: &Source, lack: Lack, built: SegmentIndex) -> bool {
        {
            let state = &mut *self.state.borrow_mut();
            let segment = state.segments.get_mut(source.base).filter(|segment| segment.id == source.id);
            match (segment.map(|segment| &mut segment.index), lack) {
                (Some(Indexed::Elsewhere), Lack::All) => {}
                (Some(index), Lack::Before(from, at)) => {
                    if let Indexed::From(offset, position, own) = index
                        && (*offset, *position) == (from, at)
                    {
                        let mut whole =
                            std::mem::replace(own, SegmentIndex::new(source.base, SEGMENT_HEADER_LEN));
                        whole.prepend(&built);
                        *index = Indexed::Whole(whole);
                    }
                    return false;
                }
                _ => return false,
            }
        }
        self.shared.cache.keep_index(source.id, Rc::new(built));
        self.shared.memory.relieve(&self.shared.cache);
        true
    }

    /// The index of what is lacking.
    async fn build_index(self: &Rc<Self>, source: &Source, lack: Lack) -> Result<SegmentIndex, ReadError> {
        let (until, until_position) = match lack {
            Lack::Before(offset, position) => (offset, position),
            Lack::All => (source.end_offset.unwrap_or(Offset::MAX), source.end),
        };
        let saved = self.saved_index(source.base).await.filter(|index| match lack {
            Lack::Before(..) => index.end() <= until,
            Lack::All => Some(index.end()) == source.end_offset,
        });
        let was_saved = saved.is_some();
        let mut index = saved.unwrap_or_else(|| SegmentIndex::new(source.base, SEGMENT_HEADER_LEN));
        while index.end() < until && index.end_position() < until_position {
            let window = source.window(index.end(), index.end_position(), WINDOW_MAX).await?;
            let mut walk = Walk::new(&window.bytes, window.base, 0);
            while let Ok(Some(Step::Batch(start, header))) = walk.step() {
                if header.base_offset < until {
                    index.note(&header, window.base + start as u64);
                }
            }
        }
        if lack == Lack::All && !was_saved {
            let _io = self.io.enter().await;
            if self.is_current(source) {
                self.write_index(source.base, &index).await;
            }
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
