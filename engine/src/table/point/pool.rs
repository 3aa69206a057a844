//! The memory of a point table: segments of 32 KiB in slabs of 2 MiB, shared by its namespaces.

use super::line::Line;

/// How many lines a segment has: 32 KiB.
pub(super) const SEGMENT_LINES: usize = 512;
/// How many segments a slab has: 2 MiB, a huge page.
const SLAB_SEGMENTS: usize = 64;

/// What is known about a segment beside its lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meta {
    /// How many entries it has.
    pub(super) entries: u32,
    /// How many of its lines are marked as overflowed.
    pub(super) over: u32,
}

/// Segments, in use and free.
///
/// A slab gets its memory at once, but touches it segment by segment, so that no insert waits for 2 MiB of page faults.
#[derive(Default)]
pub(super) struct Pool {
    slabs: Vec<Vec<Line>>,
    meta: Vec<Meta>,
    /// Lists of free segments: a namespace that is dropped gives back its own list as it is.
    free: Vec<Vec<u32>>,
    /// Room for the lines of a segment while it is built anew.
    scratch: Vec<Line>,
}

impl Pool {
    /// A segment of empty lines.
    pub(super) fn take(&mut self) -> u32 {
        while let Some(list) = self.free.last_mut() {
            if let Some(id) = list.pop() {
                self.clear(id);
                return id;
            }
            self.free.pop();
        }
        let id = self.meta.len();
        if id / SLAB_SEGMENTS == self.slabs.len() {
            self.slabs.push(Vec::with_capacity(SLAB_SEGMENTS * SEGMENT_LINES));
        }
        let slab = &mut self.slabs[id / SLAB_SEGMENTS];
        slab.resize(slab.len() + SEGMENT_LINES, Line::EMPTY);
        self.meta.push(Meta::default());
        u32::try_from(id).expect("segments of 32 KiB outnumber memory before they outnumber u32")
    }

    /// Takes segments back. What they hold is forgotten.
    pub(super) fn give_back(&mut self, ids: Vec<u32>) {
        if !ids.is_empty() {
            self.free.push(ids);
        }
    }

    #[inline]
    pub(super) fn lines(&self, id: u32) -> &[Line] {
        let id = id as usize;
        &self.slabs[id / SLAB_SEGMENTS][id % SLAB_SEGMENTS * SEGMENT_LINES..][..SEGMENT_LINES]
    }

    #[inline]
    pub(super) fn lines_mut(&mut self, id: u32) -> &mut [Line] {
        let id = id as usize;
        &mut self.slabs[id / SLAB_SEGMENTS][id % SLAB_SEGMENTS * SEGMENT_LINES..][..SEGMENT_LINES]
    }

    #[inline]
    pub(super) fn meta_mut(&mut self, id: u32) -> &mut Meta {
        &mut self.meta[id as usize]
    }

    /// Empties a segment and returns its lines, in a buffer for [`put_scratch`](Self::put_scratch).
    pub(super) fn drain(&mut self, id: u32) -> Vec<Line> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(self.lines(id));
        self.clear(id);
        scratch
    }

    /// Keeps a buffer for the next [`drain`](Self::drain).
    pub(super) fn put_scratch(&mut self, scratch: Vec<Line>) {
        if scratch.capacity() == SEGMENT_LINES {
            self.scratch = scratch;
        }
    }

    fn clear(&mut self, id: u32) {
        self.lines_mut(id).fill(Line::EMPTY);
        self.meta[id as usize] = Meta::default();
    }
}
