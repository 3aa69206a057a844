//! Waking a shard's thread, at the price of a fence while it is awake.
//!
//! The shard says in `parked` that it is about to sleep; whoever rings writes the shard's eventfd only then, and the
//! driver sleeps on that eventfd. The shard's ring signals the same one (see `ring`).
//!
//! **No wake-up is lost.** The two sides run
//!
//! | sender | driver, before it sleeps |
//! |---|---|
//! | S1 puts the message into the inbox | D1 `parked.store(true, Relaxed)` |
//! | S2 `fence(SeqCst)` | D2 `fence(SeqCst)` |
//! | S3 `parked.load(Relaxed)` | D3 looks at every inbox |
//!
//! All SeqCst fences are in one total order. If S2 comes before D2, then D3 sees S1, and the driver does not sleep on
//! that message. If D2 comes before S2, then S3 sees D1 or something later in `parked`'s modification order. (The message
//! itself is published by the inbox's own release and acquire; the fences order the two crossing store-then-load pairs,
//! which neither release nor acquire does.) So:
//!
//! - a sender whose S3 reads `true` swaps it for `false` and writes the eventfd, which ends the sleep; of several, the one
//!   whose swap returns `true` writes;
//! - a sender whose S3 reads `false` is older than every D1 that comes later in the modification order, so its S2 comes
//!   before that D2, and the look before any sleep that has yet to start sees its message. A sleep that had already
//!   started, if there is one, was announced by a D1 before that `false`; only the swap of another sender can have
//!   written `false` over it, and that sender writes the eventfd.
//!
//! A surplus write of the eventfd costs one empty turn.

use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
};
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
};

/// Wakes one shard. Clones are the same bell.
#[derive(Clone, Debug)]
pub(crate) struct Bell(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parked: AtomicBool,
    eventfd: OwnedFd,
}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Shared { parked: AtomicBool::new(false), eventfd })))
    }

    /// Makes the shard look at its inboxes soon. What was sent before the call is seen by that look.
    #[inline]
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.0.parked.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Of all senders that find the shard parked, one pays for the system call.
        if self.0.parked.swap(false, Ordering::AcqRel) {
            // It would fail if the count overflowed, four thousand million million million writes from now.
            let written = rustix::io::write(&self.0.eventfd, &1u64.to_ne_bytes());
            assert!(written.is_ok(), "an eventfd takes a write: {written:?}");
        }
    }

    /// From here on [`Bell::ring`] wakes. The driver looks at its inboxes once more before it sleeps.
    pub(super) fn park(&self) {
        self.0.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The driver is awake, and looks at its inboxes before it parks again.
    pub(super) fn unpark(&self) {
        self.0.parked.store(false, Ordering::Relaxed);
    }

    /// Forgets what was written so far, so that the eventfd can be slept on again.
    pub(super) fn clear(&self) {
        let mut count = [0; size_of::<u64>()];
        match rustix::io::read(&self.0.eventfd, &mut count) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => panic!("an eventfd gives its count: {error}"),
        }
    }

    /// What the driver sleeps on and the ring signals.
    pub(super) fn raw_fd(&self) -> RawFd {
        self.0.eventfd.as_raw_fd()
    }
}

#[cfg(test)]
mod between_threads {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::thread;

    const MESSAGES: u64 = 20_000;

    /// Sleeps as the driver does: announces it, looks once more, and only then waits for the eventfd. How often it waited.
    fn receive(bell: &Bell, inbox: &mut rtrb::Consumer<Box<u64>>) -> u64 {
        let (mut expected, mut sleeps) = (0, 0);
        while expected < MESSAGES {
            while let Ok(message) = inbox.pop() {
                assert_eq!(*message, expected);
                expected += 1;
            }
            bell.park();
            if expected < MESSAGES && inbox.is_empty() {
                sleeps += 1;
                // A minute is for ever: a wake-up that was lost is a failure, not a test that hangs.
                let timeout = rustix::time::Timespec { tv_sec: 60, tv_nsec: 0 };
                let woken = poll(&mut [PollFd::new(&bell.0.eventfd, PollFlags::IN)], Some(&timeout));
                assert_eq!(woken, Ok(1), "a wake-up was lost behind message {expected}");
            }
            bell.unpark();
            bell.clear();
        }
        sleeps
    }

    /// What one thread puts into a ring before it rings is there, whole, when the other wakes.
    #[test]
    fn no_message_and_no_wake_up_is_lost() {
        let bell = Bell::new().unwrap();
        let (mut sender, mut inbox) = rtrb::RingBuffer::new(64);
        let ringing = bell.clone();
        let sending = thread::spawn(move || {
            for number in 0..MESSAGES {
                let mut message = Box::new(number);
                while let Err(rtrb::PushError::Full(back)) = sender.push(message) {
                    message = back;
                    thread::yield_now();
                }
                ringing.ring();
                if number % 50 == 0 {
                    // Time to fall asleep.
                    thread::yield_now();
                }
            }
        });
        let sleeps = receive(&bell, &mut inbox);
        sending.join().unwrap();
        assert!(sleeps > 0, "the receiver slept at times");
    }
}
