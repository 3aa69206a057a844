//! From a timestamp to a pane, from panes to windows.

use std::time::Duration;

/// A span of event time, without its end, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first millisecond.
    pub start: i64,
    /// One past the last.
    pub end: i64,
}

impl Window {
    /// Whether no record of the window is expected any more.
    #[inline]
    #[must_use]
    pub const fn is_past(&self, watermark: i64) -> bool {
        self.end - 1 <= watermark
    }
}

/// How windows consist of panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Panes {
    /// Each window is one pane.
    Whole,
    /// A window is this many panes in a row, and one begins at each pane. The panes are combined when it fires.
    Shared {
        /// Panes of a window.
        count: u32,
    },
    /// Panes of a key that meet become one. A window is what has merged when the watermark passes its end.
    Merging,
}

mod sealed {
    pub trait Sealed {}
}

/// Assigns records to panes. Sealed: the operator must know how to fire each kind.
pub trait Assigner: sealed::Sealed + Clone + 'static {
    /// How the windows consist of the panes.
    fn panes(&self) -> Panes;

    /// The pane that a record of this time is added to.
    fn pane(&self, timestamp: i64) -> Window;
}

/// Windows of one length, one after the other, aligned to the Unix epoch and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size_ms: i64,
    offset_ms: i64,
}

impl Tumbling {
    /// Windows of this length.
    ///
    /// # Panics
    /// If the length is below a millisecond.
    #[must_use]
    pub fn of(size: Duration) -> Self {
        let size_ms = i64::try_from(size.as_millis()).unwrap_or(i64::MAX);
        assert!(size_ms > 0, "a window is at least a millisecond long");
        Self { size_ms, offset_ms: 0 }
    }

    /// Moves the beginnings of the windows, for days of a time zone.
    #[must_use]
    pub fn offset(mut self, offset: Duration) -> Self {
        let offset_ms = i64::try_from(offset.as_millis()).unwrap_or(0);
        self.offset_ms = offset_ms % self.size_ms;
        self
    }
}

impl sealed::Sealed for Tumbling {}

impl Assigner for Tumbling {
    fn panes(&self) -> Panes {
        Panes::Whole
    }

    #[inline]
    fn pane(&self, timestamp: i64) -> Window {
        let into = timestamp.saturating_sub(self.offset_ms).rem_euclid(self.size_ms);
        let start = timestamp.saturating_sub(into);
        Window { start, end: start.saturating_add(self.size_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tumbling_pane_holds_its_record_and_is_aligned(
            timestamp in -1_000_000_000_000i64..4_000_000_000_000,
            size in 1u64..100_000_000,
            offset in 0u64..100_000_000,
        ) {
            let windows = Tumbling::of(Duration::from_millis(size)).offset(Duration::from_millis(offset));
            let pane = windows.pane(timestamp);
            prop_assert!(pane.start <= timestamp && timestamp < pane.end);
            prop_assert_eq!(pane.end - pane.start, size as i64);
            prop_assert_eq!((pane.start - offset as i64).rem_euclid(size as i64), 0);
            prop_assert_eq!(windows.pane(pane.end).start, pane.end);
            prop_assert!(!pane.is_past(pane.end - 2) && pane.is_past(pane.end - 1));
        }
    }
}
