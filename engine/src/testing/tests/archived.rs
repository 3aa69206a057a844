//! Topics of archived values: written by one job, read in place by the next.

use crate::{
    failure::{Cause, RecordPlace},
    prelude::*,
    testing::{TestRecord, Testbed},
};
use std::time::Duration;

#[derive(Data, Clone, Debug, PartialEq)]
struct Bid {
    auction: u64,
    channel: String,
    prices: Vec<u32>,
}

fn bids(job: &mut JobBuilder) {
    let bids = job.source("text").parse(|record| {
        let text = std::str::from_utf8(record.value?).ok()?;
        let (auction, channel) = text.split_once(' ')?;
        let auction = auction.parse().ok()?;
        Some(Bid { auction, channel: channel.to_owned(), prices: vec![1, 2, auction as u32] })
    });
    bids.to_archived_topic("bids", SinkOptions::default(), |bid, record| {
        record.key().extend_from_slice(&bid.auction.to_be_bytes());
    });
    job.source("bids")
        .archived::<Bid>()
        .record_time(Watermarks::ascending())
        .filter(|bid| bid.prices.iter().any(|price| *price > 2))
        // Lands as itself behind the exchange, strings, vectors and all.
        .key_by(|bid| bid.auction.to_native() % 3)
        .window(Tumbling::of(Duration::from_secs(10)))
        .aggregate_with(|of| {
            (of.count(), of.sum(|bid| bid.prices[2]), of.max(|bid| bid.channel.len() as u64))
        })
        .to_topic("sums", |window, record| {
            record.value().extend_from_slice(format!("{} {:?}", window.key, window.value).as_bytes());
        });
}

fn testbed() -> Testbed {
    let mut testbed = Testbed::new(bids).shards(2).seed(5);
    testbed.topic("text", 1);
    testbed.topic("bids", 2);
    testbed.topic("sums", 1);
    testbed
}

#[test]
fn archived_values_are_read_in_place_and_land_as_themselves() {
    let mut testbed = testbed();
    let lines: Vec<_> =
        (0..300).map(|n| TestRecord::new(n, format!("{n} a channel with a long name {n}"))).collect();
    testbed.produce("text", 0, &lines);
    testbed.produce(
        "text",
        0,
        &[TestRecord::new(20_000, "3 x"), TestRecord::new(20_001, "4 x"), TestRecord::new(20_002, "5 x")],
    );
    testbed.start();
    for _ in 0..4 {
        testbed.run_and_commit();
    }
    // Sentinels in both partitions let the windows fire.
    testbed.produce(
        "text",
        0,
        &(0..40).map(|n| TestRecord::new(40_000 + n, format!("{n} x"))).collect::<Vec<_>>(),
    );
    for _ in 0..4 {
        testbed.run_and_commit();
    }
    let output = testbed.output("sums");
    let mut rows: Vec<_> = output
        .iter()
        .filter(|row| row.timestamp == 9_999)
        .map(super::super::log::OutputRecord::value_text)
        .collect();
    rows.sort_unstable();
    let expected: Vec<_> = (0..3u64)
        .map(|key| {
            let mine: Vec<u64> = (3..300).filter(|n| n % 3 == key).collect();
            format!("{key} {:?}", (mine.len() as u64, mine.iter().sum::<u64>(), 30))
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn bytes_that_are_no_value_fail_the_job_and_name_the_record() {
    let mut testbed = testbed();
    testbed.produce("bids", 1, &[TestRecord::new(0, "neither a bid nor anything else")]);
    testbed.start();
    testbed.run();
    let failure = &testbed.failures()[0];
    assert_eq!(failure.operator, "bids");
    assert!(matches!(failure.record, Some(RecordPlace::Source { partition: 1, offset: 0, .. })), "{failure}");
    assert!(matches!(failure.cause, Cause::InvalidValue { .. }), "{failure}");
}
