//! An operation that completes once, as a future.

use super::{fd::Fd, ring::Memory, shard::Shard, slab::Key};
use io_uring::squeue;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// An operation in flight. Dropped before it is done it is cancelled; what it points to stays until the kernel is done.
pub(super) struct InFlight {
    shard: Rc<Shard>,
    key: Option<Key>,
}

impl InFlight {
    /// Starts an operation on the running thread's ring.
    ///
    /// # Safety
    /// As [`Ring::submit`](super::ring::Ring::submit).
    pub(super) unsafe fn start(entry: squeue::Entry, fd: Option<Rc<Fd>>, memory: Memory) -> Self {
        let shard = Shard::current();
        // SAFETY: the caller's promise.
        let key = unsafe { shard.ring.submit(entry, fd, memory) };
        Self { shard, key: Some(key) }
    }
}

impl Future for InFlight {
    /// The kernel's result, and what the operation kept alive.
    type Output = (i32, Memory);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(i32, Memory)> {
        let key = self.key.expect("polled after it was done");
        let done = self.shard.ring.poll(key, cx.waker());
        if done.is_ready() {
            self.key = None;
        }
        done
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.shard.ring.abandon(key);
        }
    }
}
