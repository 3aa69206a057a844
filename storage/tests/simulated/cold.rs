//! Reading what is only on disk: files are opened when they are read, in long pieces, ahead of whoever reads on.

use crate::{
    batches::Shape,
    drive::{Life, Setup, data},
    model::read_all,
};
use millrace_record::Offset;
use millrace_runtime::{
    sim::{Crash, DiskRead, NodeId, NodeOptions, World, WorldOptions},
    sleep,
};
use millrace_storage::{Isolation, Log, LogOptions, Read, ReadRequest, StoreOptions};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

const PARTITIONS: i32 = 40;

/// Bytes of a batch in the log that is read from its start to its end, and how many there are.
const BATCH_LEN: usize = 1000;
const BATCHES: u64 = 5000;

fn world() -> (World, NodeId) {
    let world = World::new(78, WorldOptions::default());
    let node = world.add_node("node", NodeOptions::default());
    (world, node)
}

/// The segments that are open.
fn open_segments(world: &World, node: NodeId) -> Vec<PathBuf> {
    let mut open = world.disk(node).open_files();
    open.retain(|path| is_segment(path));
    open
}

fn is_segment(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

async fn read(log: &Log, offset: Offset) -> Read {
    log.read(&request(offset)).await.unwrap()
}

fn request(offset: Offset) -> ReadRequest {
    ReadRequest { offset, max_bytes: 8_000, at_least_one: true, isolation: Isolation::ReadUncommitted }
}

#[test]
fn a_start_opens_no_segment_and_a_read_only_its_own() {
    for crash in [None, Some(Crash::Process), Some(Crash::PowerCut)] {
        let (world, node) = world();
        let setup = Setup::small();
        world.block_on(node, async {
            let life = Life::open(&setup, 2).await;
            for partition in 0..PARTITIONS {
                let log = life.log(data(partition), &setup).await;
                for id in 0..15 {
                    log.append(&Shape::plain(id, 10_000).build().as_batch(), None).await.unwrap();
                }
                log.durable().await.unwrap();
            }
            if crash.is_none() { life.close().await } else { std::mem::forget(life) }
        });
        if let Some(crash) = crash {
            world.kill(node, crash);
        }
        let life = world.block_on(node, Life::open(&setup, 2));
        let segments = world.disk(node).files().into_iter().filter(|path| is_segment(path)).count();
        assert!(segments >= 2 * PARTITIONS as usize, "each log has some segments: {segments}");
        assert_eq!(open_segments(&world, node), [] as [PathBuf; 0], "after {crash:?}");

        let mut folders = BTreeSet::new();
        for (nth, partition) in [7, 8, 31].into_iter().enumerate() {
            let log = life.store(data(partition)).log(data(partition)).unwrap();
            world.disk(node).note_reads();
            let first = world.block_on(node, read(&log, 0));
            assert_eq!(first.batches[0].header().base_offset, 0);
            let read: Vec<DiskRead> = world.disk(node).reads();
            let open = open_segments(&world, node);
            assert_eq!(open.len(), nth + 1, "one more is open: {open:?}");
            assert!(read.iter().all(|read| !is_segment(&read.path) || open.contains(&read.path)), "{read:?}");
            folders.extend(open.iter().map(|path| path.parent().unwrap().to_owned()));
            assert_eq!(folders.len(), nth + 1, "of another log each time: {open:?}");
        }
        world.block_on(node, async {
            life.close().await;
            // Its tasks end.
            sleep(Duration::from_secs(1)).await;
        });
        assert_eq!(open_segments(&world, node), [] as [PathBuf; 0]);
    }
}

/// A log of one segment, all of which is only on disk, and the life that it is open in.
fn long_log(world: &World, node: NodeId) -> (Life, Log) {
    let small = Setup::small();
    let setup = Setup {
        options: StoreOptions { memory_bytes: 64 << 20, ..small.options },
        log: LogOptions { segment_bytes: 64 << 20, ..small.log },
        ..small
    };
    world.block_on(node, async {
        let life = Life::open(&setup, 1).await;
        let log = life.log(data(0), &setup).await;
        for id in 0..BATCHES {
            log.append(&Shape::plain(id, BATCH_LEN).build().as_batch(), None).await.unwrap();
        }
        log.durable().await.unwrap();
        life.close().await;
        let life = Life::open(&setup, 1).await;
        let log = life.log(data(0), &setup).await;
        (life, log)
    })
}

#[test]
fn who_reads_on_is_read_ahead_for_in_long_pieces() {
    let (world, node) = world();
    let (life, log) = long_log(&world, node);
    world.disk(node).note_reads();
    // How often the reader finds nothing in memory. It takes its time with what it gets.
    let waits = world.block_on(node, async {
        let (mut offset, mut waits) = (0, 0);
        while offset < BATCHES as Offset {
            let read = match log.read_now(&request(offset)).unwrap() {
                Some(read) => read,
                None => {
                    waits += 1;
                    read(&log, offset).await
                }
            };
            offset = read.batches.last().unwrap().header().next_offset();
            sleep(Duration::from_millis(10)).await;
        }
        waits
    });
    let mut reads = world.disk(node).reads();
    reads.retain(|read| is_segment(&read.path));
    let total: usize = reads.iter().map(|read| read.len).sum();
    let len = BATCHES as usize * BATCH_LEN;
    println!("{} reads of {total} bytes, {waits} waited for: {reads:?}", reads.len());
    assert!(reads.len() < 12, "{BATCHES} batches are not {} reads", reads.len());
    assert!(total < len + len / 2, "{total} bytes read of a log of {len}");
    assert!(reads.iter().filter(|read| read.len >= 1 << 20).count() >= 3, "reads grow: {reads:?}");
    // The file is opened with a read, too, and the first window is nobody's next.
    assert!(waits < reads.len() - 2, "{waits} of {} reads had to be waited for", reads.len());
    assert!(waits <= 5, "{waits} waits for {len} bytes");
    world.block_on(node, async {
        assert_eq!(read_all(&log, 8_000).await.len() as u64, BATCHES, "and from the cache");
    });
    world.block_on(node, life.close());
}

#[test]
fn who_reads_here_and_there_gets_a_window_each_and_nothing_ahead() {
    let (world, node) = world();
    let (life, log) = long_log(&world, node);
    // The index of a segment that is not sealed is made of its batches, once.
    world.block_on(node, read(&log, 2500));
    for offset in [4000, 1500, 3000] {
        world.disk(node).note_reads();
        let found = world.block_on(node, async {
            let found = read(&log, offset).await;
            sleep(Duration::from_secs(1)).await;
            found
        });
        assert_eq!(found.batches[0].header().base_offset, offset);
        let mut reads = world.disk(node).reads();
        reads.retain(|read| is_segment(&read.path));
        let total: usize = reads.iter().map(|read| read.len).sum();
        assert!(total <= 128 << 10, "{reads:?} for some batches in the midst of the log");
    }
    world.block_on(node, life.close());
}
