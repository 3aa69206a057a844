//! What a watchdog may look at while a shard is busy: which chain of operators has been running since when, at which record.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Shared between a worker, which writes, and whoever watches it from another thread. The writes are plain stores: no
/// fence, no read-modify-write on the hot path.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// When the running call began, in nanoseconds of the runtime's monotonic clock; 0 if none runs.
    since_ns: AtomicU64,
    /// The slot of the task that runs.
    slot: AtomicU32,
    /// How many records it has taken in this attempt.
    record: AtomicU64,
    /// Names by slot. Locked when a task starts or somebody asks, never while records flow.
    names: Mutex<Vec<String>>,
}

/// A call that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The task's name: the operators of its chain, in order.
    pub task: String,
    /// When the call began, in nanoseconds of the runtime's monotonic clock.
    pub since_ns: u64,
    /// The ordinal of the record that it is at.
    pub record: u64,
}

impl Watch {
    /// What is running, if anything is. May be a moment old.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        let since_ns = self.0.since_ns.load(Ordering::Acquire);
        if since_ns == 0 {
            return None;
        }
        let slot = self.0.slot.load(Ordering::Relaxed) as usize;
        let record = self.0.record.load(Ordering::Relaxed);
        let names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Running { task: names.get(slot).cloned().unwrap_or_default(), since_ns, record })
    }

    /// Gives a task a slot.
    pub(crate) fn register(&self, name: &str) -> u32 {
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let free = names.iter().position(String::is_empty).unwrap_or(names.len());
        if free == names.len() {
            names.push(String::new());
        }
        name.clone_into(&mut names[free]);
        free as u32
    }

    /// Gives a slot back.
    pub(crate) fn release(&self, slot: u32) {
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        names[slot as usize].clear();
    }

    pub(crate) fn begin(&self, slot: u32, now_ns: u64) {
        self.0.slot.store(slot, Ordering::Relaxed);
        self.0.since_ns.store(now_ns.max(1), Ordering::Release);
    }

    #[inline]
    pub(crate) fn at(&self, record: u64) {
        self.0.record.store(record, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.0.since_ns.store(0, Ordering::Release);
    }
}
