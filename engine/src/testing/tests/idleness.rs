//! Partitions without records.

use crate::{
    exchange::ExchangeOptions,
    prelude::*,
    testing::{TestRecord, Testbed},
    worker::HELD_RECORDS_MAX,
};
use std::time::Duration;

fn counts(job: &mut JobBuilder) {
    let idle_s = job.parameter("idle_s", 0u64);
    let watermarks = Watermarks::bounded(Duration::from_millis(100));
    let watermarks = if idle_s > 0 { watermarks.idle_after(Duration::from_secs(idle_s)) } else { watermarks };
    job.source("in")
        .parse(|record| record.value.map(<[u8]>::to_vec))
        .record_time(watermarks)
        .key_by(Clone::clone)
        .window(Tumbling::of(Duration::from_secs(1)))
        .aggregate(Count)
        .to_topic("out", |window, record| {
            record.value().extend_from_slice(format!("{} {}", window.start, window.value).as_bytes());
        });
}

fn testbed(shards: usize, idle_s: u64) -> Testbed {
    let mut testbed = Testbed::new(counts).shards(shards).seed(4).set("idle_s", idle_s);
    testbed.topic("in", 2);
    testbed.topic("out", 1);
    testbed
}

fn rows(testbed: &Testbed) -> Vec<String> {
    testbed.output("out").iter().map(|row| row.value_text().to_owned()).collect()
}

#[test]
fn a_partition_without_records_holds_windows_back_until_it_is_idle() {
    for shards in [1, 2] {
        let mut testbed = testbed(shards, 60);
        testbed.produce("in", 0, &[TestRecord::new(100, "a"), TestRecord::new(1_500, "a")]);
        testbed.start();
        testbed.run_and_commit();
        assert!(rows(&testbed).is_empty(), "partition 1 may still have earlier records");
        testbed.advance_ms(59_000);
        testbed.run_and_commit();
        assert!(rows(&testbed).is_empty());
        // A record in time: partition 0 is not idle, partition 1 becomes so.
        testbed.produce("in", 0, &[TestRecord::new(1_600, "a")]);
        testbed.run();
        testbed.advance_ms(2_000);
        testbed.run_and_commit();
        assert_eq!(rows(&testbed), ["0 1"], "{shards} shards");
        // It is back, and waited for again; what comes behind the watermark is late.
        testbed.produce("in", 1, &[TestRecord::new(900, "a"), TestRecord::new(1_700, "a")]);
        testbed.run();
        testbed.produce("in", 0, &[TestRecord::new(9_000, "a")]);
        testbed.run_and_commit();
        assert_eq!(rows(&testbed), ["0 1"]);
        testbed.produce("in", 1, &[TestRecord::new(9_000, "a")]);
        testbed.run_and_commit();
        assert_eq!(rows(&testbed), ["0 1", "1000 3"], "{shards} shards");
    }
}

#[test]
fn without_a_limit_nothing_becomes_idle() {
    let mut testbed = testbed(2, 0);
    testbed.produce("in", 0, &[TestRecord::new(100, "a"), TestRecord::new(5_000, "a")]);
    testbed.start();
    for _ in 0..10 {
        testbed.advance_ms(10_000_000);
        testbed.run_and_commit();
    }
    assert!(rows(&testbed).is_empty());
}

#[test]
fn idleness_and_watermarks_survive_a_kill() {
    let mut testbed = testbed(2, 60);
    testbed.produce("in", 0, &[TestRecord::new(100, "a"), TestRecord::new(1_500, "a")]);
    testbed.start();
    testbed.run_and_commit();
    testbed.advance_ms(30_000);
    testbed.produce("in", 0, &[TestRecord::new(1_550, "a")]);
    testbed.run();
    testbed.advance_ms(31_000);
    testbed.run_and_commit();
    assert_eq!(rows(&testbed), ["0 1"]);
    testbed.kill();
    // Without a moment passing: partition 1 is still idle, event time is still at 1,449.
    testbed.produce("in", 0, &[TestRecord::new(900, "late"), TestRecord::new(3_000, "a")]);
    testbed.run_and_commit();
    assert_eq!(rows(&testbed), ["0 1", "1000 2"], "the late record stays out of a second window at 0");
}

/// A job that is blocked leaves records unread, and must not take that for idleness.
#[test]
fn the_idleness_clock_stops_while_the_job_is_blocked() {
    let mut testbed = testbed(1, 60).exchange(ExchangeOptions {
        frame_bytes: 64,
        credits: 1,
        ..ExchangeOptions::default()
    });
    testbed.produce("in", 0, &[TestRecord::new(100, "a")]);
    testbed.produce("in", 1, &[TestRecord::new(100, "a")]);
    testbed.start();
    // Epochs that are never resolved hold the sources, once the open one is full.
    testbed.hold_commits();
    for _ in 0..crate::table::UNRESOLVED_MAX + 1 {
        testbed.begin_epoch();
        testbed.run();
    }
    testbed.produce("in", 0, &vec![TestRecord::new(100, "a"); HELD_RECORDS_MAX as usize]);
    testbed.run();
    testbed.produce("in", 0, &[TestRecord::new(5_000, "a")]);
    testbed.produce("in", 1, &[TestRecord::new(700, "a"), TestRecord::new(5_000, "a")]);
    testbed.advance_ms(1_000_000);
    testbed.run();
    testbed.release_commits();
    testbed.run_and_commit();
    let mut rows = rows(&testbed);
    rows.sort();
    assert_eq!(rows, [format!("0 {}", 3 + HELD_RECORDS_MAX)], "nothing was late");
}
