//! Finding batches in bytes that are in memory, wherever they came from.

use super::walk::{Step, Walk};
use crate::journal::entry::Place;
use bytes::Bytes;
use millrace_record::{BatchHeader, HEADER_LEN, Offset, SharedBatch};
use std::ops::Range;

/// Bytes between two marks: a walk over so many takes well under a microsecond.
const SPACING: usize = 4096;

/// Where some of the batches of a piece of a segment start, the first among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Vec<(Offset, usize)>);

impl Marks {
    /// Notes a batch that starts at `at`, behind all noted before.
    pub(crate) fn note(&mut self, offset: Offset, at: usize) {
        if self.0.last().is_none_or(|(_, last)| at >= last + SPACING) {
            self.0.push((offset, at));
        }
    }

    /// Offset of the first batch.
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.0.first().map(|(offset, _)| *offset)
    }

    /// Where to start walking to come to the batch that holds `offset`, or the first behind it.
    fn before(&self, offset: Offset) -> Option<usize> {
        let behind = self.0.partition_point(|(marked, _)| *marked <= offset);
        self.0.get(behind.saturating_sub(1)).map(|(_, at)| *at)
    }
}

/// A reader's wishes, and what was found for it.
pub(crate) struct Collector<'a> {
    /// The batch that holds this offset is the first that is taken.
    pub(crate) offset: Offset,
    /// Whether one more batch is wanted; the first no stops the search.
    pub(crate) wants: &'a mut dyn FnMut(&BatchHeader) -> bool,
    /// What was found.
    pub(crate) found: &'a mut Vec<SharedBatch>,
    /// Where it was found, if anybody wants to know.
    pub(crate) places: Option<&'a mut Vec<Place>>,
}

/// A piece of a segment that is in memory.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// Base offset of the segment.
    pub(crate) segment: Offset,
    /// Where the piece starts in it.
    pub(crate) base: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) marks: &'a Marks,
}

impl Collector<'_> {
    /// Looks through a piece. `share` gives a part of its bytes to a reader. Returns whether more is wanted.
    pub(crate) fn collect(&mut self, piece: Piece<'_>, share: impl Fn(Range<usize>) -> Bytes) -> bool {
        let Some(at) = piece.marks.before(self.offset) else { return true };
        let mut walk = Walk::new(piece.bytes, piece.base, at);
        while let Ok(Some(Step::Batch(start, header))) = walk.step() {
            if header.last_offset() < self.offset {
                continue;
            }
            if !(self.wants)(&header) {
                return false;
            }
            let payload = share(start + HEADER_LEN..start + header.total_len());
            self.found.extend(SharedBatch::new(header, payload));
            if let Some(places) = &mut self.places {
                places.push(Place { segment: piece.segment, position: piece.base + start as u64 });
            }
            self.offset = header.next_offset();
        }
        true
    }
}
