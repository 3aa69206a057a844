//! Waiting for a log to advance.

use super::{Log, LogInner, State};
use crate::signal::Signal;
use millrace_record::Offset;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::{Rc, Weak},
    task::Waker,
};

/// Who waits for a log.
#[derive(Default)]
pub(super) struct Waiters {
    /// Appends that wait to be durable, by the offset behind them. The number tells apart who waits for the same.
    appends: RefCell<BTreeMap<(Offset, u64), Waker>>,
    next: Cell<u64>,
    watchers: RefCell<Vec<Weak<Watching>>>,
}

impl Waiters {
    /// A place among those that wait for `offset`.
    pub(super) fn place(&self, offset: Offset) -> (Offset, u64) {
        (offset, self.next.replace(self.next.get() + 1))
    }

    /// Waits, or waits on with another waker.
    pub(super) fn wait(&self, place: (Offset, u64), waker: &Waker) {
        self.appends.borrow_mut().insert(place, waker.clone());
    }

    pub(super) fn give_up(&self, place: (Offset, u64)) {
        self.appends.borrow_mut().remove(&place);
    }

    /// Everything before `offset` is durable.
    fn advance(&self, offset: Offset) {
        let ready = {
            let mut appends = self.appends.borrow_mut();
            let waiting = appends.split_off(&(offset + 1, 0));
            std::mem::replace(&mut *appends, waiting)
        };
        ready.into_values().for_each(Waker::wake);
        self.notify_watchers();
    }

    fn notify_watchers(&self) {
        self.watchers.borrow_mut().retain(|watcher| match watcher.upgrade() {
            Some(watching) => {
                watching.advanced.set(true);
                watching.signal.notify();
                true
            }
            None => false,
        });
    }

    /// Nothing will advance any more: everybody looks again.
    pub(super) fn wake_all(&self) {
        let all = self.appends.take();
        all.into_values().for_each(Waker::wake);
        self.notify_watchers();
    }
}

impl LogInner {
    /// Everything before `end` is durable.
    pub(super) fn advance(&self, end: Offset) {
        let end = {
            let mut state = self.state.borrow_mut();
            if end <= state.durable_end {
                return;
            }
            state.durable_end = end;
            state.pass_spliced()
        };
        self.waiters.advance(end);
    }

    /// Committed output that was spliced is durable already, where it was staged: it waits only for what lies before.
    pub(super) fn advance_over_spliced(&self) {
        let end = self.state.borrow_mut().pass_spliced();
        self.waiters.advance(end);
    }
}

impl State {
    /// Moves the durable end over spliced batches that it has come to, and returns it.
    fn pass_spliced(&mut self) -> Offset {
        while let Some(&(from, to)) = self.splices.front()
            && from <= self.durable_end
        {
            self.durable_end = self.durable_end.max(to);
            self.splices.pop_front();
        }
        self.durable_end
    }
}

/// Tells that one of many logs has advanced: its high watermark, its last stable offset or its start. A long poll over
/// a thousand partitions makes one of these and keeps it; an advance allocates nothing.
#[derive(Clone, Default)]
pub struct Watcher(Rc<Watching>);

#[derive(Default)]
struct Watching {
    advanced: Cell<bool>,
    signal: Signal,
}

impl Watcher {
    /// One that watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches `log` too, as long as any clone of this watcher lives.
    pub fn watch(&self, log: &Log) {
        log.0.waiters.watchers.borrow_mut().push(Rc::downgrade(&self.0));
    }

    /// Waits until one of the logs has advanced since the last time that this returned (or since it was watched).
    pub async fn advanced(&self) {
        loop {
            let wait = self.0.signal.wait();
            if self.0.advanced.replace(false) {
                return;
            }
            wait.await;
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("advanced", &self.0.advanced.get()).finish()
    }
}
