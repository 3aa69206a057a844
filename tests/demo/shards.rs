//! The job on simulated shards, over the whole year.

use crate::oracle::{QUARTER, assert_rows, oracle};
use millrace::demo::{
    data::{FLIGHTS, Flights},
    flight::{write_key, write_value},
    job::{BOUND, BOUND_MIN, DELAYS_TOPIC, FLIGHTS_TOPIC, LATE_TOPIC, delays},
};
use millrace_engine::testing::{OutputRecord, TestRecord, Testbed};
use millrace_net::client::partitioner::partition_of_key;

const PARTITIONS: u32 = 4;

/// The job behind these flights, at rest.
fn run(flights: &Flights, shards: usize, bound_min: u32) -> Testbed {
    let mut testbed =
        Testbed::new(delays).shards(shards).seed(shards as u64).budget(1_000).set(BOUND, bound_min);
    testbed.topic(FLIGHTS_TOPIC, PARTITIONS);
    testbed.topic(DELAYS_TOPIC, 2);
    testbed.topic(LATE_TOPIC, 1);
    let mut partitions = vec![Vec::new(); PARTITIONS as usize];
    for line in flights.lines() {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        write_key(flights.text(line), &mut key);
        write_value(flights.text(line), line.scheduled_min, 0, &mut value);
        let partition = partition_of_key(&key, PARTITIONS);
        partitions[partition as usize].push(TestRecord::new(0, value).with_key(key));
    }
    for (partition, records) in (0..).zip(&partitions) {
        testbed.produce(FLIGHTS_TOPIC, partition, records);
    }
    testbed.start_bounded();
    testbed.run_to_end();
    assert_eq!(testbed.failures(), []);
    testbed
}

fn rows(output: &[OutputRecord]) -> Vec<(String, String)> {
    let mut rows: Vec<_> =
        output.iter().map(|row| (row.key_text().to_owned(), row.value_text().to_owned())).collect();
    rows.sort();
    rows
}

/// The job's own count of what an operator took and did not hand on.
fn skipped(testbed: &Testbed, operator: &str) -> u64 {
    let metrics = testbed.metrics();
    let tasks = metrics.iter().flat_map(|job| &job.tasks).flat_map(|task| &task.operators);
    tasks.filter(|counts| counts.name == operator).map(|counts| counts.records_in - counts.records_out).sum()
}

#[test]
fn the_bound_is_the_longest_disorder() {
    assert_eq!(i64::from(Flights::load().unwrap().disorder_min()), i64::from(BOUND_MIN));
}

#[test]
fn every_row_is_exact_and_nothing_is_late() {
    for (shards, share) in [(1, QUARTER), (2, FLIGHTS), (4, QUARTER)] {
        let mut flights = Flights::load().unwrap();
        flights.keep(0..share);
        let expected = oracle(&flights);
        let testbed = run(&flights, shards, BOUND_MIN);
        assert_rows(&rows(&testbed.output(DELAYS_TOPIC)), &expected.rows());
        assert_eq!(testbed.output(LATE_TOPIC), []);
        assert_eq!(skipped(&testbed, "departed"), expected.cancelled as u64);
        assert_eq!(skipped(&testbed, FLIGHTS_TOPIC), 0, "every line is understood");
    }
}

#[test]
fn with_a_shorter_bound_on_time_and_late_are_all() {
    for shards in [1, 2, 4] {
        let mut flights = Flights::load().unwrap();
        flights.keep(0..QUARTER);
        let mut expected = oracle(&flights);
        let testbed = run(&flights, shards, 180);
        let late = testbed.output(LATE_TOPIC);
        assert!(late.len() > 10, "the data has flights that leave hours behind their schedule");
        for flight in &late {
            expected.remove(flight.value_text());
        }
        assert_rows(&rows(&testbed.output(DELAYS_TOPIC)), &expected.rows());
    }
}
