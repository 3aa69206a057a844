//! How tasks of one shard wait for each other.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
};

/// Tasks that wait for something to change.
#[derive(Debug, Default)]
pub(crate) struct Waiters(RefCell<Vec<Waker>>);

impl Waiters {
    /// Wakes every waiting task: something changed.
    pub(crate) fn wake_all(&self) {
        // Taken out first: a waker may run code that waits again.
        let waiting = self.0.take();
        for waker in waiting {
            waker.wake();
        }
    }

    /// Waits until `ready` gives something. It is asked again after every [`Waiters::wake_all`].
    pub(crate) async fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| match ready() {
            Some(value) => Poll::Ready(value),
            None => {
                let mut waiting = self.0.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
    }
}

/// A flag that is raised once.
#[derive(Debug, Default)]
pub(crate) struct Flag {
    raised: Cell<bool>,
    waiters: Waiters,
}

impl Flag {
    pub(crate) fn raise(&self) {
        self.raised.set(true);
        self.waiters.wake_all();
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.get()
    }

    pub(crate) async fn raised(&self) {
        self.waiters.until(|| self.raised.get().then_some(())).await;
    }
}

/// Runs `future` until `flag` is raised; `None` if that came first. The future is asked first.
pub(crate) async fn unless<F: Future>(flag: &Flag, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut raised = std::pin::pin!(flag.raised());
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => raised.as_mut().poll(cx).map(|()| None),
    })
    .await
}
