//! Two topics into one stage: barriers are aligned, watermarks combined.

use crate::{
    exchange::ExchangeOptions,
    prelude::*,
    testing::{TestRecord, Testbed, random::Random},
};
use std::{collections::BTreeMap, time::Duration};

fn number(bytes: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(bytes?).ok()?.parse().ok()
}

/// Sums by last digit and second, over two topics.
fn sums(job: &mut JobBuilder) {
    let watermarks = || Watermarks::bounded(Duration::from_millis(500));
    let left = job.source("left").parse(|record| number(record.value)).record_time(watermarks());
    let right = job.source("right").parse(|record| number(record.value)).record_time(watermarks());
    left.filter(|n| *n % 7 != 0)
        .union(right.map(|n| n * 1000))
        .key_by(|n| n.to_native() % 10)
        .window(Tumbling::of(Duration::from_secs(1)))
        .aggregate_with(|of| (of.count(), of.sum(|n| *n), of.min(|n| *n), of.max(|n| *n)))
        .to_topic("sums", |window, record| {
            record.key().extend_from_slice(format!("{} {}", window.key, window.start).as_bytes());
            record.value().extend_from_slice(format!("{:?}", window.value).as_bytes());
        });
}

fn oracle(left: &[(i64, u64)], right: &[(i64, u64)]) -> Vec<(String, String)> {
    let kept = left.iter().filter(|(_, n)| n % 7 != 0).copied();
    let all = kept.chain(right.iter().map(|(at, n)| (*at, n * 1000)));
    let mut windows: BTreeMap<(u64, i64), (u64, u64, u64, u64)> = BTreeMap::new();
    for (at, n) in all {
        let window = windows.entry((n % 10, at / 1000 * 1000)).or_insert((0, 0, u64::MAX, 0));
        *window = (window.0 + 1, window.1 + n, window.2.min(n), window.3.max(n));
    }
    let mut rows: Vec<_> = windows
        .into_iter()
        .map(|((key, start), value)| (format!("{key} {start}"), format!("{value:?}")))
        .collect();
    rows.sort();
    rows
}

#[test]
fn a_union_is_exact_through_failures() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let mut numbers = |count: usize| -> Vec<(i64, u64)> {
            (0..count)
                .map(|i| (i as i64 * 20 + random.below(400) as i64, random.below(1000) as u64))
                .collect()
        };
        let (left, right) = (numbers(300), numbers(120));
        let tight = ExchangeOptions { frame_bytes: 100, credits: 1, ..ExchangeOptions::default() };
        let mut testbed =
            Testbed::new(sums).shards(1 + random.below(3)).seed(seed).budget(20).exchange(tight);
        for (topic, numbers) in [("left", &left), ("right", &right)] {
            testbed.topic(topic, 1);
            let records: Vec<_> = numbers.iter().map(|(at, n)| TestRecord::new(*at, n.to_string())).collect();
            testbed.produce(topic, 0, &records);
        }
        testbed.topic("sums", 2);
        testbed.start_bounded();
        for _ in 0..6 {
            for _ in 0..random.below(300) {
                testbed.turn();
            }
            testbed.begin_epoch();
            for _ in 0..random.below(300) {
                testbed.turn();
            }
            match random.below(3) {
                0 => testbed.kill(),
                1 => testbed.abort(),
                _ => testbed.kill_and_rescale(1 + random.below(3)),
            }
        }
        testbed.run_to_end();
        assert_eq!(testbed.failures(), [], "seed {seed}");
        let output = testbed.output("sums");
        let mut rows: Vec<_> =
            output.iter().map(|row| (row.key_text().to_owned(), row.value_text().to_owned())).collect();
        rows.sort();
        assert_eq!(rows, oracle(&left, &right), "seed {seed}");
        assert!(testbed.longest_ring() <= 64, "credits bound what is on a ring: {}", testbed.longest_ring());
    }
}

/// Nothing of an epoch is visible before all of it is.
#[test]
fn uncommitted_output_is_invisible() {
    let mut testbed = Testbed::new(|job| {
        job.source("in").parse(|record| record.value.map(<[u8]>::to_vec)).to_topic("out", |bytes, record| {
            record.value().extend_from_slice(bytes);
        });
    })
    .shards(2)
    .seed(3);
    testbed.topic("in", 2);
    testbed.topic("out", 2);
    for partition in 0..2 {
        testbed.produce("in", partition, &vec![TestRecord::new(0, "x"); 100]);
    }
    testbed.start();
    testbed.run();
    assert_eq!(testbed.output("out"), []);
    testbed.begin_epoch();
    testbed.run();
    assert_eq!(testbed.output("out").len(), 200);
    testbed.kill();
    testbed.run_and_commit();
    assert_eq!(testbed.output("out").len(), 200, "nothing comes twice");
}
