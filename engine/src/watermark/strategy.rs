//! How watermarks follow from timestamps, for one partition.

use crate::Data;
use std::time::Duration;

/// How the watermark of a partition follows from the timestamps of its records. What it remembers is saved with each
/// epoch, for each partition.
pub trait WatermarkStrategy: 'static {
    /// What it remembers of a partition.
    type State: Data;

    /// The memory of a partition of which nothing was seen.
    fn start(&self) -> Self::State;

    /// Takes note of a record's timestamp.
    fn observe(&self, state: &mut Self::State, timestamp: i64);

    /// The partition's watermark; asked after each batch. It need not rise.
    fn watermark(&self, state: &Self::State) -> i64;
}

/// Records come at most so many milliseconds behind the latest one: watermark = latest timestamp - bound - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundedDisorder {
    /// The bound, in ms.
    pub bound_ms: i64,
}

impl WatermarkStrategy for BoundedDisorder {
    /// The latest timestamp.
    type State = i64;

    fn start(&self) -> i64 {
        i64::MIN
    }

    #[inline]
    fn observe(&self, latest: &mut i64, timestamp: i64) {
        *latest = (*latest).max(timestamp);
    }

    fn watermark(&self, latest: &i64) -> i64 {
        latest.saturating_sub(self.bound_ms).saturating_sub(1)
    }
}

/// Timestamps never fall within a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ascending;

impl WatermarkStrategy for Ascending {
    type State = i64;

    fn start(&self) -> i64 {
        i64::MIN
    }

    #[inline]
    fn observe(&self, latest: &mut i64, timestamp: i64) {
        *latest = (*latest).max(timestamp);
    }

    fn watermark(&self, latest: &i64) -> i64 {
        latest.saturating_sub(1)
    }
}

/// A strategy, and when a partition without records stops holding others back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks<S> {
    pub(crate) strategy: S,
    pub(crate) idle_after_ms: Option<i64>,
}

impl Watermarks<BoundedDisorder> {
    /// Records come at most `bound` behind the latest one of their partition.
    #[must_use]
    pub fn bounded(bound: Duration) -> Self {
        Self::custom(BoundedDisorder { bound_ms: millis(bound) })
    }
}

impl Watermarks<Ascending> {
    /// Timestamps never fall within a partition.
    #[must_use]
    pub const fn ascending() -> Self {
        Self::custom(Ascending)
    }
}

impl<S> Watermarks<S> {
    /// A strategy of your own.
    #[must_use]
    pub const fn custom(strategy: S) -> Self {
        Self { strategy, idle_after_ms: None }
    }

    /// A partition that has had nothing to read for so long is left out of the watermark until it has again. The clock
    /// stops while the job itself is what keeps the partition from being read. Without this, a partition without
    /// records holds the watermark back for good.
    #[must_use]
    pub fn idle_after(mut self, span: Duration) -> Self {
        self.idle_after_ms = Some(millis(span));
        self
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
