//! Receive buffers on loan: a shard has only so many, and who holds them keeps everybody from receiving.

use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

/// A shard's receive buffers. `Send` as the bytes are that carry it; its lock is never contended.
#[derive(Debug, Default)]
pub(crate) struct Loans {
    out: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

/// Bytes in a buffer on loan.
struct Loan {
    bytes: Bytes,
    loans: Arc<Loans>,
}

impl Loans {
    /// Whether a buffer is free of `count`. If not, `waker` is woken when one comes back.
    pub(super) fn has_free(&self, count: usize, waker: &Waker) -> bool {
        let free = self.out.load(Ordering::Relaxed) < count;
        if !free {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
        }
        free
    }

    /// Puts bytes into a buffer on loan.
    pub(super) fn lend(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.out.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Loan { bytes, loans: Arc::clone(self) })
    }
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.loans.out.fetch_sub(1, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *self.loans.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}
