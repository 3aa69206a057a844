//! Every copy of bytes that the program makes, seen where the compiler sends all but the shortest: in `memcpy` and `memmove`. This
//! program's own take the place of the C library's, and note what of a recognisable pattern goes through them.
//!
//! What the kernel copies, and what the C library does inside of itself (`realloc`), is not seen.

use std::{cell::Cell, ffi::c_void, hint::black_box, slice};

/// Records that are to be recognised consist of this byte. It occurs nowhere else so often.
pub(crate) const MARK: u8 = 0xA7;

/// Shorter copies are not looked at.
const LEN_MIN: usize = 128;

thread_local! {
    static MARKED: Cell<u64> = const { Cell::new(0) };
}

/// Marked bytes that this thread has copied so far.
pub(crate) fn marked_bytes_of_this_thread() -> u64 {
    MARKED.get()
}

unsafe extern "C" {
    /// The C library's own, by a name under which nobody has taken its place. `room` is the length of what is at `to`.
    fn __memmove_chk(to: *mut c_void, from: *const c_void, len: usize, room: usize) -> *mut c_void;
}

/// # Safety
/// `from` can be read, and `to` written, for `len` bytes.
unsafe fn copy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    if len >= LEN_MIN {
        // SAFETY: the caller's promise; any bytes are arrays of bytes.
        let words = unsafe { slice::from_raw_parts(from.cast::<[u8; 8]>(), len / 8) };
        let marked = words.iter().filter(|word| **word == [MARK; 8]).count() * 8;
        MARKED.set(MARKED.get() + marked as u64);
    }
    // A length that the compiler knows would make a call of `memmove` of this, which is below.
    let room = black_box(usize::MAX);
    // SAFETY: the caller's promise.
    unsafe { __memmove_chk(to, from, len, room) }
}

// SAFETY: it does what the C library's does, and more than that: ranges may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { copy(to, from, len) }
}

// SAFETY: it does what the C library's does.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { copy(to, from, len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_seen() {
        let marked = vec![MARK; 5000];
        let before = marked_bytes_of_this_thread();
        let mut other = black_box(marked.clone());
        assert_eq!(marked_bytes_of_this_thread() - before, 5000);
        other.copy_within(10..4010, 0);
        assert_eq!(marked_bytes_of_this_thread() - before, 9000);
        other.copy_from_slice(&black_box(vec![1; 5000]));
        assert_eq!(marked_bytes_of_this_thread() - before, 9000, "others are not counted");
        assert!(other.iter().all(|&byte| byte == 1));
    }
}
