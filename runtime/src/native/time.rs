//! Clocks, and the shard's timers.
//!
//! The timers are the driver's own: it looks at the clock in every turn anyway, so a timer is as punctual as the driver,
//! and costs glommio nothing (whose timers are looked at only when its reactor runs, each time all of them). glommio
//! gets the earliest one when the driver parks.

use super::{parker::Parker, shard::Shard};
use crate::Instant;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::OnceLock,
    task::{Context, Poll, Waker},
};

pub(crate) fn monotonic_ns() -> u64 {
    static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
    let origin = ORIGIN.get_or_init(std::time::Instant::now);
    // 584 years fit.
    origin.elapsed().as_nanos() as u64
}

pub(crate) fn unix_millis() -> i64 {
    let since = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => since(after),
        Err(before) => -since(before.duration()),
    }
}

pub(crate) async fn sleep_until(deadline: Instant) {
    Sleep { shard: Shard::current(), deadline: deadline.as_nanos(), number: None }.await;
}

/// Deadlines and who waits for them.
pub(super) struct Timers {
    /// By deadline, then by a number that tells equal deadlines apart.
    pending: RefCell<BTreeMap<(u64, u64), Waker>>,
    numbers: Cell<u64>,
    earliest: Cell<u64>,
    parker: Rc<Parker>,
}

impl Timers {
    pub(super) fn new(parker: Rc<Parker>) -> Self {
        Self { pending: RefCell::default(), numbers: Cell::new(0), earliest: Cell::new(u64::MAX), parker }
    }

    /// The earliest deadline, or `u64::MAX`.
    #[inline]
    pub(super) fn earliest(&self) -> u64 {
        self.earliest.get()
    }

    fn set(&self, deadline: u64, number: u64, waker: &Waker) {
        let replaced = self.pending.borrow_mut().insert((deadline, number), waker.clone());
        drop(replaced);
        if deadline < self.earliest.get() {
            self.earliest.set(deadline);
            self.parker.rouse_before(deadline);
        }
    }

    fn forget(&self, deadline: u64, number: u64) {
        let mut pending = self.pending.borrow_mut();
        let waker = pending.remove(&(deadline, number));
        self.note_earliest(&pending);
        drop(pending);
        drop(waker);
    }

    fn note_earliest(&self, pending: &BTreeMap<(u64, u64), Waker>) {
        self.earliest.set(pending.keys().next().map_or(u64::MAX, |&(deadline, _)| deadline));
    }

    /// Wakes whoever waits for `now` or earlier. Tells whether there was anybody.
    #[inline]
    pub(super) fn fire(&self, now: u64) -> bool {
        if now < self.earliest.get() {
            return false;
        }
        while let Some(due) = self.take_due(now) {
            due.wake();
        }
        true
    }

    fn take_due(&self, now: u64) -> Option<Waker> {
        let mut pending = self.pending.borrow_mut();
        match pending.first_entry() {
            Some(first) if first.key().0 <= now => Some(first.remove()),
            _ => {
                self.note_earliest(&pending);
                None
            }
        }
    }
}

struct Sleep {
    shard: Rc<Shard>,
    deadline: u64,
    /// The timer's number once it is set.
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if monotonic_ns() >= self.deadline {
            return Poll::Ready(());
        }
        let timers = &self.shard.timers;
        let number = self.number.unwrap_or_else(|| {
            timers.numbers.set(timers.numbers.get() + 1);
            timers.numbers.get()
        });
        timers.set(self.deadline, number, cx.waker());
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shard.timers.forget(self.deadline, number);
        }
    }
}
