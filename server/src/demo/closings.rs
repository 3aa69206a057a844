//! When each hour could close: the moment from which the demo counts how long a result takes.
//!
//! The job closes an hour when the latest schedule of every partition, less the bound, has passed the hour's end. Whoever sends
//! knows when it hands on the line that lets this happen; that moment is kept here for each partition and hour. It is read
//! before the line is sent, so that what the producer, the wire and the log take counts too.

use super::{flight::DATA_EPOCH_MS, utc::HOUR_MS};
use millrace_runtime::Instant;
use std::sync::atomic::{AtomicU64, Ordering};

/// The moments, of every partition and hour.
#[derive(Debug)]
pub struct Closings {
    bound_min: i32,
    /// By partition, by hours since the data's epoch at which a window ends: the clock in ns; 0 before.
    ends: Vec<Box<[AtomicU64]>>,
}

/// How far the schedule has come in what is sent to a partition.
#[derive(Debug)]
pub struct PartitionClock<'a> {
    bound_min: i32,
    ends: &'a [AtomicU64],
    /// The first end that was not passed.
    next: usize,
}

impl Closings {
    /// For windows that end in the first `hours` hours of the data, behind `partitions` partitions.
    #[must_use]
    pub fn new(partitions: usize, hours: usize, bound_min: i32) -> Self {
        let ends = (0..partitions).map(|_| (0..=hours).map(|_| AtomicU64::new(0)).collect());
        Self { bound_min, ends: ends.collect() }
    }

    /// The clock of a partition. It has one user.
    ///
    /// # Panics
    /// If there is no such partition.
    #[must_use]
    pub fn clock(&self, partition: usize) -> PartitionClock<'_> {
        let ends = &self.ends[partition];
        let next = ends.iter().position(|at| at.load(Ordering::Relaxed) == 0).unwrap_or(ends.len());
        PartitionClock { bound_min: self.bound_min, ends, next }
    }

    /// When the window that ends at `end_ms` could close: when the last of the partitions had come so far.
    #[must_use]
    pub fn closed_at(&self, end_ms: i64) -> Option<Instant> {
        let end = usize::try_from((end_ms - DATA_EPOCH_MS).div_euclid(HOUR_MS)).ok()?;
        let passed = self.ends.iter().map(|ends| ends.get(end).map_or(0, |at| at.load(Ordering::Acquire)));
        let (earliest, latest) = passed.fold((u64::MAX, 0), |(low, high), at| (low.min(at), high.max(at)));
        (earliest > 0 && latest > 0).then(|| Instant::from_nanos(latest))
    }
}

impl PartitionClock<'_> {
    /// Notes that a line with this schedule, in minutes since the data's epoch, is about to be sent.
    pub fn advance(&mut self, scheduled_min: i32) {
        let passed = (scheduled_min - self.bound_min).div_euclid(60);
        let Ok(passed) = usize::try_from(passed) else { return };
        if passed < self.next {
            return;
        }
        // 0 stands for "not yet".
        let now = Instant::now().as_nanos().max(1);
        for at in self.ends.iter().take(passed + 1).skip(self.next) {
            at.store(now, Ordering::Release);
        }
        self.next = passed + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_closes_when_every_partition_has_passed_its_end_by_the_bound() {
        let closings = Closings::new(2, 48, 90);
        let end = |hour: i64| DATA_EPOCH_MS + hour * HOUR_MS;
        let (mut one, mut two) = (closings.clock(0), closings.clock(1));
        one.advance(149);
        two.advance(500);
        assert_eq!(closings.closed_at(end(1)), None);
        one.advance(150);
        let closed = closings.closed_at(end(1)).unwrap();
        assert_eq!(closings.closed_at(end(2)), None);
        one.advance(100);
        one.advance(151);
        assert_eq!(closings.closed_at(end(1)), Some(closed), "later lines change nothing");
        one.advance(300);
        assert!(closings.closed_at(end(3)).unwrap() >= closed);
        assert_eq!(closings.closed_at(end(4)), None);
        one.advance(1_000_000);
        assert_eq!((closings.closed_at(end(48)), closings.closed_at(end(49))), (None, None));
        assert_eq!(closings.closed_at(DATA_EPOCH_MS - HOUR_MS), None);
    }

    #[test]
    fn a_clock_goes_on_where_the_last_one_stopped() {
        let closings = Closings::new(1, 48, 0);
        closings.clock(0).advance(600);
        let closed = closings.closed_at(DATA_EPOCH_MS + 10 * HOUR_MS);
        closings.clock(0).advance(700);
        assert_eq!(closings.closed_at(DATA_EPOCH_MS + 10 * HOUR_MS), closed);
    }
}
