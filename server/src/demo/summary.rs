//! What the demo came to, for people and for programs.

use super::{
    job::{DELAYS_TOPIC, FLIGHTS_TOPIC, LATE_TOPIC},
    replay::{Pace, Replay},
    results::Results,
    screen::{millis, thousands},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

/// The job's own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Lines that it read.
    pub read: u64,
    /// Lines that were no flight that left.
    pub skipped: u64,
    /// Flights that came after their hour had closed.
    pub late: u64,
}

/// One pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// How fast it went.
    pub pace: Pace,
    /// Flights that were acknowledged.
    pub flights: u64,
    /// In which time.
    pub span: Duration,
    /// Rows that came of them.
    pub rows: u64,
    /// From the first flight's sending until the last row was readable.
    pub rows_span: Duration,
    /// Windows whose latency was measured.
    pub windows: u64,
    /// Half of them took at most this, in µs.
    pub p50_us: u64,
    /// 99 of 100 took at most this, in µs.
    pub p99_us: u64,
    /// The longest, in µs.
    pub max_us: u64,
}

/// What the demo came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Whether the replay came to its end.
    pub is_whole: bool,
    /// Flights that were sent.
    pub flights: u64,
    /// Lines that only tell that the schedule has ended: one for each partition, at the end.
    pub ends: u64,
    /// What the job counted.
    pub counts: JobCounts,
    /// Rows that were read.
    pub rows: u64,
    /// Flights that rows count.
    pub counted: u64,
    /// Records that were read of the topic of late flights.
    pub late: u64,
    /// The job's bound, in minutes.
    pub bound_min: i32,
    /// The passes that ended.
    pub passes: Vec<Pass>,
}

impl Summary {
    /// The figures of a replay, its results, and the job's counts.
    #[must_use]
    pub fn new(replay: &Replay, results: &Results, counts: JobCounts) -> Self {
        let figures = results.lock();
        let passes = replay.passes.iter().zip(replay.figures()).zip(&figures.passes);
        let passes = passes.map(|((pace, fed), results)| Pass {
            pace: *pace,
            flights: fed.flights,
            span: fed.span,
            rows: results.rows,
            rows_span: results.last.map_or(Duration::ZERO, |last| last - fed.began),
            windows: results.latency_us.len(),
            p50_us: results.latency_us.value_at_quantile(0.5),
            p99_us: results.latency_us.value_at_quantile(0.99),
            max_us: results.latency_us.max(),
        });
        let is_whole = replay.is_done.load(Ordering::Acquire) && !replay.stopped();
        Self {
            is_whole,
            flights: replay.sent.load(Ordering::Acquire),
            ends: if is_whole { replay.partitions() as u64 } else { 0 },
            counts,
            rows: figures.rows,
            counted: figures.flights,
            late: figures.late,
            bound_min: replay.bound_min,
            passes: passes.collect(),
        }
    }

