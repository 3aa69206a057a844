//! A disk that is full, fails, or may not be written; and a process that can open no more files.

use crate::{
    batches::{Sample, Shape},
    drive::{Life, Setup, data},
    model::read_all,
};
use millrace_record::TopicId;
use millrace_runtime::{
    File, OpenOptions,
    sim::{Crash, Fault, NodeOptions, World, WorldOptions},
    sleep, spawn,
};
use millrace_storage::{AppendError, Class, Isolation, Log, LogKey, LogOptions, ReadError, ReadRequest};
use std::{
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

fn setup() -> Setup {
    let mut setup = Setup::small();
    setup.dirs = vec!["/data".into()];
    setup.options.reserve_bytes = 512 << 10;
    setup
}

fn sample(id: u64) -> Sample {
    Shape::plain(id, 10_000).build()
}

/// Fills the disk with a file.
async fn fill() -> File {
    let file = File::open(Path::new("/ballast"), OpenOptions::CREATE_NEW).await.unwrap();
    let mut position = 0;
    for step in [1 << 20, 64 << 10, 4 << 10] {
        while file.allocate(position, step).await.is_ok() {
            position += step;
        }
    }
    file
}

/// Appends until that is refused.
async fn append_until_full(log: &Log) -> u64 {
    for id in 0.. {
        match log.append(&sample(id).as_batch(), None).await {
            Ok(appended) => appended.durable.await.unwrap(),
            Err(AppendError::Exhausted(_)) => return id,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

#[test]
fn a_full_disk_refuses_appends_and_nothing_else() {
    let world = World::new(5, WorldOptions::default());
    let node = world.add_node("node", NodeOptions::default());
    world.disk(node).set_capacity(8 << 20);
    world.block_on(node, async {
        let setup = setup();
        let life = Life::open(&setup, 1).await;
        let log = life.log(data(0), &setup).await;
        let control = LogOptions { class: Class::Control, ..setup.log };
        let commits = life.stores[0].create(data(8), control).await.unwrap();
        commits.append(&sample(0).as_batch(), None).await.unwrap().durable.await.unwrap();
        let ballast = fill().await;
        let appended = append_until_full(&log).await;
        // What was acknowledged is read, what others wait for still works, and appends stay refused meanwhile.
        assert_eq!(read_all(&log, 50_000).await.len() as u64, appended);
        for id in 0..20 {
            commits.append(&sample(id).as_batch(), None).await.unwrap().durable.await.unwrap();
        }
        assert!(matches!(log.append(&sample(0).as_batch(), None).await, Err(AppendError::Exhausted(_))));
        log.advance_start(log.high_watermark() / 2).await.unwrap();
        let other = life.stores[0].create(data(12), setup.log).await.unwrap();
        assert!(matches!(other.append(&sample(0).as_batch(), None).await, Err(AppendError::Exhausted(_))));
        life.stores[0].remove(data(12).topic, 12).await.unwrap();
        // Space returns.
        ballast.set_len(0).await.unwrap();
        for id in 0..20 {
            log.append(&sample(id).as_batch(), None).await.unwrap().durable.await.unwrap();
        }
        life.close().await;
    });
}

#[test]
fn a_process_starts_on_a_full_disk_and_can_empty_it() {
    let world = World::new(6, WorldOptions::default());
    let node = world.add_node("node", NodeOptions::default());
    world.disk(node).set_capacity(8 << 20);
    world.block_on(node, async {
        let setup = setup();
        let life = Life::open(&setup, 1).await;
        let log = life.log(data(0), &setup).await;
        for id in 0..100 {
            log.append(&sample(id).as_batch(), None).await.unwrap().durable.await.unwrap();
        }
        let ballast = fill().await;
        append_until_full(&log).await;
        drop(ballast);
        std::mem::forget(life);
    });
    world.kill(node, Crash::PowerCut);
    world.block_on(node, async {
        let mut setup = setup();
        // Files that do not fit any more.
        setup.options.journal_file_bytes = 2 << 20;
        let life = Life::open(&setup, 1).await;
        let log = life.log(data(0), &setup).await;
        assert!(!read_all(&log, 50_000).await.is_empty());
        life.stores[0].remove(data(0).topic, 0).await.unwrap();
        let log = life.log(data(4), &setup).await;
        log.append(&sample(1).as_batch(), None).await.unwrap().durable.await.unwrap();
        life.close().await;
    });
}

/// The one segment of a log.
fn segment(key: LogKey) -> PathBuf {
    let TopicId(_) = key.topic;
    PathBuf::from(format!("/data/topics/{}/{}/{:020}.log", key.topic, key.partition, 0))
}

async fn put(log: &Log, sample: &Sample) -> Result<(), AppendError> {
    log.append(&sample.as_batch(), None).await?.durable.await
}

#[test]
fn a_failed_sync_ends_the_store() {
    for victim in ["segment", "journal"] {
        let world = World::new(9, WorldOptions::default());
        let node = world.add_node("node", NodeOptions::default());
        let disk = world.disk(node);
        let acknowledged = world.block_on(node, async {
            let setup = setup();
            let life = Life::open(&setup, 1).await;
            let log = life.log(data(0), &setup).await;
            log.append(&sample(0).as_batch(), None).await.unwrap().durable.await.unwrap();
            // Space that is allocated ahead is synced too, and not what this is about.
            sleep(Duration::from_millis(100)).await;
            let journal = disk.files().into_iter().find(|path| path.ends_with("0000.journal")).unwrap();
            let path = if victim == "journal" { journal } else { segment(data(0)) };
            disk.inject(Fault::FailSync { path: path.clone() });
            let large = Shape::plain(1, 100_000).build();
            for refused in [put(&log, &large).await, put(&log, &sample(2)).await] {
                assert!(matches!(refused, Err(AppendError::Fatal(_))));
            }
            let fatal = life.stores[0].fatal().raised().await;
            assert_eq!(fatal.path, path);
            assert!(matches!(log.append(&sample(3).as_batch(), None).await, Err(AppendError::Fatal(_))));
            assert_eq!(read_all(&log, 50_000).await.len(), 1, "what was not acknowledged is not shown");
            1
        });
        world.kill(node, Crash::PowerCut);
        disk.heal();
        world.block_on(node, async {
            let life = Life::open(&setup(), 1).await;
            let log = life.log(data(0), &setup()).await;
            assert!(read_all(&log, 50_000).await.len() >= acknowledged);
            log.append(&sample(4).as_batch(), None).await.unwrap().durable.await.unwrap();
        });
    }
}

#[test]
fn a_failed_read_is_told_and_not_fatal() {
    let world = World::new(10, WorldOptions::default());
    let node = world.add_node("node", NodeOptions::default());
    let disk = world.disk(node);
    world.block_on(node, async {
        let life = Life::open(&setup(), 1).await;
        let log = life.log(data(0), &setup()).await;
        for id in 0..4 {
            log.append(&sample(id).as_batch(), None).await.unwrap();
        }
        life.close().await;
        let life = Life::open(&setup(), 1).await;
        let log = life.log(data(0), &setup()).await;
        let all = |offset| ReadRequest {
            offset,
            max_bytes: 100,
            at_least_one: true,
            isolation: Isolation::ReadUncommitted,
        };
        disk.inject(Fault::FailReads { path: segment(data(0)), range: 20_000..30_000 });
        assert!(matches!(log.read(&all(0)).await, Err(ReadError::Io(_))));
        disk.heal();
        assert_eq!(log.read(&all(2)).await.unwrap().batches.len(), 1);
        log.append(&sample(9).as_batch(), None).await.unwrap().durable.await.unwrap();
    });
}

#[test]
fn a_read_only_disk_is_read() {
    let world = World::new(11, WorldOptions::default());
    let node = world.add_node("node", NodeOptions::default());
    let disk = world.disk(node);
    world.block_on(node, async {
        let life = Life::open(&setup(), 1).await;
        let log = life.log(data(0), &setup()).await;
        for id in 0..4 {
            log.append(&sample(id).as_batch(), None).await.unwrap().durable.await.unwrap();
        }
        disk.set_read_only(true);
        assert_eq!(read_all(&log, 50_000).await.len(), 4);
        let refused = log.append(&sample(5).as_batch(), None).await;
        let is_told = match refused {
            Ok(appended) => appended.durable.await.is_err(),
            Err(_) => true,
        };
        assert!(is_told);
        assert_eq!(read_all(&log, 50_000).await.len(), 4);
    });
}

#[test]
fn without_descriptors_appends_are_refused_and_nothing_fails() {
    const TURNS: i32 = 20;
    let world = World::new(12, WorldOptions::default());
    let node = world.add_node("node", NodeOptions::default());
    let disk = Rc::new(world.disk(node));
    world.block_on(node, async {
        let setup = setup();
        let life = Life::open(&setup, 1).await;
        let log = life.log(data(0), &setup).await;
        put(&log, &sample(0)).await.unwrap();
        let mut refused = 0;
        for turn in 1..=TURNS {
            let other = life.log(data(4 * turn), &setup).await;
            // What can be opened at one moment can't at the next.
            let (lacking, delay) = (Rc::clone(&disk), Duration::from_micros(500 * turn as u64));
            let lack = spawn(async move {
                sleep(delay).await;
                lacking.set_out_of_files(true);
            });
            match put(&other, &sample(1)).await {
                Ok(()) => {}
                Err(AppendError::Exhausted(error)) => {
                    assert!(error.out_of_files.is_some());
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
            lack.await;
            // What has its file open goes on.
            put(&log, &Shape::plain(2, 100).build()).await.unwrap();
            disk.set_out_of_files(false);
            put(&other, &sample(3)).await.unwrap();
        }
        assert!((1..TURNS).contains(&refused), "{refused} of {TURNS} were refused");
        assert!(life.stores[0].fatal().get().is_none());
        life.close().await;
    });
}
