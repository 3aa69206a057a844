//! A window of many keys fires in many calls.

use crate::{
    exchange::ExchangeOptions,
    prelude::*,
    testing::{TestRecord, Testbed},
};
use std::time::Duration;

const KEYS: u32 = 10_000;

/// Counts by key, and the counts once more by another key: the flush of the first window goes through an exchange.
fn counts(job: &mut JobBuilder) {
    job.source("in")
        .parse(|record| std::str::from_utf8(record.value?).ok()?.parse::<u32>().ok())
        .record_time(Watermarks::ascending())
        .key_by(|n| *n)
        .window(Tumbling::of(Duration::from_secs(1)))
        .aggregate(Count)
        .named("by number")
        .key_by(|window| window.key % 10)
        .window(Tumbling::of(Duration::from_secs(1)))
        .aggregate_with(|of| (of.count(), of.sum(|window| window.value)))
        .named("by digit")
        .to_topic("out", |window, record| {
            record.value().extend_from_slice(format!("{} {:?}", window.key, window.value).as_bytes());
        });
}

#[test]
fn a_flush_of_many_keys_stops_where_it_must() {
    for (seed, shards) in [(1, 1), (2, 2), (3, 3)] {
        // A spill of a few frames: whoever pushes on without asking fails the job.
        let exchange = ExchangeOptions { frame_bytes: 512, credits: 1, spill_bytes: 4 * 512 };
        let mut testbed = Testbed::new(counts).shards(shards).seed(seed).budget(500).exchange(exchange);
        testbed.topic("in", 1);
        testbed.topic("out", 1);
        let mut records: Vec<_> = (0..KEYS).map(|n| TestRecord::new(500, n.to_string())).collect();
        records.extend((0..KEYS / 2).map(|n| TestRecord::new(700, n.to_string())));
        testbed.produce("in", 0, &records);
        testbed.start_bounded();
        testbed.run_to_end();
        assert_eq!(testbed.failures(), [], "seed {seed}");
        let output = testbed.output("out");
        let mut rows: Vec<_> = output.iter().map(|row| row.value_text().to_owned()).collect();
        rows.sort();
        let expected: Vec<_> = (0..10).map(|digit| format!("{digit} (1000, 1500)")).collect();
        assert_eq!(rows, expected, "seed {seed}");
        assert!(testbed.longest_ring() < 20, "credits bound a ring: {}", testbed.longest_ring());
    }
}

/// In the middle of a flush no barrier passes, and a kill finds the window whole or gone.
#[test]
fn a_kill_in_the_middle_of_a_flush_loses_nothing() {
    for seed in 0..4 {
        let exchange = ExchangeOptions { frame_bytes: 512, credits: 1, spill_bytes: 4 * 512 };
        let mut testbed = Testbed::new(counts).shards(2).seed(seed).budget(300).exchange(exchange);
        testbed.topic("in", 1);
        testbed.topic("out", 1);
        let records: Vec<_> = (0..3000).map(|n| TestRecord::new(500, n.to_string())).collect();
        testbed.produce("in", 0, &records);
        testbed.start_bounded();
        for turns in [300, 700, 1100] {
            for _ in 0..turns {
                testbed.turn();
            }
            testbed.begin_epoch();
            for _ in 0..turns {
                testbed.turn();
            }
            if turns == 700 { testbed.abort() } else { testbed.kill() }
        }
        testbed.run_to_end();
        let output = testbed.output("out");
        let mut rows: Vec<_> = output.iter().map(|row| row.value_text().to_owned()).collect();
        rows.sort();
        let expected: Vec<_> = (0..10).map(|digit| format!("{digit} (300, 300)")).collect();
        assert_eq!(rows, expected, "seed {seed}");
    }
}

/// What one record's results need beyond the spill budget fails the job, and names the operator.
#[test]
fn a_record_that_produces_without_end_fails_the_job() {
    let mut testbed = Testbed::new(|job| {
        job.source("in")
            .parse(|record| record.value.map(|v| v.len() as u64))
            .flat_map(|n| (0..*n * 1_000_000).collect::<Vec<_>>())
            .named("explode")
            .key_by(|n| *n)
            .into_dynamic()
            .typed::<u64>()
            .sink(|_, _| ());
    })
    .exchange(ExchangeOptions { frame_bytes: 1024, credits: 2, spill_bytes: 100_000 });
    testbed.topic("in", 1);
    testbed.produce("in", 0, &[TestRecord::new(0, "x")]);
    testbed.start();
    testbed.run();
    let failure = testbed.failures()[0].to_string();
    assert!(failure.contains("spill budget of 100000 bytes") && failure.contains("offset 0"), "{failure}");
}