    /// Cancelled flights, as the job counted them.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.counts.skipped.saturating_sub(self.ends)
    }

    /// Whether every flight that was sent is in a row, late, or was skipped, and none twice.
    #[must_use]
    pub const fn adds_up(&self) -> bool {
        self.counted + self.late + self.skipped() == self.flights && self.late == self.counts.late
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let read = self.counts.read.saturating_sub(self.ends);
        let mut lines = vec![
            String::new(),
            format!("flights read  {:>9}", thousands(read)),
            format!("skipped       {:>9}   cancelled", thousands(self.skipped())),
            format!(
                "windows       {:>9}   rows in topic {DELAYS_TOPIC}: hour, airport and carrier; flights, average, exact p95",
                thousands(self.rows)
            ),
            format!(
                "late          {:>9}   with a bound of {} min",
                thousands(self.late),
                thousands(self.bound_min.unsigned_abs().into())
            ),
        ];
        let sum = format!(
            "{} in windows + {} late + {} skipped",
            thousands(self.counted),
            thousands(self.late),
            thousands(self.skipped())
        );
        lines.push(match (self.is_whole, self.adds_up()) {
            (false, _) => format!(
                "stopped                 {} were sent, and some are on their way",
                thousands(self.flights)
            ),
            (true, true) => format!("adds up                 {sum} = {} sent", thousands(self.flights)),
            (true, false) => format!("does not add up         {sum}, but {} sent", thousands(self.flights)),
        });
        lines.push(String::new());
        lines.push(
            "                        flights/s in   rows/s out   readable after p50       p99       max"
                .to_owned(),
        );
        lines.extend(self.passes.iter().map(|pass| {
            format!(
                "{:<22}{:>14}{:>13}{:>21}{:>10}{:>10}",
                pass.name(),
                thousands(per_second(pass.flights, pass.span)),
                thousands(per_second(pass.rows, pass.rows_span)),
                millis(Some(pass.p50_us)),
                millis(Some(pass.p99_us)),
                millis(Some(pass.max_us)),
            )
        }));
        lines.push(String::new());
        lines.push(
            "Readable after: from when a producer is given the flight that lets an hour close until a consumer has the\n\
             hour's first row; flights and rows are durable by then. The second pass is dated a year later, or it would be late."
                .to_owned(),
        );
        lines.join("\n")
    }

    /// For programs.
    #[must_use]
    pub fn json(&self, address: SocketAddr) -> Value {
        let passes = self.passes.iter().map(|pass| {
            json!({
                "pass": pass.name(),
                "flights": pass.flights,
                "flights_s": pass.span.as_secs_f64(),
                "flights_per_s": per_second(pass.flights, pass.span),
                "rows": pass.rows,
                "rows_s": pass.rows_span.as_secs_f64(),
                "rows_per_s": per_second(pass.rows, pass.rows_span),
                "windows": pass.windows,
                "latency_us": {"p50": pass.p50_us, "p99": pass.p99_us, "max": pass.max_us},
            })
        });
        json!({
            "bootstrap": address.to_string(),
            "topics": {"in": FLIGHTS_TOPIC, "out": DELAYS_TOPIC, "late": LATE_TOPIC},
            "whole": self.is_whole,
            "flights": self.flights,
            "flights_read": self.counts.read.saturating_sub(self.ends),
            "skipped": self.skipped(),
            "windows": self.rows,
            "flights_in_windows": self.counted,
            "late": self.late,
            "bound_min": self.bound_min,
            "adds_up": self.adds_up(),
            "passes": passes.collect::<Vec<_>>(),
        })
    }
}

impl Pass {
    fn name(&self) -> String {
        match self.pace {
            Pace::Year(year) => format!("the year in {} s", year.as_secs_f64()),
            Pace::FlatOut => "flat out".to_owned(),
        }
    }
}

fn per_second(count: u64, span: Duration) -> u64 {
    if span.is_zero() { 0 } else { (count as f64 / span.as_secs_f64()) as u64 }
}

/// What to type to read the result from a server at `address`.
#[must_use]
pub fn how_to_read(address: SocketAddr) -> String {
    format!(
        "kcat -q -b {address} -C -t {DELAYS_TOPIC} -o beginning -c 10\n\
         \n\
         python3 - <<'END'\n\
         from kafka import KafkaConsumer  # pip install kafka-python\n\
         for row in KafkaConsumer('{DELAYS_TOPIC}', bootstrap_servers='{address}', auto_offset_reset='earliest',\n\
         \x20                        consumer_timeout_ms=2000):\n\
         \x20   print(row.key.decode(), row.value.decode())\n\
         END"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            is_whole: true,
            flights: 1_100,
            ends: 4,
            counts: JobCounts { read: 1_104, skipped: 104, late: 3 },
            rows: 400,
            counted: 997,
            late: 3,
            bound_min: 1_300,
            passes: vec![Pass {
                pace: Pace::FlatOut,
                flights: 1_100,
                span: Duration::from_millis(500),
                rows: 400,
                rows_span: Duration::from_secs(1),
                windows: 20,
                p50_us: 1_500,
                p99_us: 9_000,
                max_us: 10_000,
            }],
        }
    }

    #[test]
    fn sums_are_told_as_they_are() {
        let summary = summary();
        let text = summary.text();
        assert!(text.contains("997 in windows + 3 late + 100 skipped = 1,100 sent"), "{text}");
        assert!(text.contains("flat out") && text.contains("2,200") && text.contains("1.5 ms"), "{text}");
        let lost = Summary { counted: 996, ..summary };
        assert!(lost.text().contains("does not add up"));
        let stopped = Summary { is_whole: false, ..lost.clone() };
        assert!(!stopped.text().contains("add up") && stopped.text().contains("1,100 were sent"));
        assert_eq!(lost.json("127.0.0.1:9092".parse().unwrap())["adds_up"], false);
    }

    #[test]
    fn programs_get_the_same_figures() {
        let json = summary().json("127.0.0.1:9092".parse().unwrap());
        assert_eq!(json["flights_read"], 1_100);
        assert_eq!(json["skipped"], 100);
        assert_eq!(json["passes"][0]["flights_per_s"], 2_200);
        assert_eq!(json["passes"][0]["latency_us"]["p99"], 9_000);
        assert_eq!(json["adds_up"], true);
    }
}
