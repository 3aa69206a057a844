//! Durable writes under way: how the driver waits for them, and whether the core is free for what they need of it.
//!
//! On a device that answers within a fraction of a millisecond, going to sleep and being woken costs as much as the write
//! itself, so the driver waits awake. It spins on a core that the kernel may need: the worker that starts the flush behind
//! a direct write is bound to the core to which the device's interrupt came, often this one, and the scheduler leaves a
//! spinning thread alone until its next tick (4 ms at 250 Hz: seen). So the driver gives its core away between two looks, which
//! costs a fraction of a microsecond where nobody wants it. A shard that is busy can't; it is told apart here.

use super::time::monotonic_ns;
use std::cell::Cell;

/// The driver waits awake for durable writes that take less than this, in nanoseconds; for those of slower devices, it sleeps.
const AWAKE_MAX_NS: u64 = 300_000;

/// Of what the last write took, this much goes into what a write is expected to take: an eighth.
const WEIGHT_SHIFT: u32 = 3;

/// What one write says of what the next is expected to take is not more than this: now and then one waits for the device, or for
/// a tick of the scheduler.
const OUTLIER_NS: u64 = 2 * AWAKE_MAX_NS;

/// The core counts as free for the kernel when it was free during that many durable writes: clients that wait for their
/// acknowledgements make a shard busy and idle by turns.
const IDLE_STREAK: u32 = 8;

/// The durable writes that the shard waits for.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    in_flight: Cell<u32>,
    /// Since when the driver waits for what is in flight: the last that began or ended.
    since_ns: Cell<u64>,
    /// What one takes, in nanoseconds: a moving average.
    typical_ns: Cell<u64>,
    /// How long the shard had nothing to do but wait, so far, in nanoseconds.
    idle_ns: Cell<u64>,
    /// During so many, up to the last, the shard did little but wait.
    idle_streak: Cell<u32>,
}

/// One durable write, until it is dropped.
pub(super) struct UnderWay<'a> {
    syncs: &'a Syncs,
    began_ns: u64,
    idle_ns: u64,
}

impl Syncs {
    pub(super) fn begin(&self) -> UnderWay<'_> {
        let began_ns = monotonic_ns();
        self.since_ns.set(began_ns);
        self.in_flight.set(self.in_flight.get() + 1);
        UnderWay { syncs: self, began_ns, idle_ns: self.idle_ns.get() }
    }

    /// Until when the driver waits awake, on the monotonic clock; 0 if there is nothing worth waiting for.
    pub(super) fn awake_until(&self) -> u64 {
        if self.in_flight.get() == 0 || self.typical_ns.get() > AWAKE_MAX_NS {
            return 0;
        }
        self.since_ns.get() + AWAKE_MAX_NS
    }

    /// Whether the kernel may need this core to go on.
    pub(super) fn are_under_way(&self) -> bool {
        self.in_flight.get() > 0
    }

    /// The shard had nothing to do for that long.
    pub(super) fn idled(&self, nanos: u64) {
        self.idle_ns.set(self.idle_ns.get() + nanos);
    }

    /// Whether the core is likely to be free for the kernel's worker during the next durable write.
    pub(super) fn leave_core_free(&self) -> bool {
        self.idle_streak.get() >= IDLE_STREAK
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Syncs { in_flight, since_ns, typical_ns, idle_ns, idle_streak } = self.syncs;
        let now = monotonic_ns();
        in_flight.set(in_flight.get() - 1);
        since_ns.set(now);
        let took = now.saturating_sub(self.began_ns);
        let typical = typical_ns.get();
        typical_ns.set(typical - (typical >> WEIGHT_SHIFT) + (took.min(OUTLIER_NS) >> WEIGHT_SHIFT));
        let idle = idle_ns.get() - self.idle_ns;
        let was_idle = idle >= took - took / 8;
        idle_streak.set(if was_idle { idle_streak.get().saturating_add(1) } else { 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any write of these tests takes.
    const LONG_NS: u64 = 1 << 50;

    fn idle_writes(syncs: &Syncs, count: u32) {
        for _ in 0..count {
            let under_way = syncs.begin();
            syncs.idled(LONG_NS);
            drop(under_way);
        }
    }

    #[test]
    fn the_core_counts_as_free_after_a_streak_of_idle_writes_and_no_longer_after_a_busy_one() {
        let syncs = Syncs::default();
        assert!(!syncs.leave_core_free());
        idle_writes(&syncs, IDLE_STREAK - 1);
        assert!(!syncs.leave_core_free());
        idle_writes(&syncs, 1);
        assert!(syncs.leave_core_free());
        let busy = syncs.begin();
        while monotonic_ns() == busy.began_ns {}
        drop(busy);
        assert!(!syncs.leave_core_free());
    }

    #[test]
    fn idle_time_before_a_write_does_not_count_for_it() {
        let syncs = Syncs::default();
        idle_writes(&syncs, IDLE_STREAK);
        syncs.idled(LONG_NS);
        let busy = syncs.begin();
        while monotonic_ns() == busy.began_ns {}
        drop(busy);
        assert!(!syncs.leave_core_free());
    }

    #[test]
    fn the_driver_waits_awake_only_while_a_write_is_under_way_and_writes_are_short() {
        let syncs = Syncs::default();
        assert_eq!(syncs.awake_until(), 0);
        let under_way = syncs.begin();
        assert!(syncs.are_under_way());
        assert!(syncs.awake_until() > under_way.began_ns);
        drop(under_way);
        assert!(!syncs.are_under_way());
        assert_eq!(syncs.awake_until(), 0);
        // A slow device: each write counts as long as an outlier may, at most.
        syncs.typical_ns.set(AWAKE_MAX_NS + 1);
        let _under_way = syncs.begin();
        assert_eq!(syncs.awake_until(), 0);
    }
}
