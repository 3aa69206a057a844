//! The tasks of a world, of all shards of all nodes.

use super::{ShardContext, bell::Signals};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

/// A task's body.
pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// All tasks by number. Numbers are never used again, so that a late wake-up meets nobody else.
#[derive(Default)]
pub(crate) struct Tasks {
    slots: RefCell<BTreeMap<u64, Slot>>,
    next: Cell<u64>,
}

struct Slot {
    shard: Rc<ShardContext>,
    body: Body,
    bell: Arc<TaskWaker>,
    waker: Waker,
}

enum Body {
    Waiting(TaskFuture),
    /// Taken out for its poll.
    Running,
    /// Held by the caller of `World::block_on`.
    Foreground,
}

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    signals: Arc<Signals>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.signals.ready().push(self.task);
        }
    }
}

/// What [`Tasks::take`] found.
pub(crate) enum Taken {
    /// The task is gone: finished or killed.
    Gone,
    /// To be polled here.
    Ready { shard: Rc<ShardContext>, waker: Waker, future: TaskFuture },
    /// To be polled by the caller of `World::block_on`.
    Foreground { shard: Rc<ShardContext>, waker: Waker },
}

impl Tasks {
    /// Adds a task and wakes it. Without a future its body is held by the caller of `World::block_on`.
    pub(crate) fn add(
        &self,
        shard: Rc<ShardContext>,
        signals: &Arc<Signals>,
        future: Option<TaskFuture>,
    ) -> u64 {
        let task = self.next.get();
        self.next.set(task + 1);
        let bell = Arc::new(TaskWaker { task, queued: AtomicBool::new(false), signals: Arc::clone(signals) });
        let waker = Waker::from(Arc::clone(&bell));
        let body = future.map_or(Body::Foreground, Body::Waiting);
        waker.wake_by_ref();
        self.slots.borrow_mut().insert(task, Slot { shard, body, bell, waker });
        task
    }

    /// Takes a task out for its poll. From now on it can be woken again.
    pub(crate) fn take(&self, task: u64) -> Taken {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(&task) else { return Taken::Gone };
        slot.bell.queued.store(false, Ordering::Relaxed);
        let (shard, waker) = (Rc::clone(&slot.shard), slot.waker.clone());
        match std::mem::replace(&mut slot.body, Body::Running) {
            Body::Waiting(future) => Taken::Ready { shard, waker, future },
            Body::Running => unreachable!("a world polls one task at a time"),
            Body::Foreground => {
                slot.body = Body::Foreground;
                Taken::Foreground { shard, waker }
            }
        }
    }

    /// Puts a task back after a poll that left it pending. Gives the future back if the task was killed meanwhile.
    pub(crate) fn put_back(&self, task: u64, future: TaskFuture) -> Option<TaskFuture> {
        match self.slots.borrow_mut().get_mut(&task) {
            Some(slot) => {
                slot.body = Body::Waiting(future);
                None
            }
            None => Some(future),
        }
    }

    /// Forgets a task. Its future, if it is here, comes back to be dropped with no borrow held.
    pub(crate) fn remove(&self, task: u64) -> Option<TaskFuture> {
        match self.slots.borrow_mut().remove(&task)?.body {
            Body::Waiting(future) => Some(future),
            Body::Running | Body::Foreground => None,
        }
    }

    /// The shard of a task that is not gone.
    pub(crate) fn shard(&self, task: u64) -> Option<Rc<ShardContext>> {
        self.slots.borrow().get(&task).map(|slot| Rc::clone(&slot.shard))
    }

    /// Whether a task is not gone.
    pub(crate) fn contains(&self, task: u64) -> bool {
        self.slots.borrow().contains_key(&task)
    }

    /// The tasks of the shards for which `wanted` holds, oldest first.
    pub(crate) fn of(&self, wanted: impl Fn(&ShardContext) -> bool) -> Vec<u64> {
        self.slots.borrow().iter().filter(|(_, slot)| wanted(&slot.shard)).map(|(&task, _)| task).collect()
    }
}
