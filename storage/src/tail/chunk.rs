//! Memory that one writer appends to while readers hold what is already there.
//!
//! A chunk is a contiguous, block-aligned piece of a segment's image. Its writer fills it from front to back; every byte
//! is written once. Readers get [`Bytes`] over bytes that were written before, without a copy, and may send them to
//! other shards while the writer goes on behind them.

use bytes::Bytes;
use millrace_runtime::AlignedBuf;
use std::{ops::Range, ptr::NonNull, slice, sync::Arc};

/// The memory, kept alive by the chunk and by every view.
struct Memory {
    /// First byte of `owner`, derived from it once. `owner` itself is never dereferenced again, because that would
    /// assert exclusive or frozen access to all of the memory.
    start: NonNull<u8>,
    #[expect(dead_code, reason = "owns the memory behind `start`")]
    owner: AlignedBuf,
}

// SAFETY: the memory is plain bytes. It is written only by `Chunk::append`, which has exclusive access to the only
// `Chunk` of this memory and writes only behind `Chunk::len`; views read only before it. So no byte is read and
// written at the same time, and whatever hands a view to another thread orders the writes before the reads.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// A piece of a segment's image that is being filled.
pub(crate) struct Chunk {
    memory: Arc<Memory>,
    /// Bytes that are filled: before it nothing is written any more, behind it nothing is read.
    len: usize,
    capacity: usize,
}

impl Chunk {
    /// An empty chunk of at least `capacity` bytes, rounded up to whole blocks.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut owner = AlignedBuf::zeroed(capacity);
        let capacity = owner.len();
        let start = NonNull::new(owner.as_mut_ptr()).expect("allocated memory is not at null");
        Self { memory: Arc::new(Memory { start, owner }), len: 0, capacity }
    }

    /// Bytes that are filled.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it can hold.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that can be filled yet.
    pub(crate) const fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// Fills the next `len` bytes: `fill` gets them as zeros.
    ///
    /// # Panics
    /// If there is no room for them.
    pub(crate) fn append<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> T) -> T {
        assert!(
            len <= self.room(),
            "a chunk of {} bytes has room for {}, not {len}",
            self.capacity,
            self.room()
        );
        // SAFETY: the range lies within the memory. It lies behind `self.len`, so no view covers any of it, and `&mut
        // self` keeps every other writer away: access is exclusive. The bytes are initialised: allocated as zeros.
        let slot = unsafe { slice::from_raw_parts_mut(self.memory.start.as_ptr().add(self.len), len) };
        let output = fill(slot);
        self.len += len;
        output
    }

    /// The filled bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the range lies within the memory and is not written any more.
        unsafe { slice::from_raw_parts(self.memory.start.as_ptr(), self.len) }
    }

    /// A view of filled bytes.
    ///
    /// # Panics
    /// If `range` is not within what is filled.
    pub(crate) fn view(&self, range: Range<usize>) -> View {
        assert!(range.start <= range.end && range.end <= self.len, "a view covers filled bytes only");
        View { memory: Arc::clone(&self.memory), start: range.start, len: range.end - range.start }
    }
}

/// Filled bytes of a chunk, which they keep alive. Cheap to make; can be sent.
#[derive(Clone)]
pub(crate) struct View {
    memory: Arc<Memory>,
    start: usize,
    len: usize,
}

impl View {
    /// The same bytes, to be sliced and sent on.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `Chunk::view` made sure that the range lies within the memory and was filled, so that it is not
        // written any more.
        unsafe { slice::from_raw_parts(self.memory.start.as_ptr().add(self.start), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_runtime::BLOCK_SIZE;

    #[test]
    fn views_stay_as_the_chunk_goes_on() {
        let mut chunk = Chunk::new(100);
        assert_eq!((chunk.capacity(), chunk.len()), (BLOCK_SIZE, 0));
        chunk.append(3, |slot| slot.copy_from_slice(b"abc"));
        let view = chunk.view(1..3).into_bytes();
        chunk.append(2, |slot| slot.copy_from_slice(b"de"));
        assert_eq!(chunk.bytes(), b"abcde");
        assert_eq!(chunk.view(0..5).as_ref(), b"abcde");
        drop(chunk);
        assert_eq!(view, b"bc"[..]);
    }

    #[test]
    #[should_panic(expected = "filled bytes only")]
    fn nothing_unfilled_is_shown() {
        let chunk = Chunk::new(1);
        drop(chunk.view(0..1));
    }

    #[test]
    fn views_are_aligned_as_direct_writes_need_them() {
        let mut chunk = Chunk::new(3 * BLOCK_SIZE);
        chunk.append(3 * BLOCK_SIZE, |slot| slot.fill(1));
        let view = chunk.view(BLOCK_SIZE..2 * BLOCK_SIZE);
        assert!((view.as_ref().as_ptr() as usize).is_multiple_of(BLOCK_SIZE));
    }
}

#[cfg(test)]
mod between_threads {
    use super::*;

    #[test]
    fn a_view_may_be_read_elsewhere_while_the_chunk_is_filled() {
        let mut chunk = Chunk::new(1 << 20);
        let mut readers = Vec::new();
        for round in 0..64u8 {
            chunk.append(1000, |slot| slot.fill(round));
            let at = usize::from(round) * 1000;
            let view = chunk.view(at..at + 1000).into_bytes();
            // Threads are what this is about: outside of the simulator views cross shards.
            #[expect(clippy::disallowed_methods, reason = "the test needs a second thread")]
            readers.push(std::thread::spawn(move || view.iter().all(|&byte| byte == round)));
        }
        assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
    }
}
