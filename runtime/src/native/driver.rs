//! The driver: one task per shard that keeps the raw ring, the inboxes and the timers going, and sleeps when there is
//! nothing to do.
//!
//! It runs in a task queue of the lowest share, so that while others have work it costs them a thousandth; the turns
//! that are due then are taken between polls of the shard's tasks ([`Shard::after_poll`]). When nobody else runs, it
//! spins as long as there was traffic a moment ago, then parks: it waits, as any glommio task would, for an eventfd to become
//! readable (which the raw ring and other threads' bells signal) or for the earliest timer.

use super::{shard::Shard, time::monotonic_ns};
use crate::bell::Inbox;
use glommio::{io::PollableFd, timer::Timer};
use std::{
    future::{Future, poll_fn},
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

pub(crate) fn register_inbox(inbox: Rc<dyn Inbox>) {
    Shard::current().register_inbox(inbox);
}

/// A descriptor that somebody else closes.
struct Borrowed(RawFd);

impl AsRawFd for Borrowed {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// The driver's task. It ends only by being cancelled.
pub(super) async fn drive(shard: Rc<Shard>) {
    loop {
        let polls = shard.tasks.polls();
        let happened = shard.turn(false);
        glommio::executor().yield_task_queue_now().await;
        let idle = !happened && shard.tasks.polls() == polls;
        if idle && !shard.spin() {
            park(&shard).await;
        }
    }
}

/// Sleeps until the ring has something, a bell rings, a timer is due, or another task of the shard needs the driver.
async fn park(shard: &Shard) {
    // The order matters: first bells and ring are told to wake, then both are looked at for the last time. See `bell`.
    shard.bell.park();
    shard.ring.watch();
    let polls = shard.tasks.polls();
    let quiet = !shard.turn(true) && !shard.ring.has_unsubmitted() && shard.ring.is_quiet();
    if quiet && shard.tasks.polls() == polls && !shard.parker.is_signalled() {
        sleep(shard).await;
    }
    shard.ring.unwatch();
    shard.bell.unpark();
    if shard.parker.is_signalled() {
        // What is written from here on, if anything, only costs an empty turn.
        shard.bell.clear();
        shard.parker.cleared();
    }
}

async fn sleep(shard: &Shard) {
    let (since, until) = (monotonic_ns(), shard.timers.earliest());
    let mut timer =
        (until != u64::MAX).then(|| Timer::new(Duration::from_nanos(until.saturating_sub(since))));
    let mut asleep = false;
    poll_fn(|cx| {
        if asleep {
            // Whatever woke this task is reason enough to look at everything.
            return Poll::Ready(());
        }
        if let Some(timer) = &mut timer
            && Pin::new(timer).poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        shard.parker.park(cx.waker(), until);
        asleep = true;
        Poll::Pending
    })
    .await;
    shard.parker.unpark();
    shard.syncs.idled(monotonic_ns() - since);
}

/// Wakes the driver when the shard's eventfd is readable. A task of its own, because glommio's poll of a descriptor is
/// dear to give up and take up again: it stays armed over the driver's other reasons to wake.
pub(super) async fn watch(shard: Rc<Shard>) {
    // The eventfd lives in the shard, which this task holds.
    let eventfd = PollableFd::new(Borrowed(shard.bell.raw_fd())).expect("glommio takes any descriptor");
    loop {
        eventfd.readable().await.expect("an eventfd can be polled");
        shard.parker.signal().await;
    }
}
