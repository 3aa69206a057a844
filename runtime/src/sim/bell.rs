//! Wake-ups within a world.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// What wakers and bells tell the world. They are `Send` by their types, so this is too; a world and everything in
/// it stay on one thread all the same, and the locks are never contended.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    ready: Mutex<Vec<u64>>,
    rung: Mutex<Vec<Bell>>,
}

impl Signals {
    /// Tasks that were woken and not polled since.
    pub(crate) fn ready(&self) -> MutexGuard<'_, Vec<u64>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bells that were rung and whose sound is not under way yet, in order.
    pub(crate) fn rung(&self) -> MutexGuard<'_, Vec<Bell>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shard's bell. It sounds after a seeded delay; ringing it again before that changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Bell {
    shard: u64,
    pending: Arc<AtomicBool>,
    signals: Arc<Signals>,
}

impl Bell {
    pub(crate) fn new(shard: u64, signals: Arc<Signals>) -> Self {
        Self { shard, pending: Arc::default(), signals }
    }

    pub(crate) fn ring(&self) {
        if !self.pending.swap(true, Ordering::Relaxed) {
            self.signals.rung().push(self.clone());
        }
    }

    /// The shard that this wakes, by its key in the world.
    pub(crate) fn shard(&self) -> u64 {
        self.shard
    }

    /// From now on ringing starts anew. Called when the bell sounds, before the shard looks at its inboxes.
    pub(crate) fn sound(&self) {
        self.pending.store(false, Ordering::Relaxed);
    }
}
