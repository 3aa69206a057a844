//! What a produced batch costs the real server in memory, under an allocator that counts: nothing per record, and no copy
//! beside the one in the tail.
//!
//! Everything that a copy could be written to is either allocated for it, which is counted here, or used again and again: the
//! buffers that the kernel receives into, and the journal's frame.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]
#![expect(clippy::disallowed_macros, reason = "what a shard allocates is counted on its thread")]

mod counting;
mod producer;

use counting::Counts;
use millrace::{
    config::{Auto, Config, Pin},
    embed::Server,
};
use millrace_engine::registry::Registry;
use producer::Batch;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Batches sent, one after the other, before any is counted: buffers are warm then, and a tail's chunks as long as they get.
const WARM_UP: u32 = 100;
const BATCHES: u32 = 200;

/// What the shard allocates for a batch, on average, when they come one at a time.
#[derive(Clone, Copy, Debug)]
struct PerBatch {
    allocations: f64,
    bytes: f64,
}

/// Sends all batches over and over, each time as often, and tells what each cost.
fn per_batch(batches: Vec<Batch>) -> Vec<PerBatch> {
    let data = tempfile::tempdir().unwrap();
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    control.block_on(async {
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.server.admin_listen = "127.0.0.1:0".parse().unwrap();
        config.server.data_dirs = vec![data.path().join("data")];
        config.server.shards = Auto::Given(1);
        config.runtime.pin = Pin::Never;
        config.runtime.spin_us = 0;
        let server = Server::start(config, Registry::new()).await.unwrap();
        let address = server.address();
        // The counters are the thread's own, and these closures run on the shard's thread.
        let counts = || server.shards().on(0, |_| counting::of_this_thread());
        let mut costs = Vec::new();
        for batch in batches {
            let send = |times| {
                let batch = batch.clone();
                tokio::task::spawn_blocking(move || producer::send(address, batch, times))
            };
            send(WARM_UP).await.unwrap();
            let before = counts().await.unwrap();
            send(BATCHES).await.unwrap();
            let Counts { calls, bytes } = counts().await.unwrap() - before;
            let each = f64::from(BATCHES);
            costs.push(PerBatch { allocations: calls as f64 / each, bytes: bytes as f64 / each });
        }
        server.stop().await.unwrap();
        costs
    })
}

#[test]
fn no_allocation_depends_on_the_number_of_records_and_the_tail_is_the_only_copy() {
    const LEN: usize = 16 << 10;
    const LONG: usize = 60 << 10;
    let costs = per_batch(vec![Batch::of(1, LEN), Batch::of(1000, LEN), Batch::of(1, LONG)]);
    let [one, thousand, long] = costs[..] else { panic!("one for each: {costs:?}") };
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
}
