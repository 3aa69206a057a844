//! Nothing is allocated per record: once buffers are warm, a step over batches of many records takes as many allocations as
//! one over batches of few.

#![expect(clippy::disallowed_macros, reason = "allocations are counted on the test's thread")]

use millrace_engine::{
    data::{Scratch, write},
    epoch::{Attempt, Epoch, JobId, SourceId},
    key::Placement,
    prelude::*,
    registry::build,
    source::{SourceBatch, SourceData, SplitSpec},
    worker::{Budget, Deployment, Inbound, Now, Outbound, Worker},
};
use millrace_record::{ArchivedBatchBuilder, BatchMeta, Headers, SharedBatch, TopicId};
use millrace_runtime::{Instant, ShardId};
use std::{collections::BTreeMap, time::Duration};

#[path = "../../tests/allocations/counting.rs"]
mod counting;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const JOB: JobId = JobId(1);
const ATTEMPT: Attempt = Attempt(0);
const NOW: Now = Now { monotonic: Instant::from_nanos(0), unix_ms: 0 };

#[derive(Data)]
struct Reading {
    sensor: u64,
    place: String,
    values: Vec<f64>,
}

/// Filters, maps, exchanges, counts, averages, and writes late records to a side output.
fn job(job: &mut JobBuilder) {
    job.source("readings")
        .archived::<Reading>()
        .record_time(Watermarks::ascending())
        .filter(|reading| reading.values.len() > 1)
        .key_by(|reading| (reading.sensor.to_native(), reading.values.len() as u8))
        .window(Tumbling::of(Duration::from_secs(3_600)))
        .aggregate_with(|of| (of.count(), of.average(|reading| reading.values[0])))
        .to_topic("averages", |window, record| {
            record.key().extend_from_slice(&window.key.0.to_be_bytes());
            record.value().extend_from_slice(&window.value.1.to_be_bytes());
        });
}

fn batch(records: usize) -> SharedBatch {
    let mut builder = ArchivedBatchBuilder::new(1 << 24);
    let (mut scratch, mut value, mut image) = (Scratch::new(), Vec::new(), Vec::new());
    for index in 0..records {
        let reading = Reading {
            sensor: index as u64 % 50,
            place: format!("a place that is not inline {index}"),
            values: vec![1.5; 2 + index % 3],
        };
        value.clear();
        write(&reading, &mut value, &mut scratch).expect("a reading is short");
        builder.push(1_000, None, Some(&value), Headers::EMPTY).expect("there is room");
    }
    builder.finish(&BatchMeta::PLAIN, &mut image).expect("there are records");
    SharedBatch::from_image(&image.into()).expect("a built batch")
}

fn run(worker: &mut Worker) {
    while worker.step(Budget { records: 8192 }, NOW).more {}
    for message in worker.drain_outbox() {
        assert!(!matches!(message, Outbound::Failed(_)), "{message:?}");
    }
}

fn feed(worker: &mut Worker, batch: &SharedBatch, offset: &mut i64) {
    let mut header = *batch.header();
    header.base_offset = *offset;
    *offset += i64::from(header.record_count);
    let moved = SharedBatch::new(header, batch.payload().clone()).expect("the same payload");
    worker.deliver(Inbound::Source(SourceData {
        job: JOB,
        attempt: ATTEMPT,
        source: SourceId(0),
        topic: TopicId::METADATA,
        partition: 0,
        batches: vec![SourceBatch::new(moved)],
        leader_epoch: 0,
        next: *offset,
        high_watermark: *offset,
    }));
    run(worker);
}

fn main() {
    let plan = build("job", 1, &Parameters::new(), job).expect("a job");
    let placement = Placement::new(plan.key_groups(), [ShardId(0)]).expect("one shard");
    let split =
        SplitSpec { source: SourceId(0), topic: TopicId::METADATA, partition: 0, start: 0, until: None };
    let info =
        millrace_engine::sink::TopicInfo { id: TopicId::METADATA, partitions: 1, max_message_bytes: 1 << 20 };
    let deployment = Deployment {
        job: JOB,
        attempt: ATTEMPT,
        placement,
        splits: vec![split],
        topics: BTreeMap::from([("averages".to_owned(), info)]),
        is_restored: false,
        is_bounded: false,
    };
    let mut worker = Worker::new(ShardId(0), NOW, || Instant::from_nanos(0));
    worker.start(plan, deployment).expect("it starts");
    let (few, many) = (batch(1_000), batch(10_000));
    let mut offset = 0;
    // Two epochs make everything warm: state, buffers, the memory of deltas.
    for epoch in 1..=2 {
        feed(&mut worker, &many, &mut offset);
        worker.deliver(Inbound::Barrier { job: JOB, attempt: ATTEMPT, epoch: Epoch(epoch) });
        run(&mut worker);
        worker.deliver(Inbound::Committed { job: JOB, epoch: Epoch(epoch) });
    }
    feed(&mut worker, &many, &mut offset);
    let mut count = |batch| {
        let before = counting::of_this_thread().calls;
        feed(&mut worker, batch, &mut offset);
        counting::of_this_thread().calls - before
    };
    let (for_few, for_many) = (count(&few), count(&many));
    // A step gathers calls, frames and demands in vectors: some allocations for each slice of about a thousand records.
    assert!(for_many <= for_few + 60, "{for_few} allocations for 1,000 records, {for_many} for 10,000");
    println!("allocations: {for_few} for 1,000 records, {for_many} for 10,000");
}
