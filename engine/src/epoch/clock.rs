//! When the next epoch starts: self-clocked, like group commit.

use std::time::Duration;

/// How often epochs start, and how many may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochOptions {
    /// The shortest time between two starts.
    pub min: Duration,
    /// After this time the next epoch starts though the last is not prepared yet.
    pub interval: Duration,
    /// The most epochs that may be neither committed nor aborted (K). While there are as many, none starts.
    pub unresolved_max: usize,
}

impl Default for EpochOptions {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(1),
            interval: Duration::from_millis(10),
            unresolved_max: crate::table::UNRESOLVED_MAX,
        }
    }
}

/// What the clock must know of the epochs under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnderWay {
    /// How many are unresolved.
    pub(super) unresolved: usize,
    /// When the last one started.
    pub(super) last_start: Option<Duration>,
    /// Whether all participants have voted on it.
    pub(super) is_last_prepared: bool,
}

impl EpochOptions {
    /// When the next epoch may start, if there is work for it: nothing while too many are unresolved.
    pub(super) fn next_start(&self, under_way: UnderWay) -> Option<Duration> {
        if under_way.unresolved >= self.unresolved_max {
            return None;
        }
        let Some(last) = under_way.last_start else { return Some(Duration::ZERO) };
        Some(last + if under_way.is_last_prepared { self.min } else { self.interval.max(self.min) })
    }
}
