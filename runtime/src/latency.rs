//! How long things took, counted into buckets: cheap enough to be always on.

use std::time::Duration;

/// The buckets' upper bounds, in microseconds: 1, 2.5 and 5 of each power of ten, from 50 us (a write that a device's cache
/// takes) to 10 s (a long poll). What takes longer has a bucket of its own.
const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Durations, by bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; BOUNDS_US.len() + 1],
    sum: Duration,
}

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[BOUNDS_US.partition_point(|bound| *bound < micros)] += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// Each bucket's upper bound, none for the last, and how many are in it and in no lower one.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = BOUNDS_US.into_iter().map(|bound| Some(Duration::from_micros(bound)));
        bounds.chain([None]).zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_falls_into_the_lowest_bucket_that_holds_it() {
        let mut latencies = Latencies::default();
        for micros in [0, 50, 51, 10_000_000, 10_000_001] {
            latencies.record(Duration::from_micros(micros));
        }
        let filled: Vec<_> = latencies.buckets().filter(|(_, count)| *count > 0).collect();
        let at = |micros| Some(Duration::from_micros(micros));
        assert_eq!(filled, [(at(50), 2), (at(100), 1), (at(10_000_000), 1), (None, 1)]);
        assert_eq!((latencies.count(), latencies.sum()), (5, Duration::from_micros(20_000_102)));
    }
}
