//! A few buffers that the ring knows, so that a durable write from one saves the kernel the pinning of its pages.
//!
//! Their memory counts against the user's limit on locked memory, of which a small one is soon used up: then buffers are
//! plain memory, which is only a little slower. That is said once and counted.

use super::shard::Shard;
use crate::{AlignedBuf, BLOCK_SIZE};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::{
    cell::{Cell, OnceCell},
    fmt, io,
    ptr::NonNull,
    sync::{
        Arc, Once,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

/// Buffers per shard. Enough for the journal's frames in flight.
const BUFFERS: u32 = 4;

/// Size of each in bytes: the largest frame. Sixteen shards with one buffer each, and what glommio takes, fit into the
/// common limit of 8 MiB.
const BUFFER_SIZE: usize = 256 << 10;

/// Times that a buffer was plain memory instead.
static MISSES: AtomicU64 = AtomicU64::new(0);

/// A shard's registered buffers. Each is registered when it is first needed.
#[derive(Default)]
pub(super) struct RegisteredBuffers {
    pool: OnceCell<Option<Arc<Pool>>>,
    /// How many are registered; the others may become so.
    registered: Cell<u32>,
    /// The limit on locked memory is reached.
    exhausted: Cell<bool>,
}

impl RegisteredBuffers {
    /// A zeroed buffer of `len` bytes, rounded up to whole blocks, or `None` if there is none free or that large.
    pub(super) fn take(&self, shard: &Shard, len: usize) -> Option<AlignedBuf> {
        let len = len.max(1).checked_next_multiple_of(BLOCK_SIZE)?;
        let taken = if len <= BUFFER_SIZE { self.slot(shard) } else { None };
        let Some(slot) = taken else {
            MISSES.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let start = slot.start();
        // SAFETY: the slot's memory is `BUFFER_SIZE` bytes long, and nobody else has it.
        unsafe { start.as_ptr().write_bytes(0, len) };
        Some(AlignedBuf::from_slot(start, len, slot))
    }

    /// The index of `buffer` among those that this shard's ring knows.
    pub(super) fn index_of(&self, buffer: &AlignedBuf) -> Option<u16> {
        let slot = buffer.slot()?;
        let pool = self.pool.get()?.as_ref()?;
        Arc::ptr_eq(pool, &slot.pool).then_some(slot.index as u16)
    }

    fn slot(&self, shard: &Shard) -> Option<Slot> {
        let pool = self.pool.get_or_init(|| {
            let sparse = shard.ring.with_uring(|uring| uring.submitter().register_buffers_sparse(BUFFERS));
            match sparse {
                Ok(()) => Some(Arc::new(Pool::default())),
                Err(error) => {
                    self.give_up(&error);
                    None
                }
            }
        });
        let pool = pool.as_ref()?;
        if let Some(index) = pool.take() {
            return Some(Slot { pool: Arc::clone(pool), index });
        }
        let index = self.registered.get();
        if index == BUFFERS || self.exhausted.get() {
            return None;
        }
        let start = match pool.fill(index) {
            Ok(start) => start,
            Err(error) => {
                self.give_up(&error);
                return None;
            }
        };
        let buffers = [libc::iovec { iov_base: start.as_ptr().cast(), iov_len: BUFFER_SIZE }];
        let registered = shard.ring.with_uring(|uring| {
            // SAFETY: the memory lives as long as the pool, which the shard holds as long as its ring.
            unsafe { uring.submitter().register_buffers_update(index, &buffers, None) }
        });
        match registered {
            Ok(()) => {
                self.registered.set(index + 1);
                Some(Slot { pool: Arc::clone(pool), index })
            }
            Err(error) => {
                self.give_up(&error);
                None
            }
        }
    }

    #[cold]
    fn give_up(&self, error: &io::Error) {
        static SAID: Once = Once::new();
        self.exhausted.set(true);
        SAID.call_once(|| {
            tracing::warn!(
                %error,
                "some shards write from unregistered buffers, which is a little slower; a higher limit on locked \
                 memory (ulimit -l, LimitMEMLOCK=) mends it"
            );
        });
    }
}

/// The memory of one shard's registered buffers. Buffers may be given back from other threads, and outlive the shard.
#[derive(Default)]
struct Pool {
    starts: [std::sync::OnceLock<Start>; BUFFERS as usize],
    /// One bit for each buffer that is free.
    free: AtomicU32,
}

struct Start(NonNull<u8>);

// SAFETY: the address of memory that the holder of the slot alone reaches.
unsafe impl Send for Start {}
// SAFETY: as for `Send`.
unsafe impl Sync for Start {}

impl Pool {
    /// Takes a free buffer. Only the shard's thread takes, so between load and store bits can only come.
    fn take(&self) -> Option<u32> {
        // Acquire: what the last holder wrote happens before what the next one does.
        let free = self.free.load(Ordering::Acquire);
        if free == 0 {
            return None;
        }
        let index = free.trailing_zeros();
        self.free.fetch_and(!(1 << index), Ordering::Acquire);
        Some(index)
    }

    /// The memory of a buffer that has yet to be registered.
    fn fill(&self, index: u32) -> io::Result<NonNull<u8>> {
        let place = &self.starts[index as usize];
        if let Some(start) = place.get() {
            return Ok(start.0);
        }
        let start = map()?;
        // Only the shard's thread fills.
        Ok(place.get_or_init(|| Start(start)).0)
    }
}

/// Maps zeroed memory for one buffer, in pages of the ordinary size: of a huge page, the kernel would count all 2 MiB against the
/// limit on locked memory, for each buffer that has a part of it. The allocator's memory often lies in huge pages.
fn map() -> io::Result<NonNull<u8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory that is in use.
    let start = unsafe { mmap_anonymous(std::ptr::null_mut(), BUFFER_SIZE, access, MapFlags::PRIVATE)? };
    // SAFETY: the range is the mapping just made. A kernel without huge pages refuses the advice, and needs none.
    let _is_known = unsafe { madvise(start, BUFFER_SIZE, Advice::LinuxNoHugepage) }.is_ok();
    Ok(NonNull::new(start.cast()).expect("a mapping is not at null"))
}

impl Drop for Pool {
    fn drop(&mut self) {
        for start in &mut self.starts {
            if let Some(start) = start.take() {
                // SAFETY: mapped by `map` with this length. No slot is left, since a slot holds the pool, and the kernel holds
                // on to the pages by itself as long as it needs them.
                let unmapped = unsafe { munmap(start.0.as_ptr().cast(), BUFFER_SIZE) };
                debug_assert_eq!(unmapped, Ok(()), "the mapping is ours");
            }
        }
    }
}

/// The right to one registered buffer. Dropping it gives the buffer back.
pub(crate) struct Slot {
    pool: Arc<Pool>,
    index: u32,
}

impl Slot {
    fn start(&self) -> NonNull<u8> {
        self.pool.starts[self.index as usize].get().expect("a slot is given out for filled memory").0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.free.fetch_or(1 << self.index, Ordering::Release);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.index)
    }
}

/// A zeroed buffer, registered if there is one free on this thread's shard.
pub(crate) fn buffer(len: usize) -> AlignedBuf {
    let taken = Shard::try_current().and_then(|shard| shard.registered.take(&shard, len));
    taken.unwrap_or_else(|| AlignedBuf::zeroed(len))
}

pub(crate) fn misses() -> u64 {
    MISSES.load(Ordering::Relaxed)
}

#[cfg(test)]
mod between_threads {
    use super::*;
    use std::thread;

    const ROUNDS: u32 = 5_000;

    /// A buffer for an index that the test takes for registered.
    fn buffer(pool: &Arc<Pool>, index: u32) -> AlignedBuf {
        AlignedBuf::from_slot(pool.fill(index).unwrap(), BLOCK_SIZE, Slot { pool: Arc::clone(pool), index })
    }

    /// Buffers travel, are written by another thread, and are given back there; whoever takes them next finds nobody writing.
    #[test]
    fn a_buffer_has_one_holder_at_a_time() {
        let pool = Arc::new(Pool::default());
        let (mut there, mut arrived) = rtrb::RingBuffer::<AlignedBuf>::new(BUFFERS as usize);
        let other = thread::spawn(move || {
            let mut seen = 0;
            while seen < ROUNDS {
                let Ok(mut buffer) = arrived.pop() else {
                    thread::yield_now();
                    continue;
                };
                assert!(buffer.iter().all(|&byte| byte == 1));
                buffer.fill(2);
                drop(buffer);
                seen += 1;
            }
        });
        let mut fresh = (0..BUFFERS).collect::<Vec<u32>>();
        let mut sent = 0;
        while sent < ROUNDS {
            let Some(index) = fresh.pop().or_else(|| pool.take()) else {
                thread::yield_now();
                continue;
            };
            let mut buffer = buffer(&pool, index);
            buffer.fill(1);
            assert!(there.push(buffer).is_ok(), "there are as many places as buffers");
            sent += 1;
        }
        other.join().unwrap();
        assert_eq!(pool.free.load(Ordering::Acquire), (1 << BUFFERS) - 1, "all came back");
    }
}
