//! What is replayed, and how far it has come: shared by who sends, who reads, and who draws.

use super::{
    closings::Closings,
    data::{Flights, Line, YEAR_MIN},
    flight::{DATA_EPOCH_MS, write_key},
    utc::HOUR_MS,
};
use millrace_net::client::partitioner::partition_of_key;
use millrace_runtime::Instant;
use std::{
    ops::Range,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

/// How fast a pass over the year goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The year in this time, each flight when its departure comes.
    Year(Duration),
    /// As fast as it is acknowledged.
    FlatOut,
}

/// What a pass came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PassFigures {
    /// Flights that were acknowledged.
    pub flights: u64,
    /// When the first was sent.
    pub began: Instant,
    /// How long it took until the last was acknowledged.
    pub span: Duration,
}

/// A replay of flights in passes, each a year later than the one before, so that it is not late.
#[derive(Debug)]
pub struct Replay {
    flights: Flights,
    /// The numbers of the lines for each partition, in the order of departure.
    routes: Vec<Vec<u32>>,
    /// From the first schedule to behind the last, in minutes since the data's epoch.
    schedule_min: Range<i32>,
    /// The passes.
    pub passes: Vec<Pace>,
    /// How long the job waits for a flight, in minutes of the schedule.
    pub bound_min: i32,
    /// When hours could close.
    pub closings: Closings,
    /// The pass that runs, from 0.
    pub pass: AtomicU64,
    /// Lines that were handed to producers.
    pub sent: AtomicU64,
    /// How many of them were cancelled flights.
    pub cancelled: AtomicU64,
    /// The departure that was sent last, in minutes since the data's epoch.
    pub departure_min: AtomicI32,
    /// Whether all that is ever sent was acknowledged.
    pub is_done: AtomicBool,
    /// Whether everybody should stop.
    pub is_stopped: AtomicBool,
    figures: Mutex<Vec<PassFigures>>,
}

impl Replay {
    /// The passes over these flights, into a topic of so many partitions.
    #[must_use]
    pub fn new(flights: Flights, passes: Vec<Pace>, partitions: u32, bound_min: i32) -> Self {
        let mut routes = vec![Vec::new(); partitions as usize];
        let mut key = Vec::new();
        for (number, line) in (0..).zip(flights.lines()) {
            key.clear();
            write_key(flights.text(line), &mut key);
            routes[partition_of_key(&key, partitions) as usize].push(number);
        }
        let schedule = flights.lines().iter().map(|line| line.scheduled_min);
        let schedule_min = schedule.clone().min().unwrap_or(0)..schedule.max().map_or(0, |last| last + 1);
        let mut replay = Self {
            flights,
            schedule_min,
            routes,
            passes,
            bound_min,
            closings: Closings::new(0, 0, 0),
            pass: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            departure_min: AtomicI32::new(0),
            is_done: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            figures: Mutex::default(),
        };
        let hours = usize::try_from(replay.last_end_min() / 60).unwrap_or(0);
        replay.closings = Closings::new(partitions as usize, hours, bound_min);
        replay
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.routes.len()
    }

    /// The flights.
    #[must_use]
    pub const fn flights(&self) -> &Flights {
        &self.flights
    }

    /// The flights of a partition, in the order of their departure.
    pub fn route(&self, partition: usize) -> impl Iterator<Item = &Line> {
        self.routes[partition].iter().map(|number| &self.flights.lines()[*number as usize])
    }

    /// How much later than in the data a pass is, in minutes.
    #[must_use]
    pub fn shift_min(pass: usize) -> i32 {
        i32::try_from(pass).map_or(i32::MAX, |pass| pass.saturating_mul(YEAR_MIN))
    }

    /// Where the last window of the last pass ends, in minutes since the data's epoch.
    #[must_use]
    pub fn last_end_min(&self) -> i32 {
        let latest = self.schedule_min.end - 1 + Self::shift_min(self.passes.len().saturating_sub(1));
        (latest.div_euclid(60) + 1) * 60
    }

    /// The pass whose flights a window holds. The few hours that a pass reaches into the next year come before the next pass's
    /// first.
    #[must_use]
    pub fn pass_of(&self, window_ms: i64) -> usize {
        let minutes = (window_ms - DATA_EPOCH_MS).div_euclid(HOUR_MS) * 60;
        let since_first = minutes - i64::from(self.schedule_min.start.div_euclid(60) * 60);
        usize::try_from(since_first.div_euclid(i64::from(YEAR_MIN))).unwrap_or(0)
    }

    /// Flights that were sent and had left: those that a window holds, or that are late.
    #[must_use]
    pub fn departed(&self) -> u64 {
        self.sent.load(Ordering::Acquire) - self.cancelled.load(Ordering::Acquire)
    }

    /// Asks everybody to stop.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    /// Whether everybody should stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// What the passes so far came to.
    #[must_use]
    pub fn figures(&self) -> Vec<PassFigures> {
        self.lock().clone()
    }

    pub(super) fn push_figures(&self, figures: PassFigures) {
        self.lock().push(figures);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PassFigures>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_belong_to_the_pass_of_their_flights() {
        let replay = Replay::new(Flights::load().unwrap(), vec![Pace::FlatOut; 2], 4, 1_300);
        for (scheduled_min, pass) in [(615, 0), (525_899, 0), (615 + YEAR_MIN, 1), (525_899 + YEAR_MIN, 1)] {
            let window_ms = DATA_EPOCH_MS + i64::from(scheduled_min) / 60 * HOUR_MS;
            assert_eq!(replay.pass_of(window_ms), pass, "{scheduled_min}");
        }
        assert_eq!(replay.last_end_min(), 525_900 + YEAR_MIN);
    }

    #[test]
    fn every_flight_has_one_partition_and_keeps_its_order() {
        let replay = Replay::new(Flights::load().unwrap(), vec![Pace::FlatOut], 4, 1_300);
        let mut all: Vec<_> = replay.routes.iter().flatten().copied().collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..all.len() as u32));
        assert_eq!(all.len(), replay.flights.lines().len());
        for partition in 0..4 {
            let departures: Vec<_> = replay.route(partition).map(|line| line.departure_min).collect();
            assert!(departures.is_sorted());
            assert!(departures.len() > all.len() / 5, "partitions are filled alike: {}", departures.len());
        }
    }
}
