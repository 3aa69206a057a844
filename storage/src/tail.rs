//! The end of a segment in memory: an image of the file, from a block's start up to the last batch.
//!
//! Live readers are served from here, and write-behind writes it out as it is. It consists of chunks that grow with the
//! rate of appends; a batch lies in one chunk. Where a batch does not fit the last chunk, a new one begins at the
//! block that holds the end, with a copy of what that block already has: so every block is whole in one chunk, the one
//! that it is written from.

mod chunk;

pub(crate) use chunk::View;

use crate::segment::{
    marks::{Collector, Marks, Piece},
    walk::pad,
};
use bytes::Bytes;
use chunk::Chunk;
use millrace_record::{Offset, header::padding_len};
use millrace_runtime::BLOCK_SIZE;
use std::{cell::OnceCell, collections::VecDeque, ops::Range};

const BLOCK: u64 = BLOCK_SIZE as u64;
/// The largest chunk that grows by itself, in bytes: below it, few batches fit; above, memory is given back late.
const CHUNK_LEN_MAX: usize = 1 << 20;
struct Part {
    chunk: Chunk,
    /// Where the chunk starts in the segment; a block's start.
    base: u64,
    /// Batches that start in it.
    marks: Marks,
}

impl Part {
    fn end(&self) -> u64 {
        self.base + self.chunk.len() as u64
    }
}

/// The image of a segment's end.
#[derive(Default)]
pub(crate) struct Tail {
    parts: VecDeque<Part>,
}

impl Tail {
    /// Bytes of memory that it holds.
    pub(crate) fn memory_len(&self) -> usize {
        self.parts.iter().map(|part| part.chunk.capacity()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Offset of the first batch that is here; `None` if there is none.
    pub(crate) fn first_offset(&self) -> Option<Offset> {
        self.parts.iter().find_map(|part| part.marks.first_offset())
    }

    /// Appends a batch whose bytes `fill` writes, at position `end`, which is where the tail ends. Returns a view of
    /// the batch, and how many bytes of memory were taken for it.
    pub(crate) fn append(
        &mut self,
        end: u64,
        offset: Offset,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> (View, usize) {
        let taken = self.make_room(end, len);
        let part = self.parts.back_mut().expect("room was made");
        let at = part.chunk.len();
        part.marks.note(offset, at);
        part.chunk.append(len, fill);
        (part.chunk.view(at..at + len), taken)
    }

    /// Fills the block that `end`, the tail's end, lies in, and returns the new end. Nothing is there to be filled if
    /// `end` is a block's start.
    pub(crate) fn pad(&mut self, end: u64) -> u64 {
        let len = padding_len(end, BLOCK);
        if len > 0 {
            let part = self.parts.back_mut().expect("a block that is begun is in memory");
            debug_assert_eq!(part.end(), end, "the tail ends where the segment does");
            part.chunk.append(len as usize, pad);
        }
        end + len
    }

    /// Starts the tail with the first bytes of the block that `end` lies in: what a cut leaves of it.
    pub(crate) fn restart(&mut self, end: u64, block: &[u8]) -> usize {
        debug_assert!(self.parts.is_empty() && end % BLOCK == block.len() as u64);
        if block.is_empty() {
            return 0;
        }
        let mut chunk = Chunk::new(BLOCK_SIZE);
        chunk.append(block.len(), |slot| slot.copy_from_slice(block));
        let taken = chunk.capacity();
        self.parts.push_back(Part { chunk, base: end - block.len() as u64, marks: Marks::default() });
        taken
    }

    fn make_room(&mut self, end: u64, len: usize) -> usize {
        let mut begun = &[][..];
        let mut grown = BLOCK_SIZE;
        if let Some(last) = self.parts.back() {
            debug_assert_eq!(last.end(), end, "the tail ends where the segment does");
            if len <= last.chunk.room() {
                return 0;
            }
            begun = &last.chunk.bytes()[last.chunk.len() - (end % BLOCK) as usize..];
            grown = (2 * last.chunk.capacity()).min(CHUNK_LEN_MAX);
        }
        debug_assert_eq!(begun.len() as u64, end % BLOCK, "a block that is begun is in memory");
        let mut chunk = Chunk::new((begun.len() + len).max(grown));
        chunk.append(begun.len(), |slot| slot.copy_from_slice(begun));
        let taken = chunk.capacity();
        self.parts.push_back(Part { chunk, base: end - end % BLOCK, marks: Marks::default() });
        taken
    }

    /// The bytes of `range`, whose ends are starts of blocks, in pieces ready to be written.
    pub(crate) fn pieces(&self, range: Range<u64>) -> Vec<(u64, Bytes)> {
        let mut pieces = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            // What is behind the next chunk's start is written from there.
            let end = self.parts.get(at + 1).map_or_else(|| part.end(), |next| next.base);
            let (from, to) = (range.start.max(part.base), range.end.min(end));
            if from < to {
                let view = part.chunk.view((from - part.base) as usize..(to - part.base) as usize);
                pieces.push((from, view.into_bytes()));
            }
        }
        pieces
    }

    /// Gives up the oldest chunk if all that it has is before `written`, and returns the bytes of memory that it had.
    pub(crate) fn evict(&mut self, written: u64) -> Option<usize> {
        // The last block of a chunk may be written from the next one; its own batches are whole in it alone.
        if self.parts.front()?.end() > written {
            return None;
        }
        self.parts.pop_front().map(|part| part.chunk.capacity())
    }

    /// Gives up everything, and returns the bytes of memory that it had.
    pub(crate) fn clear(&mut self) -> usize {
        let taken = self.memory_len();
        self.parts.clear();
        taken
    }

    /// Collects batches of the segment at `segment`. Returns whether more is wanted at the end.
    pub(crate) fn read(&self, segment: Offset, collector: &mut Collector<'_>) -> bool {
        let behind = self
            .parts
            .partition_point(|part| part.marks.first_offset().is_none_or(|first| first <= collector.offset));
        self.parts.range(behind.saturating_sub(1)..).all(|part| {
            let bytes = part.chunk.bytes();
            let view = OnceCell::new();
            let share =
                |range| view.get_or_init(|| part.chunk.view(0..bytes.len()).into_bytes()).slice(range);
            collector.collect(Piece { segment, base: part.base, bytes, marks: &part.marks }, share)
        })
    }
}

#[cfg(test)]
mod tests;
