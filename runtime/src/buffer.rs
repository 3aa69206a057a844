//! Memory that direct I/O accepts.

use crate::native::registered::Slot;
use bytes::Bytes;
use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    slice,
};

/// The unit of direct I/O: every position, length and address of a write is a multiple of it. In bytes.
pub const BLOCK_SIZE: usize = 4096;

/// Zeroed memory, aligned to [`BLOCK_SIZE`], of a length that is a multiple of it.
pub struct AlignedBuf {
    start: NonNull<u8>,
    len: usize,
    /// If the native backend's ring knows the memory: it goes back there, instead of being freed.
    slot: Option<Slot>,
}

// SAFETY: the buffer is plain memory that only its owner reaches.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access is read only.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// `len` zero bytes, rounded up to whole blocks, at least one.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let len = len.max(1).next_multiple_of(BLOCK_SIZE);
        let layout = block_layout(len);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Self { start, len, slot: None }
    }

    /// As [`AlignedBuf::zeroed`], from the shard's few registered buffers if one is free: a durable write from it saves
    /// the kernel the pinning of its pages. Falls back to plain memory, which is only a little slower.
    #[must_use]
    pub fn registered(len: usize) -> Self {
        match crate::context::current() {
            crate::context::Backend::Native => crate::native::registered::buffer(len),
            #[cfg(feature = "sim")]
            crate::context::Backend::Sim(_) => Self::zeroed(len),
        }
    }

    /// How often since the process began [`AlignedBuf::registered`] gave plain memory: because all registered buffers
    /// were in use, the wish was too large, or the limit on locked memory too small.
    #[must_use]
    pub fn registered_misses() -> u64 {
        crate::native::registered::misses()
    }

    /// Gives the memory to a reference-counted, immutable view.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// The first `len` bytes of a slot's memory, which starts at `start`.
    pub(crate) fn from_slot(start: NonNull<u8>, len: usize, slot: Slot) -> Self {
        Self { start, len, slot: Some(slot) }
    }

    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }
}

/// Of `len` bytes, in whole blocks.
pub(crate) fn block_layout(len: usize) -> Layout {
    Layout::from_size_align(len, BLOCK_SIZE).expect("a buffer's length is far below isize::MAX")
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.slot.is_none() {
            // SAFETY: allocated in `zeroed` with this layout, and freed once.
            unsafe { dealloc(self.start.as_ptr(), block_layout(self.len)) }
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `len` initialised bytes that live as long as `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}
