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

/// Lets chance run the job, end epochs, and bring it down in every way there is.
fn run_through_failures(testbed: &mut Testbed, random: &mut Random, failures: usize) {
    for failure in 0..failures {
        for _ in 0..random.below(4) {
            for _ in 0..random.below(400) {
                testbed.turn();
            }
            testbed.begin_epoch();
        }
        for _ in 0..random.below(200) {
            testbed.turn();
        }
        match failure % 3 {
            0 => testbed.kill(),
            1 => testbed.abort(),
            _ => testbed.kill_and_rescale(1 + random.below(3)),
        }
    }
}

#[test]
fn output_is_that_of_an_undisturbed_run_whatever_fails_when() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let lines = input(&mut random, 400, HOUR_MS);
        let mut testbed = Testbed::new(delays)
            .shards(1 + random.below(3))
            .seed(seed)
            .budget(1 + random.below(60) as u32)
            .exchange(if seed % 2 == 0 { TIGHT } else { ExchangeOptions::default() })
            .set("bound_ms", 24 * HOUR_MS);
        produce(&mut testbed, &lines, 3);
        testbed.start_bounded();
        run_through_failures(&mut testbed, &mut random, 9);
        testbed.run_to_end();
        assert_eq!(testbed.failures(), []);
        assert_eq!(rows(&testbed.output("delays")), oracle(&lines), "seed {seed}");
        assert_eq!(testbed.output("late"), []);
    }
}

#[test]
fn on_time_and_late_records_are_all_records() {
    let mut late_in_all = 0;
    for seed in 0..8 {
        let mut random = Random::new(seed);
        let lines = input(&mut random, 500, 5 * HOUR_MS);
        let mut testbed = Testbed::new(delays)
            .shards(1 + random.below(3))
            .seed(seed)
            .budget(40)
            .set("bound_ms", HOUR_MS / 2);
        produce(&mut testbed, &lines, 2);
        testbed.start_bounded();
        if seed % 2 == 1 {
            run_through_failures(&mut testbed, &mut random, 3);
        }
        testbed.run_to_end();
        let on_time: u64 = testbed
            .output("delays")
            .iter()
            .map(|row| row.value_text().split(',').nth(1).unwrap().parse::<u64>().unwrap())
            .sum();
        let late = testbed.output("late");
        let flights: Vec<_> = lines.iter().filter_map(|line| Flight::parse(line)).collect();
        assert_eq!(on_time as usize + late.len(), flights.len(), "seed {seed}");
        let mut tails: Vec<_> = late.iter().map(OutputRecord::value_text).collect();
        tails.sort_unstable();
        tails.dedup();
        assert_eq!(tails.len(), late.len(), "no record is late twice");
        late_in_all += late.len();
    }
    assert!(late_in_all > 100, "the input has late records: {late_in_all}");
}

#[test]
fn metrics_count_what_went_through() {
    let lines = input(&mut Random::new(9), 300, HOUR_MS);
    let mut testbed = Testbed::new(delays).shards(2).seed(9).set("bound_ms", 24 * HOUR_MS);
    produce(&mut testbed, &lines, 2);
    testbed.start_bounded();
    testbed.run_to_end();
    let flights = lines.iter().filter_map(|line| Flight::parse(line)).count() as u64;
    let metrics = testbed.metrics();
    let sum = |operator: &str, count: fn(&crate::metrics::OperatorMetrics) -> u64| -> u64 {
        let tasks = metrics.iter().flat_map(|job| &job.tasks);
        tasks.flat_map(|task| &task.operators).filter(|o| o.name == operator).map(count).sum()
    };
    assert_eq!(sum("flights", |o| o.records_in), lines.len() as u64);
    assert_eq!(sum("flights", |o| o.records_out), flights);
    assert_eq!(sum("key_by", |o| o.records_out), flights);
    assert_eq!(sum("window", |o| o.records_in), flights);
    assert_eq!(sum("window", |o| o.records_out), testbed.output("delays").len() as u64);
    assert_eq!(sum("window", |o| o.late_records), 0);
    let tasks: Vec<_> = metrics.iter().flat_map(|job| &job.tasks).collect();
    assert!(tasks.iter().all(|task| task.lag.is_none_or(|lag| lag == 0) && task.queued_frames == 0));
    assert!(tasks.iter().filter(|task| task.name.starts_with("window")).all(|t| t.watermark == i64::MAX));
}
