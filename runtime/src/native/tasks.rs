//! The shard's tasks: who they are, so that they can be dropped when the shard stops.
//!
//! glommio forgets what is not finished when its executor ends: descriptors would stay open, ports taken, locks held.
//! So the futures live here, and glommio polls them through a handle.

use super::{
    shard::Shard,
    slab::{Key, Slab},
};
use crate::Queue;
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

type Body = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
pub(super) struct Tasks {
    live: RefCell<Slab<Rc<Task>>>,
    stopping: Cell<bool>,
    /// Polls of tasks so far, so that the driver knows whether anybody else runs.
    polls: Cell<u64>,
    /// Waits until no task is left.
    finisher: RefCell<Option<Waker>>,
}

struct Task {
    body: RefCell<Option<Body>>,
    waker: RefCell<Option<Waker>>,
}

impl Tasks {
    #[inline]
    pub(super) fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// Takes `body` in. `None` if the shard is stopping: the body is dropped.
    pub(super) fn admit(&self, shard: &Rc<Shard>, queue: Queue, body: Body) -> Option<Running> {
        if self.stopping.get() {
            return None;
        }
        let task = Rc::new(Task { body: RefCell::new(Some(body)), waker: RefCell::new(None) });
        let key = self.live.borrow_mut().insert(Rc::clone(&task));
        Some(Running { shard: Rc::clone(shard), queue, task, key })
    }

    /// Drops all tasks, and returns when the executor has forgotten them.
    pub(super) async fn stop(&self) {
        self.stopping.set(true);
        let tasks: Vec<Rc<Task>> = {
            let mut live = self.live.borrow_mut();
            let keys: Vec<Key> = live.keys().collect();
            keys.into_iter().filter_map(|key| live.get_mut(key).map(|task| Rc::clone(task))).collect()
        };
        for task in tasks {
            // A task that runs right now is the one that called this, and there is none such: the root does.
            let body = task.body.borrow_mut().take();
            drop(body);
            if let Some(waker) = task.waker.take() {
                waker.wake();
            }
        }
        poll_fn(|cx| {
            if self.live.borrow().is_empty() {
                return Poll::Ready(());
            }
            *self.finisher.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What glommio polls.
pub(super) struct Running {
    shard: Rc<Shard>,
    queue: Queue,
    task: Rc<Task>,
    key: Key,
}

impl Future for Running {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let tasks = &self.shard.tasks;
        tasks.polls.set(tasks.polls.get().wrapping_add(1));
        let mut slot = self.task.body.borrow_mut();
        let Some(body) = slot.as_mut() else { return Poll::Ready(()) };
        let polled = body.as_mut().poll(cx);
        if polled.is_ready() {
            let over = slot.take();
            drop(slot);
            drop(over);
        } else if self.task.waker.borrow().is_none() {
            // A task's waker is the same for all its life.
            *self.task.waker.borrow_mut() = Some(cx.waker().clone());
        }
        self.shard.after_poll(self.queue);
        polled
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let tasks = &self.shard.tasks;
        let over = tasks.live.borrow_mut().remove(self.key);
        drop(over);
        if tasks.live.borrow().is_empty()
            && let Some(finisher) = tasks.finisher.take()
        {
            finisher.wake();
        }
    }
}
