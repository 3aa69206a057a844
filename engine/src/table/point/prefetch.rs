//! Asking the processor to fetch a line ahead of its use.

/// Fetches the line of `at` into all caches. Changes nothing but time; on processors without a stable intrinsic, not even that.
#[inline]
pub(super) fn prefetch<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch neither faults nor writes, whatever the address; this one is that of a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _unused: &T = at;
}
