//! Where the driver sleeps, and what wakes it.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
};

/// The driver's place while it is parked. It is woken by the task that watches the shard's eventfd, by its timer, or by
/// other tasks of the shard: they can still run then, because glommio woke them, and what they start is the driver's to
/// submit.
#[derive(Debug, Default)]
pub(super) struct Parker {
    sleeper: RefCell<Option<Waker>>,
    /// When the driver will wake by itself, in nanoseconds on the monotonic clock.
    until: Cell<u64>,
    /// The eventfd was readable, and nobody has cleared it since.
    signalled: Cell<bool>,
    watcher: RefCell<Option<Waker>>,
}

impl Parker {
    pub(super) fn park(&self, sleeper: &Waker, until: u64) {
        *self.sleeper.borrow_mut() = Some(sleeper.clone());
        self.until.set(until);
    }

    pub(super) fn unpark(&self) {
        drop(self.sleeper.take());
    }

    /// Wakes the driver if it is parked.
    #[inline]
    pub(super) fn rouse(&self) {
        if let Some(sleeper) = self.sleeper.take() {
            sleeper.wake();
        }
    }

    /// Wakes the driver if it is parked until later than `deadline`.
    #[inline]
    pub(super) fn rouse_before(&self, deadline: u64) {
        if deadline < self.until.get() {
            self.rouse();
        }
    }

    /// The eventfd is readable. Returns when it has been cleared.
    pub(super) async fn signal(&self) {
        self.signalled.set(true);
        self.rouse();
        poll_fn(|cx| {
            if !self.signalled.get() {
                return Poll::Ready(());
            }
            *self.watcher.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn is_signalled(&self) -> bool {
        self.signalled.get()
    }

    /// The eventfd has been cleared.
    pub(super) fn cleared(&self) {
        self.signalled.set(false);
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }
}
