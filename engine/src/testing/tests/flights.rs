//! Which airport and carrier run late: hourly windows by two fields, count, average, exact percentile, late records.

use crate::{
    exchange::ExchangeOptions,
    prelude::*,
    testing::{OutputRecord, TestRecord, Testbed, random::Random},
};
use std::{collections::BTreeMap, fmt::Write, time::Duration};

const HOUR_MS: i64 = 3_600_000;

#[derive(Data, Clone, Debug, PartialEq)]
struct Flight {
    origin: [u8; 3],
    carrier: [u8; 2],
    tail: String,
    scheduled: i64,
    delay: i32,
}

impl Flight {
    /// `origin,carrier,tail,scheduled,delay`; a cancelled flight has no delay.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(',');
        Some(Self {
            origin: fields.next()?.as_bytes().try_into().ok()?,
            carrier: fields.next()?.as_bytes().try_into().ok()?,
            tail: fields.next()?.to_owned(),
            scheduled: fields.next()?.parse().ok()?,
            delay: fields.next()?.parse().ok()?,
        })
    }
}

fn delays(job: &mut JobBuilder) {
    let bound_ms = job.parameter("bound_ms", 3 * HOUR_MS);
    let (windows, late) = job
        .source("flights")
        .parse(|record| record.value.and_then(|line| Flight::parse(std::str::from_utf8(line).ok()?)))
        .event_time(
            |flight| flight.scheduled,
            Watermarks::bounded(Duration::from_millis(bound_ms.cast_unsigned()))
                .idle_after(Duration::from_secs(60)),
        )
        .key_by(|flight| (flight.origin, flight.carrier))
        .window(Tumbling::of(Duration::from_millis(HOUR_MS as u64)))
        .with_late();
    windows
        .aggregate_with(|of| {
            (of.count(), of.average(|flight| flight.delay), of.percentile(95.0, |flight| flight.delay))
        })
        .to_topic("delays", |window, record| {
            let ((origin, carrier), (count, average, p95)) = (window.key, window.value);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            record.key().extend_from_slice(format!("{} {}", text(&origin), text(&carrier)).as_bytes());
            let row = format!("{},{count},{average:.6},{p95}", window.start);
            record.value().extend_from_slice(row.as_bytes());
        });
    late.to_topic("late", |flight, record| {
        record.value().extend_from_slice(flight.tail.as_bytes());
    });
}

/// Flights in order of departure, which is not that of their schedule; a tenth of them cancelled.
fn input(random: &mut Random, count: usize, disorder_ms: i64) -> Vec<String> {
    let mut lines = Vec::new();
    let mut departure = 1_357_000_000_000i64;
    for number in 0..count {
        departure += random.below(120_000) as i64;
        let behind = if random.below(4) == 0 { random.below(disorder_ms as usize) as i64 } else { 0 };
        let mut line = String::new();
        let origin = ["JFK", "LGA", "EWR"][random.below(3)];
        let carrier = ["UA", "B6", "9E", "AA", "DL"][random.below(5)];
        write!(line, "{origin},{carrier},N{number},{},", departure - behind).unwrap();
        if random.below(10) > 0 {
            write!(line, "{}", random.below(400) as i64 - 60).unwrap();
        }
        lines.push(line);
    }
    lines
}

/// Every flight in one window, in the order of their schedule.
fn oracle(lines: &[String]) -> Vec<(String, String)> {
    let mut windows: BTreeMap<(i64, [u8; 3], [u8; 2]), Vec<i32>> = BTreeMap::new();
    for flight in lines.iter().filter_map(|line| Flight::parse(line)) {
        let start = flight.scheduled.div_euclid(HOUR_MS) * HOUR_MS;
        windows.entry((start, flight.origin, flight.carrier)).or_default().push(flight.delay);
    }
    let rows = windows.into_iter().map(|((start, origin, carrier), mut delays)| {
        delays.sort_unstable();
        let count = delays.len();
        let average = delays.iter().map(|d| i64::from(*d)).sum::<i64>() as f64 / count as f64;
        let p95 = delays[(95 * count).div_ceil(100) - 1];
        let key = format!("{} {}", String::from_utf8_lossy(&origin), String::from_utf8_lossy(&carrier));
        (key, format!("{start},{count},{average:.6},{p95}"))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows
}

fn rows(output: &[OutputRecord]) -> Vec<(String, String)> {
    let mut rows: Vec<_> =
        output.iter().map(|row| (row.key_text().to_owned(), row.value_text().to_owned())).collect();
    rows.sort();
    rows
}

fn produce(testbed: &mut Testbed, lines: &[String], partitions: usize) {
    testbed.topic("flights", partitions as u32);
    testbed.topic("delays", 3);
    testbed.topic("late", 1);
    for partition in 0..partitions {
        let records: Vec<_> =
            lines.iter().skip(partition).step_by(partitions).map(|line| TestRecord::new(0, line)).collect();
        testbed.produce("flights", partition as i32, &records);
    }
}

/// Frames of a few records, one credit: back-pressure everywhere.
const TIGHT: ExchangeOptions = ExchangeOptions { frame_bytes: 200, credits: 1, spill_bytes: 1 << 20 };

#[test]
fn equals_the_oracle_on_any_number_of_shards() {
    for (seed, shards, budget, exchange) in [
        (1, 1, 1, ExchangeOptions::default()),
        (2, 1, 100, TIGHT),
        (3, 2, 1, TIGHT),
        (4, 2, 50, ExchangeOptions::default()),
        (5, 3, 1, TIGHT),
        (6, 3, 1000, ExchangeOptions::default()),
    ] {
        let lines = input(&mut Random::new(seed), 600, 2 * HOUR_MS);
        let mut testbed = Testbed::new(delays)
            .shards(shards)
            .seed(seed)
            .budget(budget)
            .exchange(exchange)
            .set("bound_ms", 24 * HOUR_MS);
        produce(&mut testbed, &lines, 4);
        testbed.start_bounded();
        testbed.run_to_end();
        assert_eq!(testbed.failures(), []);
        assert_eq!(rows(&testbed.output("delays")), oracle(&lines), "seed {seed}");
        assert_eq!(testbed.output("late"), []);
    }
}
