//! A job's chain against a loop written by hand, and keyed counts. Criterion reports time per pass over all batches, and
//! "elements per second" are records. Bids like Nexmark's: 104 B of archived value and more, batches of 64 KiB.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_engine::{
    data::{Encode, Scratch, write},
    epoch::{Attempt, Epoch, JobId, SourceId},
    key::Placement,
    prelude::*,
    registry::build,
    source::{SourceBatch, SourceData, SplitSpec},
    worker::{Budget, Deployment, Inbound, Now, Outbound, Worker},
};
use millrace_record::{ArchivedBatchBuilder, BatchMeta, Headers, SharedBatch, TopicId};
use millrace_runtime::{Instant, ShardId};
use std::{cell::Cell, collections::BTreeMap, hint::black_box, rc::Rc, time::Duration};

const JOB: JobId = JobId(1);
const ATTEMPT: Attempt = Attempt(0);
const TOPIC: TopicId = TopicId::METADATA;
const BATCH_BYTES: usize = 64 << 10;
const ROOM: usize = 1 << 20;
const STEP_RECORDS: u32 = 8192;
/// Records of an epoch: about 10 ms of work.
const EPOCH_RECORDS: usize = 100_000;

#[derive(Data)]
struct Bid {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: String,
    url: String,
    date_time: i64,
}

type ArchivedValue = <Bid as Encode>::Archived;

/// Batches of bids whose auctions are spread over `keys`.
fn batches(records: usize, keys: u64) -> Vec<SharedBatch> {
    let mut builder = ArchivedBatchBuilder::new(ROOM);
    let (mut batches, mut scratch, mut value) = (Vec::new(), Scratch::new(), Vec::new());
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for index in 0..records {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bid = Bid {
            auction: (state >> 20) % keys,
            bidder: state >> 40,
            price: (state >> 33) % 1_000,
            channel: if state >> 63 == 0 { "Google" } else { "a channel" }.to_owned(),
            url: "https://www.nexmark.com/item.htm".to_owned(),
            date_time: index as i64 / 1_000,
        };
        value.clear();
        write(&bid, &mut value, &mut scratch).expect("a bid is short");
        builder.push(bid.date_time, None, Some(&value), Headers::EMPTY).expect("there is room");
        if builder.kafka_len() > BATCH_BYTES || index + 1 == records {
            let mut image = Vec::new();
            builder.finish(&BatchMeta::PLAIN, &mut image).expect("there are records");
            batches.push(SharedBatch::from_image(&image.into()).expect("a built batch"));
        }
    }
    batches
}

fn now() -> Now {
    Now { monotonic: Instant::from_nanos(0), unix_ms: 0 }
}

/// A job on one shard, fed from memory.
struct Fed {
    worker: Worker,
    offset: i64,
    epoch: Epoch,
    since_epoch: usize,
}

impl Fed {
    fn new(job: impl Fn(&mut JobBuilder)) -> Self {
        let plan = build("bench", 1, &Parameters::new(), job).expect("a job");
        let mut worker = Worker::new(ShardId(0), now(), || Instant::from_nanos(0));
        let placement = Placement::new(plan.key_groups(), [ShardId(0)]).expect("one shard");
        let split = SplitSpec { source: SourceId(0), topic: TOPIC, partition: 0, start: 0, until: None };
        let deployment = Deployment {
            job: JOB,
            attempt: ATTEMPT,
            placement,
            splits: vec![split],
            topics: BTreeMap::new(),
            is_restored: false,
            is_bounded: false,
        };
        worker.start(plan, deployment).expect("it starts");
        Self { worker, offset: 0, epoch: Epoch(0), since_epoch: 0 }
    }

    fn run(&mut self) {
        while self.worker.step(Budget { records: STEP_RECORDS }, now()).more {}
        for message in self.worker.drain_outbox() {
            assert!(!matches!(message, Outbound::Failed(_)), "{message:?}");
        }
    }

