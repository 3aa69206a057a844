//! What there is to show of a running replay: totals, and rates over the last second.

use super::{
    flight::DATA_EPOCH_MS,
    replay::{Pace, Replay},
    results::Results,
    screen::Frame,
};
use millrace_runtime::Instant;
use std::{collections::VecDeque, net::SocketAddr, sync::atomic::Ordering, time::Duration};

/// The time over which rates are taken.
const SPAN: Duration = Duration::from_secs(1);

/// Looks at a replay again and again.
#[derive(Debug, Default)]
pub struct Meter {
    /// When, and how many flights and rows there were.
    samples: VecDeque<(Instant, u64, u64)>,
}

impl Meter {
    /// What there is to show now.
    #[must_use]
    pub fn frame(&mut self, now: Instant, address: SocketAddr, replay: &Replay, results: &Results) -> Frame {
        let figures = results.lock();
        let pass = usize::try_from(replay.pass.load(Ordering::Acquire)).unwrap_or(0);
        let flights = replay.sent.load(Ordering::Acquire);
        let departure_min = replay.departure_min.load(Ordering::Relaxed);
        let (flights_per_s, rows_per_s) = self.rates(now, flights, figures.rows);
        let latency = figures.passes.get(pass).map(|results| &results.latency_us);
        let latency = latency.filter(|latency| !latency.is_empty());
        let span = replay.flights().span_min();
        let passed = departure_min - Replay::shift_min(pass) - span.start;
        Frame {
            address: address.to_string(),
            pass: name(replay, pass),
            progress: f64::from(passed) / f64::from((span.end - 1 - span.start).max(1)),
            departure_ms: DATA_EPOCH_MS + i64::from(departure_min) * 60_000,
            standings: figures.standings(),
            flights,
            flights_per_s,
            rows: figures.rows,
            rows_per_s,
            p50_us: latency.map(|latency| latency.value_at_quantile(0.5)),
            p99_us: latency.map(|latency| latency.value_at_quantile(0.99)),
            late: figures.late,
        }
    }

    fn rates(&mut self, now: Instant, flights: u64, rows: u64) -> (f64, f64) {
        // One that is older than the span is kept, to cover it.
        while self.samples.get(1).is_some_and(|(at, ..)| now - *at >= SPAN) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, flights, rows));
        let (at, flights_then, rows_then) = self.samples[0];
        let seconds = (now - at).as_secs_f64();
        if seconds == 0.0 {
            return (0.0, 0.0);
        }
        ((flights - flights_then) as f64 / seconds, (rows - rows_then) as f64 / seconds)
    }
}

fn name(replay: &Replay, pass: usize) -> String {
    let how = match replay.passes.get(pass) {
        Some(Pace::Year(year)) => format!("the year in {} s", year.as_secs_f64()),
        Some(Pace::FlatOut) | None => "again, flat out".to_owned(),
    };
    format!("pass {} of {}: {how}", pass + 1, replay.passes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_second() {
        let mut meter = Meter::default();
        let at = |ms: u64| Instant::from_nanos(1_000_000_000 + ms * 1_000_000);
        assert_eq!(meter.rates(at(0), 0, 0), (0.0, 0.0));
        assert_eq!(meter.rates(at(500), 500, 50), (1000.0, 100.0));
        assert_eq!(meter.rates(at(1000), 1000, 100), (1000.0, 100.0));
        for ms in [1500, 2000, 2500] {
            meter.rates(at(ms), 1000, 100);
        }
        assert_eq!(meter.rates(at(3000), 1000, 100), (0.0, 0.0), "what is long ago does not count");
    }
}
