//! What has come out so far: counts, the standings, and how long results took.

use super::{
    row::Row,
    utc::{DAY_MS, HOUR_MS},
};
use hdrhistogram::Histogram;
use millrace_runtime::Instant;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The span of event time that the standings look at.
pub const STANDINGS_DAYS: i64 = 7;

/// Flights within the standings below which a carrier's average is left to chance.
const FLIGHTS_MIN: u64 = 20;

/// Ten minutes: longer ones count as that.
const LATENCY_US_MAX: u64 = 600_000_000;

/// What was read of the job's topics. Written by one thread and looked at by another, a few times a second.
#[derive(Debug)]
pub struct Results(Mutex<Figures>);

/// See [`Results`].
#[derive(Clone, Debug)]
pub struct Figures {
    /// Rows of topic `delays`.
    pub rows: u64,
    /// Flights that they count.
    pub flights: u64,
    /// Late flights.
    pub late: u64,
    /// The latest window of which a row was read, in ms since the Unix epoch.
    pub window_ms: i64,
    /// What came out of each pass.
    pub passes: Vec<PassResults>,
    hours: BTreeMap<Who, VecDeque<Hour>>,
}

/// What came out of one pass.
#[derive(Clone, Debug)]
pub struct PassResults {
    /// Rows.
    pub rows: u64,
    /// When the last of them was readable.
    pub last: Option<Instant>,
    /// From the closing record to the first row of each window, in µs.
    pub latency_us: Histogram<u64>,
}

/// An airport and a carrier.
type Who = ([u8; 3], [u8; 2]);

/// What is kept of a row.
#[derive(Clone, Copy, Debug)]
struct Hour {
    window_ms: i64,
    flights: u64,
    sum_min: f64,
    p95_min: i32,
}

/// How late an airport's carrier was of late.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The airport.
    pub origin: [u8; 3],
    /// The carrier.
    pub carrier: [u8; 2],
    /// Flights that left.
    pub flights: u64,
    /// The average of their delays, in minutes.
    pub average_min: f64,
    /// The highest 95th percentile of any hour, in minutes.
    pub p95_min: i32,
    /// That hour, in ms since the Unix epoch.
    pub p95_ms: i64,
}

impl Results {
    /// Nothing yet, of so many passes.
    #[must_use]
    pub fn new(passes: usize) -> Self {
        let histogram =
            Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds and digits are allowed");
        Self(Mutex::new(Figures {
            rows: 0,
            flights: 0,
            late: 0,
            window_ms: i64::MIN,
            passes: vec![PassResults { rows: 0, last: None, latency_us: histogram }; passes.max(1)],
            hours: BTreeMap::new(),
        }))
    }

    /// The figures, locked.
    pub fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Figures {
    /// Takes a row of a pass.
    pub fn take(&mut self, row: &Row, pass: usize, readable: Instant) {
        self.rows += 1;
        if let Some(results) = self.passes.get_mut(pass) {
            results.rows += 1;
            results.last = Some(readable);
        }
        self.flights += row.flights;
        self.window_ms = self.window_ms.max(row.window_ms);
        let hours = self.hours.entry((row.origin, row.carrier)).or_default();
        hours.push_back(Hour {
            window_ms: row.window_ms,
            flights: row.flights,
            sum_min: row.average_min * row.flights as f64,
            p95_min: row.p95_min,
        });
        let oldest = self.window_ms + HOUR_MS - STANDINGS_DAYS * DAY_MS;
        while hours.front().is_some_and(|hour| hour.window_ms < oldest) {
            hours.pop_front();
        }
    }

    /// Takes how long the first row of a window took.
    pub fn take_latency(&mut self, pass: usize, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(results) = self.passes.get_mut(pass) {
            results.latency_us.saturating_record(us);
        }
    }

    /// The airports' carriers of the last days of event time, the latest first.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        let oldest = self.window_ms.saturating_add(HOUR_MS - STANDINGS_DAYS * DAY_MS);
        let mut standings: Vec<_> =
            self.hours.iter().filter_map(|(who, hours)| standing(*who, hours, oldest)).collect();
        standings.sort_by(|one, other| other.average_min.total_cmp(&one.average_min));
        standings
    }
}

fn standing((origin, carrier): Who, hours: &VecDeque<Hour>, oldest_ms: i64) -> Option<Standing> {
    let recent = hours.iter().filter(|hour| hour.window_ms >= oldest_ms);
    let flights: u64 = recent.clone().map(|hour| hour.flights).sum();
    let sum_min: f64 = recent.clone().map(|hour| hour.sum_min).sum();
    let worst = recent.max_by_key(|hour| hour.p95_min)?;
    (flights >= FLIGHTS_MIN).then(|| Standing {
        origin,
        carrier,
        flights,
        average_min: sum_min / flights as f64,
        p95_min: worst.p95_min,
        p95_ms: worst.window_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: i64, carrier: &[u8; 2], flights: u64, average_min: f64, p95_min: i32) -> Row {
        Row { window_ms: day * DAY_MS, origin: *b"EWR", carrier: *carrier, flights, average_min, p95_min }
    }

    #[test]
    fn standings_look_at_the_last_days_and_at_enough_flights() {
        let results = Results::new(1);
        let mut figures = results.lock();
        figures.take(&row(0, b"UA", 1_000, 500.0, 900), 0, Instant::from_nanos(1));
        figures.take(&row(9, b"UA", 10, 20.0, 50), 0, Instant::from_nanos(1));
        figures.take(&row(10, b"UA", 30, 40.0, 70), 0, Instant::from_nanos(1));
        figures.take(&row(10, b"B6", 40, 36.0, 60), 0, Instant::from_nanos(1));
        figures.take(&row(10, b"HA", 19, 99.0, 99), 0, Instant::from_nanos(1));
        let standings = figures.standings();
        let names: Vec<_> = standings.iter().map(|standing| standing.carrier).collect();
        assert_eq!(names, [*b"B6", *b"UA"]);
        let ua = Standing {
            origin: *b"EWR",
            carrier: *b"UA",
            flights: 40,
            average_min: 35.0,
            p95_min: 70,
            p95_ms: 10 * DAY_MS,
        };
        assert_eq!(standings[1], ua);
        assert_eq!((figures.rows, figures.flights, figures.passes[0].rows), (5, 1_099, 5));
    }

    #[test]
    fn nothing_yet_is_no_standing() {
        assert_eq!(Results::new(2).lock().standings(), []);
    }
}
