//! What a produced batch costs the real server in memory: allocations, under an allocator that counts, and copies of its records,
//! under a `memcpy` that counts. Nothing is done per record; a batch is copied once into its partition's tail, a small one once
//! more into the journal's frame, and the request around it, if that is small, once out of the buffers that the kernel
//! receives into. Nothing is copied between shards.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]
#![expect(clippy::disallowed_macros, reason = "what a shard allocates and copies is counted on its thread")]

mod copies;
mod counting;
mod producer;

use counting::Counts;
use millrace::{
    config::{Auto, Config, Pin},
    embed::Server,
};
use millrace_engine::registry::Registry;
use producer::{Batch, TOPIC};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Batches sent, one after the other, before any is counted: buffers are warm then, and a tail's chunks as long as they get.
const WARM_UP: u32 = 100;
const BATCHES: u32 = 200;

/// Batches of which copies are counted, and connections that are made until one has arrived on either shard.
const BATCHES_COPIED: u32 = 50;
const CONNECTIONS_MAX: u32 = 60;

/// What a shard spends on a batch, on average, when they come one at a time.
#[derive(Clone, Copy, Debug)]
struct PerBatch {
    allocations: f64,
    bytes: f64,
    /// How often the batch's records are copied.
    copies: f64,
}

struct House {
    server: Server,
    _data: tempfile::TempDir,
}

impl House {
    async fn start(shards: u16) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.server.admin_listen = "127.0.0.1:0".parse().unwrap();
        config.server.data_dirs = vec![data.path().join("data")];
        config.server.shards = Auto::Given(shards);
        config.runtime.pin = Pin::Never;
        config.runtime.spin_us = 0;
        let server = Server::start(config, Registry::new()).await.unwrap();
        Self { server, _data: data }
    }

    /// Sends a batch so often, over one connection.
    async fn send(&self, batch: &Batch, times: u32) {
        let (address, batch) = (self.server.address(), batch.clone());
        tokio::task::spawn_blocking(move || producer::send(address, batch, times)).await.unwrap();
    }

    /// The counters are a thread's own, and the closure runs on the shard's thread.
    async fn counts(&self) -> Vec<(Counts, u64)> {
        let counts = |_| (counting::of_this_thread(), copies::marked_bytes_of_this_thread());
        self.server.shards().on_all(counts).await.unwrap()
    }

    /// Sends a batch so often, and tells what each cost, on each shard.
    async fn cost(&self, batch: &Batch, times: u32) -> Vec<PerBatch> {
        let before = self.counts().await;
        self.send(batch, times).await;
        let after = self.counts().await;
        let times = f64::from(times);
        let cost = after.into_iter().zip(before).map(|((after, marked), (before, marked_before))| {
            let Counts { calls, bytes } = after - before;
            PerBatch {
                allocations: calls as f64 / times,
                bytes: bytes as f64 / times,
                copies: (marked - marked_before) as f64 / times / batch.marked_len() as f64,
            }
        });
        cost.collect()
    }

    /// The shard that owns the partition that batches go to.
    async fn owner(&self) -> usize {
        let owner = |shard: millrace::shard::Context| {
            let topic = shard.image().topic(TOPIC).unwrap().id;
            shard.owner(topic, 0).index()
        };
        self.server.shards().on(0, owner).await.unwrap()
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// Whether records are copied so often, but for what a tail's new chunk takes over of the block that its first batch begins in.
fn is_about(copies: f64, times: f64) -> bool {
    (times - 0.03..times + 0.05).contains(&copies)
}

#[test]
fn no_allocation_depends_on_the_number_of_records_and_the_tail_is_the_only_copy() {
    const LEN: usize = 16 << 10;
    const LONG: usize = 60 << 10;
    let batches = [Batch::of(1, LEN), Batch::of(1000, LEN), Batch::of(1, LONG)];
    let [one, thousand, long] = run(async {
        let house = House::start(1).await;
        let mut costs = Vec::new();
        for batch in &batches {
            house.send(batch, WARM_UP).await;
            costs.extend(house.cost(batch, BATCHES).await);
        }
        house.server.stop().await.unwrap();
        <[PerBatch; 3]>::try_from(costs).unwrap()
    });
    println!("one record: {one:?}, a thousand: {thousand:?}, a long one: {long:?}");
    // The shard does other things meanwhile (it sleeps, it writes segments), about as often in both cases.
    assert!((one.allocations - thousand.allocations).abs() < 20.0, "{one:?} and {thousand:?}");
    assert!(thousand.allocations < 100.0, "{thousand:?}");
    // Fresh memory holds the tail, once, and what of the request was not received into buffers that are used again: of short
    // ones all, of long ones less. A second copy of the records would be one time more.
    for (cost, len, times_max) in [(one, LEN, 2.75), (thousand, LEN, 2.75), (long, LONG, 2.0)] {
        assert!(cost.bytes < times_max * len as f64, "{cost:?} for batches of {len} bytes");
        assert!(cost.bytes > len as f64, "{cost:?}: what the tail takes is counted");
    }
    // Out of the receive buffers, into the tail, into the journal's frame.
    assert!(is_about(one.copies, 3.0) && is_about(long.copies, 3.0), "{one:?}, {long:?}");
}

#[test]
fn large_requests_are_not_copied_out_of_the_buffers_as_a_whole() {
    let cost = run(async {
        let house = House::start(1).await;
        let batch = Batch::of(1, 900 << 10);
        house.send(&batch, 5).await;
        let cost = house.cost(&batch, 30).await[0];
        house.server.stop().await.unwrap();
        cost
    });
    println!("{cost:?}");
    // Into the tail, from where it goes to the segment; and what the kernel has filled of receive buffers before the request's
    // length is known: about 32 of 16 KiB.
    assert!((0.98..1.8).contains(&cost.copies), "{cost:?}");
}

#[test]
fn records_go_to_the_shard_that_owns_their_partition_without_a_copy() {
    let batch = Batch::of(1, 32 << 10);
    let costs = run(async {
        let house = House::start(2).await;
        house.send(&batch, WARM_UP).await;
        let owner = house.owner().await;
        // Where a connection arrives is the kernel's choice.
        let (mut at_home, mut elsewhere) = (None, None);
        for _ in 0..CONNECTIONS_MAX {
            let costs = house.cost(&batch, BATCHES_COPIED).await;
            let (own, other) = (costs[owner], costs[1 - owner]);
            if other.copies == 0.0 {
                at_home = Some(own);
            } else {
                elsewhere = Some((own, other));
            }
            if at_home.is_some() && elsewhere.is_some() {
                break;
            }
        }
        house.server.stop().await.unwrap();
        at_home.zip(elsewhere)
    });
    let (at_home, (own, other)) = costs.expect("connections arrive on both shards");
    println!("at home: {at_home:?}, from elsewhere: {own:?} there, {other:?} where it was received");
    assert!(is_about(at_home.copies, 3.0), "{at_home:?}");
    assert!(is_about(other.copies, 1.0), "out of the receive buffers: {other:?}");
    assert!(is_about(own.copies, 2.0), "into the tail and the journal's frame: {own:?}");
}
