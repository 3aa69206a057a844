//! The same store on the real machine: io_uring, direct I/O, threads.

use crate::{
    batches::Shape,
    drive::{Setup, data},
    model::{Known, read_all},
};
use millrace_runtime::{LaunchOptions, Pinning, Shard, launch, sleep};
use millrace_storage::{DataDirs, Opened, ShardPart, Store, recover};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What shards hand to each other during a start.
#[derive(Default)]
struct Exchange {
    parts: Vec<ShardPart>,
    opened: Vec<Opened>,
    done: usize,
}

const PARTITIONS: i32 = 8;

async fn until<T>(exchange: &Mutex<Exchange>, mut look: impl FnMut(&mut Exchange) -> Option<T>) -> T {
    loop {
        if let Some(found) = look(&mut exchange.lock().unwrap()) {
            return found;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// One shard's life: the first one recovers for all.
async fn live(shard: Shard, setup: Setup, exchange: Arc<Mutex<Exchange>>, round: u64) -> usize {
    let count = usize::from(shard.count);
    let mut start = None;
    if shard.id.index() == 0 {
        let (dirs, locks) = DataDirs::open(&setup.dirs, None).await.unwrap();
        let recovered = recover(&dirs).await.unwrap();
        assert!(recovered.is_clean());
        let (parts, old) = recovered.split(count, |_, partition| partition as usize % count);
        exchange.lock().unwrap().parts = parts;
        start = Some((old, locks));
    }
    let is_mine = |part: &ShardPart| format!("{part:?}").contains(&format!("nth: {}", shard.id));
    let part = until(&exchange, |exchange| {
        let at = exchange.parts.iter().position(is_mine)?;
        Some(exchange.parts.remove(at))
    })
    .await;
    let (store, opened) = Store::open(setup.options.clone(), part, |_| setup.log).await.unwrap();
    exchange.lock().unwrap().opened.push(opened);
    let proofs =
        until(&exchange, |exchange| (exchange.opened.len() == count).then(|| exchange.opened.clone())).await;
    let mut locks = None;
    if let Some((old, held)) = start {
        old.remove(&proofs).await.unwrap();
        locks = Some(held);
    }
    let mut read = 0;
    for partition in (0..PARTITIONS).filter(|partition| *partition as usize % count == shard.id.index()) {
        read += work(&store, &setup, partition, round).await;
    }
    store.close().await.unwrap();
    exchange.lock().unwrap().done += 1;
    // The locks are held until all have closed.
    until(&exchange, |exchange| (exchange.done == count).then_some(())).await;
    drop(locks);
    read
}

/// Reads what earlier rounds have written, and writes more.
async fn work(store: &Store, setup: &Setup, partition: i32, round: u64) -> usize {
    let log = match store.log(data(partition)) {
        Some(log) => log,
        None => store.create(data(partition), setup.log).await.unwrap(),
    };
    let shape = |id| Shape::plain(id, [100, 3000, 20_000][id as usize % 3]).build();
    let expected: Vec<_> = (0..round * 30).map(|id| Known::of(&shape(id).header, id as i64)).collect();
    assert_eq!(read_all(&log, 40_000).await, expected);
    let mut waiting = Vec::new();
    for id in round * 30..(round + 1) * 30 {
        waiting.push(log.append(&shape(id).as_batch(), None).await.unwrap().durable);
    }
    for durable in waiting {
        durable.await.unwrap();
    }
    assert_eq!(read_all(&log, 40_000).await.len() as u64, (round + 1) * 30);
    expected.len()
}

#[test]
fn shards_come_and_go_on_a_real_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup { dirs: vec![PathBuf::from(folder.path()).join("data")], ..Setup::small() };
    for (round, shards) in [1, 2, 4, 1].into_iter().enumerate() {
        let options = LaunchOptions { shards, pinning: Pinning::Never, ..LaunchOptions::default() };
        let (setup, exchange) = (setup.clone(), Arc::<Mutex<Exchange>>::default());
        let main = move |shard| live(shard, setup.clone(), Arc::clone(&exchange), round as u64);
        let read: usize = launch(&options, main).unwrap().join().unwrap().into_iter().sum();
        assert_eq!(read, round * 30 * PARTITIONS as usize);
    }
}
