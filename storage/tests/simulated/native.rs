//! The same store on the real machine: io_uring, direct I/O, threads.

use crate::{
    batches::Shape,
    drive::{Life, Setup, data},
    model::{Known, read_all},
};
use millrace_runtime::{LaunchOptions, Pinning, Shard, launch, sleep};
use millrace_storage::{DataDirs, Opened, ShardPart, Store, recover};
use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
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

/// The kernel's flag of files that are read past the page cache.
const O_DIRECT: u32 =
    if cfg!(any(target_arch = "aarch64", target_arch = "arm")) { 0o200_000 } else { 0o40_000 };

/// The segments below a folder that this process has open, with the flags of their descriptors.
fn open_segments(folder: &Path) -> Vec<(PathBuf, u32)> {
    #[expect(clippy::disallowed_methods, reason = "this looks at the process from outside")]
    let all = fs::read_dir("/proc/self/fd").unwrap();
    let mut open = Vec::new();
    for fd in all {
        let fd = fd.unwrap();
        // Other tests open and close files meanwhile.
        let Ok(path) = fs::read_link(fd.path()) else { continue };
        if path.starts_with(folder) && path.extension().is_some_and(|extension| extension == "log") {
            let info = fs::read_to_string(Path::new("/proc/self/fdinfo").join(fd.file_name())).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            open.push((path, u32::from_str_radix(flags.trim(), 8).unwrap()));
        }
    }
    open.sort();
    open
}

#[expect(clippy::disallowed_types, reason = "what the file system can, by another way than the store's")]
fn takes_direct(path: &Path) -> bool {
    fs::OpenOptions::new().read(true).custom_flags(O_DIRECT.cast_signed()).open(path).is_ok()
}

#[test]
fn files_are_opened_when_they_are_read_and_read_directly() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let setup = Setup { dirs: vec![root.join("data")], ..Setup::small() };
    let options = LaunchOptions { pinning: Pinning::Never, ..LaunchOptions::default() };
    let main = move |_| {
        let (setup, root) = (setup.clone(), root.clone());
        async move {
            let life = Life::open(&setup, 1).await;
            for partition in 0..PARTITIONS {
                let log = life.log(data(partition), &setup).await;
                for id in 0..30 {
                    log.append(&Shape::plain(id, 9_000).build().as_batch(), None).await.unwrap();
                }
                log.durable().await.unwrap();
            }
            assert!(!open_segments(&root).is_empty(), "what is written to is open");
            life.close().await;
            // Workers of the kernel close them.
            while !open_segments(&root).is_empty() {
                sleep(Duration::from_millis(1)).await;
            }

            let life = Life::open(&setup, 1).await;
            assert_eq!(open_segments(&root), []);
            let mut before = Vec::new();
            for partition in [5, 2] {
                assert_eq!(read_all(&life.log(data(partition), &setup).await, 40_000).await.len(), 30);
                let open = open_segments(&root);
                let new: Vec<_> = open.iter().filter(|segment| !before.contains(*segment)).collect();
                assert!(new.len() > 2, "a log of several segments was read: {new:?}");
                assert!(
                    new.iter().all(|(path, _)| path.parent() == new[0].0.parent()),
                    "and no other: {new:?}"
                );
                before = open;
            }
            if takes_direct(&before[0].0) {
                assert!(before.iter().all(|(_, flags)| flags & O_DIRECT != 0), "{before:?}");
            } else {
                println!("{}: no direct I/O here", root.display());
            }
            life.close().await;
        }
    };
    launch(&options, main).unwrap().join().unwrap();
}