    /// Takes all batches, with a barrier now and then.
    fn pass(&mut self, batches: &[SharedBatch], is_checked: bool) {
        for batch in batches {
            let mut header = *batch.header();
            header.base_offset = self.offset;
            self.offset += i64::from(header.last_offset_delta) + 1;
            let moved =
                SourceBatch::new(SharedBatch::new(header, batch.payload().clone()).expect("the same"));
            // SAFETY: the values were written by `write` for the type that the job reads.
            let moved = if is_checked { unsafe { moved.assume_checked() } } else { moved };
            self.worker.deliver(Inbound::Source(SourceData {
                job: JOB,
                attempt: ATTEMPT,
                source: SourceId(0),
                topic: TOPIC,
                partition: 0,
                batches: vec![moved],
                leader_epoch: 0,
                next: self.offset,
                high_watermark: self.offset,
            }));
            self.run();
            self.since_epoch += header.record_count as usize;
            if self.since_epoch >= EPOCH_RECORDS {
                self.since_epoch = 0;
                self.epoch = self.epoch.next();
                self.worker.deliver(Inbound::Barrier { job: JOB, attempt: ATTEMPT, epoch: self.epoch });
                self.run();
                self.worker.deliver(Inbound::Committed { job: JOB, epoch: self.epoch });
            }
        }
    }
}

/// Nexmark's q2, about: a filter, a projection, and something that looks at the results.
fn chain(c: &mut Criterion) {
    let batches = batches(100_000, 10_000);
    let mut group = c.benchmark_group("chain");
    group.throughput(Throughput::Elements(100_000));
    group.bench_function("by hand", |b| {
        b.iter(|| {
            let (mut sum, mut scratch) = (0, millrace_record::Scratch::new(ROOM));
            for batch in &batches {
                for record in batch.as_batch().records(&mut scratch).expect("a batch") {
                    let value = record.expect("a record").value.expect("a value");
                    // SAFETY: the values were written by `write` for this type.
                    let bid = unsafe { millrace_engine::rkyv::access_unchecked::<ArchivedValue>(value) };
                    if bid.price > 100 && bid.channel == "Google" {
                        let (auction, price) = (bid.auction.to_native(), bid.price.to_native() * 908 / 1000);
                        sum += auction ^ price;
                    }
                }
            }
            black_box(sum)
        });
    });
    for (name, is_checked) in [("chain", true), ("chain, values checked", false)] {
        let sum = Rc::new(Cell::new(0));
        let of_sink = Rc::clone(&sum);
        let mut fed = Fed::new(move |job| {
            let sum = Rc::clone(&of_sink);
            job.source("bids")
                .archived::<Bid>()
                .filter(|bid| bid.price > 100 && bid.channel == "Google")
                .map(|bid| (bid.auction.to_native(), bid.price.to_native() * 908 / 1000))
                .sink(move |_, (auction, price)| sum.set(sum.get() + (auction ^ price)));
        });
        group.bench_function(name, |b| {
            b.iter(|| {
                sum.set(0);
                fed.pass(&batches, is_checked);
                black_box(sum.get())
            });
        });
    }
    group.finish();
}

/// A count by key in a window that does not fire, through the exchange to the own shard.
fn keyed_count(c: &mut Criterion) {
    let mut group = c.benchmark_group("keyed tumbling count");
    group.sample_size(10);
    for (records, keys) in [(200_000, 10_000), (2_000_000, 1_000_000)] {
        let batches = batches(records, keys);
        let mut fed = Fed::new(|job| {
            job.source("bids")
                .archived::<Bid>()
                .map(|bid| bid.auction.to_native())
                .record_time(Watermarks::ascending())
                .key_by(|auction| *auction)
                .window(Tumbling::of(Duration::from_secs(3_600)))
                .aggregate(Count)
                .sink(|_, _| ());
        });
        fed.pass(&batches, true);
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(format!("{keys} keys"), |b| b.iter(|| fed.pass(&batches, true)));
    }
    group.finish();
}

criterion_group!(benches, chain, keyed_count);
criterion_main!(benches);
