//! The buffers that a shard's connections receive into. The kernel takes one when bytes arrive, so idle connections hold
//! none; [`Received`] gives it back.

use crate::native::ring::Ring;
use io_uring::types::BufRingEntry;
use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    cell::{Cell, RefCell},
    fmt, io,
    ops::Deref,
    ptr::NonNull,
    rc::Rc,
    slice,
    sync::atomic::{AtomicU16, Ordering},
    task::Waker,
};

/// Buffers of a shard. A power of two, as the kernel wants it.
const COUNT: u16 = 256;

/// Bytes of a buffer: what a busy connection's receive brings at a time.
const LEN: usize = 16 << 10;

/// Buffers that only waiting tasks get, who give them back soon. When no more are left, bytes that nobody waits for yet are
/// copied out of their buffer, so that connections whose tasks are slow do not starve the others.
const RESERVE: u16 = COUNT / 4;

/// The group's number in the shard's ring, which has no other.
pub(super) const GROUP: u16 = 0;

/// Alignment that the kernel wants of the ring of buffers: a page.
const PAGE: usize = 4096;

/// The shard's receive buffers, and the ring through which the kernel is given them.
pub(crate) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// Buffers given to the kernel so far, as the kernel counts them.
    tail: Cell<u16>,
    on_loan: Cell<u16>,
    /// Connections that found no buffer, to be woken when one comes back.
    starved: RefCell<Vec<Waker>>,
}

impl Buffers {
    /// Allocates the buffers and gives all of them to the ring's kernel side. They live as long as the ring: whoever
    /// holds the ring holds them too, and drops the ring first.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn new(ring: &Ring) -> io::Result<Rc<Self>> {
        let (entries, memory) = (allocate(Self::entries_layout())?, allocate(Self::memory_layout())?);
        let buffers = Self {
            entries: entries.cast(),
            memory,
            tail: Cell::new(0),
            on_loan: Cell::new(0),
            starved: RefCell::default(),
        };
        let address = entries.as_ptr() as u64;
        // SAFETY: the entries are valid for `COUNT` of them and live as long as the ring (see above).
        ring.with_uring(|uring| unsafe {
            uring.submitter().register_buf_ring_with_flags(address, COUNT, GROUP, 0)
        })?;
        for id in 0..COUNT {
            buffers.put(id);
        }
        Ok(Rc::new(buffers))
    }

    fn entries_layout() -> Layout {
        let bytes = usize::from(COUNT) * size_of::<BufRingEntry>();
        Layout::from_size_align(bytes, PAGE).expect("a few pages")
    }

    fn memory_layout() -> Layout {
        Layout::from_size_align(usize::from(COUNT) * LEN, PAGE).expect("a few megabytes")
    }

    /// Where a buffer begins.
    fn start(&self, id: u16) -> *mut u8 {
        assert!(id < COUNT, "the kernel names a buffer that there is not");
        // SAFETY: within the allocation, since `id < COUNT`.
        unsafe { self.memory.as_ptr().add(usize::from(id) * LEN) }
    }

    /// Gives a buffer to the kernel.
    fn put(&self, id: u16) {
        let tail = self.tail.get();
        let start = self.start(id) as u64;
        // SAFETY: the index is below `COUNT`; the kernel reads an entry only behind the tail that is published below, so
        // nobody else touches this one now.
        let entry = unsafe { &mut *self.entries.as_ptr().add(usize::from(tail % COUNT)) };
        entry.set_addr(start);
        entry.set_len(LEN as u32);
        entry.set_bid(id);
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the tail's place within the first entry, which no other field of that entry covers; aligned to two.
        let published = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        // The kernel must see the entry before it sees the tail that covers it.
        published.store(self.tail.get(), Ordering::Release);
    }

    /// A completion's bytes, on loan.
    pub(super) fn lend(self: &Rc<Self>, id: u16, len: usize) -> Received {
        assert!(len <= LEN, "the kernel filled more than a buffer");
        self.on_loan.set(self.on_loan.get() + 1);
        Received { source: Source::Loan(Loan { buffers: Rc::clone(self), id }), start: 0, end: len }
    }

    /// Whether only the reserve is left.
    pub(super) fn is_scarce(&self) -> bool {
        self.on_loan.get() > COUNT - RESERVE
    }

    /// Wakes `waker` when a buffer comes back.
    pub(super) fn wait(&self, waker: &Waker) {
        self.starved.borrow_mut().push(waker.clone());
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with these layouts; the ring, through which the kernel wrote to them, is gone.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), Self::entries_layout());
            dealloc(self.memory.as_ptr(), Self::memory_layout());
        }
    }
}

fn allocate(layout: Layout) -> io::Result<NonNull<u8>> {
    // SAFETY: the layouts are not of size zero.
    let start = unsafe { alloc_zeroed(layout) };
    match NonNull::new(start) {
        Some(start) => Ok(start),
        None => handle_alloc_error(layout),
    }
}

/// A buffer that is not the kernel's for the moment.
struct Loan {
    buffers: Rc<Buffers>,
    id: u16,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.buffers.on_loan.set(self.buffers.on_loan.get() - 1);
        self.buffers.put(self.id);
        for starved in self.buffers.starved.take() {
            starved.wake();
        }
    }
}

/// Received bytes, in a buffer on loan as a rule.
pub(crate) struct Received {
    source: Source,
    start: usize,
    end: usize,
}

enum Source {
    Nothing,
    Loan(Loan),
    Copy { bytes: Box<[u8]>, _counted: Counted },
}

/// One of a connection's copies, as long as it lives.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Received {
    /// No bytes: the end of the stream.
    pub(super) const fn empty() -> Self {
        Self { source: Source::Nothing, start: 0, end: 0 }
    }

    /// The same bytes in memory of their own, counted among `copies` as long as they live; the buffer goes back.
    pub(super) fn into_copy(self, copies: &Rc<Cell<usize>>) -> Self {
        let bytes: Box<[u8]> = (*self).into();
        let end = bytes.len();
        copies.set(copies.get() + 1);
        Self { source: Source::Copy { bytes, _counted: Counted(Rc::clone(copies)) }, start: 0, end }
    }

    /// Forgets the first `len` bytes.
    pub(super) fn skip(&mut self, len: usize) {
        self.start = self.end.min(self.start + len);
    }
}

impl Deref for Received {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let loan = match &self.source {
            Source::Nothing => return &[],
            Source::Copy { bytes, .. } => return &bytes[self.start..self.end],
            Source::Loan(loan) => loan,
        };
        // SAFETY: the kernel wrote `end` bytes there and writes no more while the buffer is on loan; `start <= end <= LEN`.
        unsafe { slice::from_raw_parts(loan.buffers.start(loan.id).add(self.start), self.end - self.start) }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} bytes)", self.len())
    }
}
