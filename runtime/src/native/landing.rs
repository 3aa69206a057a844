//! Memory that files are read into.

use crate::BLOCK_SIZE;
use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    fmt, io,
    ptr::NonNull,
    slice,
};

/// Block-aligned memory that the kernel fills from the front. Not zeroed before: a megabyte of zeros would cost a
/// twentieth of reading it. Only what is filled can be seen.
pub(super) struct Landing {
    start: NonNull<u8>,
    capacity: usize,
    filled: usize,
}

// SAFETY: plain memory that only its owner reaches.
unsafe impl Send for Landing {}
// SAFETY: shared access is read only.
unsafe impl Sync for Landing {}

impl Landing {
    /// Room for `capacity` bytes, a positive multiple of [`BLOCK_SIZE`].
    ///
    /// # Errors
    /// `OutOfMemory` if that is more than a process can address.
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        debug_assert!(capacity > 0 && capacity.is_multiple_of(BLOCK_SIZE));
        let layout = Layout::from_size_align(capacity, BLOCK_SIZE).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Ok(Self { start, capacity, filled: 0 })
    }

    /// Where the next bytes go.
    pub(super) fn spare(&mut self) -> (*mut u8, usize) {
        // SAFETY: `filled` is at most `capacity`.
        (unsafe { self.start.as_ptr().add(self.filled) }, self.capacity - self.filled)
    }

    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// `more` bytes were filled.
    ///
    /// # Safety
    /// They were, at the address that [`Landing::spare`] gave.
    pub(super) unsafe fn advance(&mut self, more: usize) {
        assert!(more <= self.capacity - self.filled, "the kernel fills no more than it was given");
        self.filled += more;
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let layout =
            Layout::from_size_align(self.capacity, BLOCK_SIZE).expect("it was allocated with this layout");
        // SAFETY: allocated in `new` with this layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), layout) }
    }
}

impl AsRef<[u8]> for Landing {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the first `filled` bytes are initialised and live as long as `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.filled) }
    }
}

impl fmt::Debug for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Landing({} of {} bytes)", self.filled, self.capacity)
    }
}
