//! One thing at a time.

use crate::{
    batches::{Sample, Shape},
    drive::{Life, Setup, data},
    model::{Known, read_all},
};
use millrace_record::{BatchMeta, Codec, TopicId};
use millrace_runtime::{
    sim::{Crash, NodeId, NodeOptions, World, WorldOptions},
    sleep, spawn,
};
use millrace_storage::{
    AppendError, Class, CreateError, DataDirs, DirsError, Isolation, Log, LogKey, LogOptions, PieceMark,
    ReadError, ReadRequest, RecoverError, SequenceError, SetAsideError, SpliceError, Store, StoreOptions,
    Watcher, recover,
};
use std::{
    cell::Cell,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

fn setup() -> Setup {
    let mut setup = Setup::small();
    setup.dirs = vec!["/data".into()];
    setup
}

fn world() -> (World, NodeId) {
    let world = World::new(77, WorldOptions::default());
    let node = world.add_node("node", NodeOptions::default());
    (world, node)
}

fn sample(id: u64, value_len: usize) -> Sample {
    Shape::plain(id, value_len).build()
}

async fn put(log: &Log, id: u64, value_len: usize) {
    log.append(&sample(id, value_len).as_batch(), None).await.unwrap().durable.await.unwrap();
}

fn request(offset: i64, max_bytes: usize, at_least_one: bool) -> ReadRequest {
    ReadRequest { offset, max_bytes, at_least_one, isolation: Isolation::ReadUncommitted }
}

#[test]
fn a_read_keeps_to_its_limits() {
    let (world, node) = world();
    world.block_on(node, async {
        let life = Life::open(&setup(), 1).await;
        let log = life.log(data(0), &setup()).await;
        for id in 0..5 {
            let shape = Shape { records: 3, ..Shape::plain(id, 1000) };
            log.append(&shape.build().as_batch(), None).await.unwrap();
        }
        assert_eq!(log.end_offset(), 15);
        assert!(log.high_watermark() < 15, "nothing is shown before it is durable");
        log.durable().await.unwrap();
        let len = log.read(&request(0, 1, true)).await.unwrap().batches[0].header().kafka_len as usize;
        let count = |read: &ReadRequest| log.read_now(read).unwrap().unwrap().batches.len();
        assert_eq!(count(&request(0, len - 1, false)), 0);
        assert_eq!(count(&request(0, len - 1, true)), 1);
        assert_eq!(count(&request(0, 2 * len, true)), 2);
        assert_eq!(count(&request(0, usize::MAX, true)), 5);
        let read = log.read_now(&request(4, usize::MAX, true)).unwrap().unwrap();
        assert_eq!(read.batches[0].header().base_offset, 3, "the batch that holds the offset comes whole");
        assert_eq!((read.high_watermark, read.last_stable_offset, read.start_offset), (15, 15, 0));
        assert_eq!(count(&request(15, 1, true)), 0);
        for offset in [-1, 16] {
            let refused = log.read(&request(offset, 1, true)).await.unwrap_err();
            assert_eq!(refused, ReadError::OutOfRange { offset, start: 0, end: 15 });
        }
        let too_large = LogOptions { batch_bytes_max: 500, ..log.options() };
        log.set_options(too_large);
        let refused = log.append(&sample(9, 1000).as_batch(), None).await;
        assert!(matches!(refused, Err(AppendError::TooLarge { max: 500, .. })));
    });
}

#[test]
fn a_watcher_wakes_when_something_is_durable() {
    let (world, node) = world();
    world.block_on(node, async {
        let life = Life::open(&setup(), 1).await;
        let (one, other) = (life.log(data(0), &setup()).await, life.log(data(1), &setup()).await);
        let watcher = Watcher::new();
        watcher.watch(&one);
        watcher.watch(&other);
        let woken = Rc::new(Cell::new(0));
        let (counted, theirs) = (Rc::clone(&woken), watcher.clone());
        spawn(async move {
            loop {
                theirs.advanced().await;
                counted.set(counted.get() + 1);
            }
        });
        sleep(Duration::from_secs(1)).await;
        assert_eq!(woken.get(), 0);
        let appended = one.append(&sample(0, 10).as_batch(), None).await.unwrap();
        assert_eq!(woken.get(), 0, "an append that is not durable wakes nobody");
        appended.durable.await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(woken.get(), 1);
        put(&other, 1, 10).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(woken.get(), 2);
    });
}

#[test]
fn timestamps_are_found_to_the_record() {
    let (world, node) = world();
    world.block_on(node, async {
        let setup = setup();
        let mut life = Life::open(&setup, 1).await;
        let mut log = life.log(data(0), &setup).await;
        // Three records a batch, each a millisecond older than the one before, and batches out of order.
        let times = [500, 100, 900, 300, 900, 200];
        for (id, timestamp) in times.into_iter().enumerate() {
            let codec = [None, Some(Codec::Zstd), Some(Codec::None)][id % 3];
            let shape = Shape { records: 3, timestamp, codec, ..Shape::plain(id as u64, 9000) };
            log.append(&shape.build().as_batch(), None).await.unwrap();
        }
        log.durable().await.unwrap();
        for is_reopened in [false, true] {
            if is_reopened {
                life.close().await;
                life = Life::open(&setup, 1).await;
                log = life.log(data(0), &setup).await;
            }
            let find = async |timestamp| {
                let found = log.offset_for_timestamp(timestamp, Isolation::ReadUncommitted).await.unwrap();
                found.map(|found| (found.offset, found.timestamp))
            };
            assert_eq!(find(0).await, Some((0, 500)));
            assert_eq!(find(500).await, Some((0, 500)));
            assert_eq!(find(501).await, Some((6, 900)));
            assert_eq!(find(900).await, Some((6, 900)));
            assert_eq!(find(901).await, None);
            let max = log.max_timestamp(Isolation::ReadUncommitted).await.unwrap().unwrap();
            assert_eq!((max.offset, max.timestamp, max.leader_epoch), (6, 900, 0));
        }
        log.advance_start(7).await.unwrap();
        let max = log.max_timestamp(Isolation::ReadUncommitted).await.unwrap().unwrap();
        assert_eq!((max.offset, max.timestamp), (12, 900), "the record at 6 is before the start");
        let found = log.offset_for_timestamp(899, Isolation::ReadUncommitted).await.unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (7, 899));
    });
}

#[test]
fn log_append_time_is_the_logs() {
    let (world, node) = world();
    world.block_on(node, async {
        let life = Life::open(&setup(), 1).await;
        let log = life.log(data(0), &setup()).await;
        for (id, codec) in [None, Some(Codec::Gzip)].into_iter().enumerate() {
            let shape = Shape { codec, ..Shape::plain(id as u64, 100) };
            log.append(&shape.build().as_batch(), Some(77)).await.unwrap().durable.await.unwrap();
        }
        let read = log.read(&request(0, usize::MAX, true)).await.unwrap();
        for batch in read.batches {
            batch.as_batch().check().unwrap();
            assert_eq!(batch.header().max_timestamp, 77);
        }
    });
}

#[test]
fn the_leader_epoch_rises_with_unclean_starts() {
    let (world, node) = world();
    for (round, crash) in [None, Some(Crash::PowerCut), Some(Crash::Process), None].into_iter().enumerate() {
        world.block_on(node, async move {
            let life = Life::open(&setup(), 1).await;
            let log = life.log(data(0), &setup()).await;
            let expected = [0, 0, 1, 2][round];
            assert_eq!(log.leader_epoch(), expected);
            put(&log, round as u64, 10).await;
            assert_eq!(log.end_offset_for_leader_epoch(expected), Some((expected, round as i64 + 1)));
            assert_eq!(log.end_offset_for_leader_epoch(9), None);
            if expected == 2 {
                assert_eq!(log.end_offset_for_leader_epoch(0), Some((0, 2)));
                assert_eq!(log.end_offset_for_leader_epoch(1), Some((1, 3)));
            }
            let read = log.read(&request(round as i64, 1, true)).await.unwrap();
            assert_eq!(read.batches[0].header().leader_epoch, expected);
            match crash {
                None => life.close().await,
                Some(_) => std::mem::forget(life),
            }
        });
        world.kill(node, crash.unwrap_or(Crash::PowerCut));
    }
}

#[test]
fn idempotent_producers_are_known_after_a_start() {
    let (world, node) = world();
    let batch = |sequence: i32, epoch: i16| {
        let meta =
            BatchMeta { producer_id: 9, producer_epoch: epoch, base_sequence: sequence, ..BatchMeta::PLAIN };
        Shape { meta, records: 2, ..Shape::plain(sequence as u64, 3000) }.build()
    };
    world.block_on(node, async move {
        let life = Life::open(&setup(), 1).await;
        let log = life.log(data(0), &setup()).await;
        for sequence in (0..40).step_by(2) {
            log.append(&batch(sequence, 0).as_batch(), None).await.unwrap().durable.await.unwrap();
        }
        std::mem::forget(life);
    });
    world.kill(node, Crash::PowerCut);
    for round in 0..2 {
        world.block_on(node, async move {
            let life = Life::open(&setup(), 1).await;
            let log = life.log(data(0), &setup()).await;
            let again = log.append(&batch(36, 0).as_batch(), None).await.unwrap();
            assert!(again.is_duplicate);
            assert_eq!((again.base_offset, again.next_offset), (36, 38));
            again.durable.await.unwrap();
            let gap = log.append(&batch(44, 0).as_batch(), None).await.unwrap_err();
            let expected = SequenceError::OutOfOrder { producer: 9, sent: 44, last: 39 };
            assert!(matches!(gap, AppendError::Sequence(error) if error == expected), "{gap}");
            if round == 1 {
                log.append(&batch(0, 1).as_batch(), None).await.unwrap();
                let fenced = log.append(&batch(40, 0).as_batch(), None).await.unwrap_err();
                assert!(matches!(fenced, AppendError::Sequence(SequenceError::Fenced { .. })));
            }
            assert_eq!(log.end_offset(), 40 + 2 * round);
            // The second round reads what this close has saved.
            life.close().await;
        });
    }
}

#[test]
fn staged_pieces_go_once_they_are_in_the_partition() {
    let (world, node) = world();
    let disk = world.disk(node);
    world.block_on(node, async move {
        let mut setup = setup();
        setup.log.segment_bytes = 32 << 10;
        let life = Life::open(&setup, 1).await;
        let log = life.log(data(0), &setup).await;
        let staged = life.log(LogKey::staged(data(0).topic, 0), &setup).await;
        let mark = |epoch| PieceMark { job: [1; 16], attempt: 1, epoch, task: 0 };
        let lost = staged.stage(&log, mark(1), &[sample(0, 9000).as_batch()]).await.unwrap();
        let early = log.splice(&staged, 1, &[lost.piece]).await;
        assert!(
            matches!(early, Err(SpliceError::NotStaged { offset: 0 })),
            "what is not durable is not spliced"
        );
        lost.durable.await.unwrap();
        staged.release(&lost.piece);
        for epoch in 2..40 {
            let (first, second) = (sample(epoch, 3000), sample(100 + epoch, 2000));
            let piece =
                staged.stage(&log, mark(epoch), &[first.as_batch(), second.as_batch()]).await.unwrap();
            piece.durable.await.unwrap();
            let before = log.end_offset();
            assert_eq!(log.splice(&staged, epoch, &[piece.piece]).await.unwrap(), before + 2);
            assert_eq!(log.high_watermark(), before + 2, "what is committed is durable already");
            assert_eq!(log.splice(&staged, epoch, &[piece.piece]).await.unwrap(), before + 2, "not twice");
            assert_eq!((log.spliced().commit, log.spliced().batches), (epoch, 2));
            put(&log, 1000 + epoch, 4000).await;
        }
        sleep(Duration::from_secs(1)).await;
        assert!(staged.start_offset() > 0, "{staged:?} is cut from the front");
        let folder = PathBuf::from(format!("/data/topics/{}/0/staged", data(0).topic));
        let first = folder.join(format!("{:020}.log", 0));
        assert!(!disk.files().contains(&first), "the first segment is gone");
        assert_eq!(read_all(&log, 100_000).await.len(), 38 * 3);
        assert_eq!(staged.pieces().await.unwrap().iter().filter(|piece| piece.mark.epoch == 1).count(), 0);
        life.close().await;
    });
}

#[test]
fn unknown_topics_are_set_aside_and_strangers_refused() {
    let (world, node) = world();
    let disk = world.disk(node);
    let other = LogKey::data(TopicId::from_bytes(*b"an unknown topic"), 0);
    world.block_on(node, async move {
        let life = Life::open(&setup(), 1).await;
        for key in [data(0), data(1), other] {
            put(&life.log(key, &setup()).await, 1, 100).await;
        }
        std::mem::forget(life);
    });
    world.kill(node, Crash::Process);
    let before = disk.snapshot();
    world.block_on(node, async {
        let (dirs, _locks) = DataDirs::open(&setup().dirs, None).await.unwrap();
        let mut recovered = recover(&dirs).await.unwrap();
        assert_eq!(recovered.logs().count(), 3);
        let aside = recovered.set_aside(|topic| topic == data(0).topic).await.unwrap();
        assert_eq!(aside, [other.topic]);
        assert_eq!(recovered.logs().map(|(key, ..)| key).collect::<Vec<_>>(), [data(0), data(1)]);
    });
    // The start died here: the next one knows that the topic was set aside, not lost.
    world.kill(node, Crash::PowerCut);
    world.block_on(node, async {
        let life = Life::open(&setup(), 1).await;
        assert!(life.stores[0].log(other).is_none());
        assert_eq!(read_all(&life.stores[0].log(data(1)).unwrap(), 1000).await.len(), 1);
    });
    let orphan = disk.files().into_iter().find(|path| path.starts_with("/data/orphans")).unwrap();
    assert!(orphan.to_str().unwrap().contains(&other.topic.to_string()), "{}", orphan.display());
    // Without the journals, the folders of known topics are a stranger's.
    world.kill(node, Crash::Process);
    disk.restore(&before);
    world.block_on(node, async {
        let life = Life::open(&setup(), 1).await;
        life.close().await;
        let journals = Path::new("/data/journals");
        for entry in millrace_runtime::fs::read_dir(journals).await.unwrap() {
            millrace_runtime::fs::remove_dir_all(&journals.join(entry.name)).await.unwrap();
        }
        let (dirs, _locks) = DataDirs::open(&setup().dirs, None).await.unwrap();
        let mut recovered = recover(&dirs).await.unwrap();
        assert!(matches!(recovered.set_aside(|_| true).await, Err(SetAsideError::Stray(_))));
    });
}

#[test]
fn a_log_is_read_before_any_store_is_open() {
    let (world, node) = world();
    world.block_on(node, async move {
        let life = Life::open(&setup(), 1).await;
        let log = life.log(data(0), &setup()).await;
        for id in 0..20 {
            put(&log, id, 9000).await;
        }
        log.advance_start(3).await.unwrap();
        std::mem::forget(life);
    });
    world.kill(node, Crash::PowerCut);
    world.block_on(node, async {
        let (dirs, _locks) = DataDirs::open(&setup().dirs, None).await.unwrap();
        let recovered = recover(&dirs).await.unwrap();
        assert!(!recovered.is_clean());
        assert!(recovered.reader(data(5)).is_none());
        let mut reader = recovered.reader(data(0)).unwrap();
        let mut found = Vec::new();
        loop {
            let batches = reader.read().await.unwrap();
            if batches.is_empty() {
                break;
            }
            found.extend(batches.iter().map(|batch| Known::of(batch.header(), batch.header().base_offset)));
        }
        let expected: Vec<_> = (3..20).map(|id| Known::of(&sample(id, 9000).header, id as i64)).collect();
        assert_eq!(found, expected);
    });
}

#[test]
fn data_directories_are_locked_named_and_not_mixed() {
    let (world, node) = world();
    world.block_on(node, async {
        let both: Vec<PathBuf> = vec!["/deep/down/one".into(), "/two".into()];
        let life = Life::open(&Setup { dirs: both.clone(), ..setup() }, 2).await;
        assert!(matches!(DataDirs::open(&both, None).await, Err(DirsError::InUse(path)) if path == both[0]));
        for partition in 0..4 {
            put(&life.log(data(partition), &setup()).await, 1, 100).await;
        }
        life.close().await;
        let (dirs, locks) = DataDirs::open(&both[..1], None).await.unwrap();
        assert!(matches!(recover(&dirs).await, Err(RecoverError::MissingDir { .. })));
        drop(locks);
        let (_, locks) = DataDirs::open(&["/three".into()], None).await.unwrap();
        drop(locks);
        let mixed = [both[0].clone(), "/three".into()];
        assert!(matches!(DataDirs::open(&mixed, None).await, Err(DirsError::OtherStore(..))));
        let file =
            millrace_runtime::File::open(Path::new("/four"), millrace_runtime::OpenOptions::CREATE_NEW);
        drop(file.await.unwrap());
        assert!(matches!(DataDirs::open(&["/".into()], None).await, Err(DirsError::Foreign(_))));
        assert!(matches!(DataDirs::open(&[], None).await, Err(DirsError::None)));
    });
}

#[test]
fn journals_may_have_a_device_of_their_own() {
    let (world, node) = world();
    let disk = world.disk(node);
    let setup =
        Setup { journal_dir: Some("/journal".into()), dirs: vec!["/a".into(), "/b".into()], ..setup() };
    let (first, second) = (setup.clone(), setup);
    world.block_on(node, async move {
        let life = Life::open(&first, 2).await;
        for partition in 0..4 {
            put(&life.log(data(partition), &first).await, 1, 100).await;
        }
        std::mem::forget(life);
    });
    let journals =
        disk.files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "journal"));
    assert!(journals.inspect(|path| assert!(path.starts_with("/journal"))).count() >= 4);
    world.kill(node, Crash::PowerCut);
    world.block_on(node, async move {
        let life = Life::open(&second, 1).await;
        for partition in 0..4 {
            assert_eq!(read_all(&life.log(data(partition), &second).await, 1000).await.len(), 1);
        }
    });
}

#[test]
fn memory_keeps_to_its_budget_with_many_partitions() {
    let (world, node) = world();
    world.block_on(node, async {
        let mut setup = setup();
        setup.options = StoreOptions { memory_bytes: 1 << 20, journal_file_bytes: 2 << 20, ..setup.options };
        let life = Life::open(&setup, 1).await;
        let store = &life.stores[0];
        let mut logs = Vec::new();
        for partition in 0..600 {
            logs.push(store.create(data(partition), setup.log).await.unwrap());
        }
        assert_eq!(store.memory_bytes(), 0, "a log without records has no memory");
        for round in 0..3 {
            for log in &logs {
                log.append(&sample(round, 5000).as_batch(), None).await.unwrap();
            }
            for log in &logs {
                log.durable().await.unwrap();
            }
        }
        for log in &logs {
            assert_eq!(read_all(log, 100_000).await.len(), 3);
        }
        let kept = store.memory_bytes();
        assert!(kept < 16 << 20, "{kept} bytes are kept, with what is not in segments yet");
        // What is not in a segment is never given up; a close brings everything there.
        life.close().await;
        let life = Life::open(&setup, 1).await;
        for partition in 0..600 {
            let log = life.stores[0].log(data(partition)).unwrap();
            assert_eq!(read_all(&log, 100_000).await.len(), 3);
        }
        assert!(life.stores[0].memory_bytes() <= 1 << 20, "{} bytes", life.stores[0].memory_bytes());
    });
}

#[test]
fn a_journal_is_bounded_and_goes_round() {
    let (world, node) = world();
    let disk = world.disk(node);
    world.block_on(node, async move {
        let setup = setup();
        let life = Life::open(&setup, 1).await;
        let logs = [life.log(data(0), &setup).await, life.log(data(1), &setup).await];
        for id in 0..300 {
            let log = &logs[id as usize % 2];
            log.append(&sample(id, 8000).as_batch(), None).await.unwrap();
        }
        for log in &logs {
            log.durable().await.unwrap();
        }
        let stats = life.stores[0].journal_stats();
        assert!(stats.bytes > 10 * (128 << 10) && stats.files_freed > 5, "{stats:?}");
        let files =
            disk.files().into_iter().filter(|path| path.extension().is_some_and(|end| end == "journal"));
        assert!(files.count() <= setup.options.journal_files);
    });
}

/// Control goes first, and yet the others have their shares.
#[test]
fn classes_have_their_shares() {
    let (world, node) = world();
    world.block_on(node, async {
        let mut setup = setup();
        setup.options.journal_file_bytes = 8 << 20;
        setup.options.queue_bytes = 8 << 20;
        setup.log.segment_bytes = 64 << 20;
        let life = Life::open(&setup, 1).await;
        let store = &life.stores[0];
        let mut logs = Vec::new();
        for (partition, class) in [Class::Delta, Class::Produce, Class::Control].into_iter().enumerate() {
            let log = store.create(data(partition as i32), LogOptions { class, ..setup.log }).await.unwrap();
            // Space for what comes, so that it all comes at once.
            put(&log, 0, 4 << 20).await;
            logs.push(log);
        }
        let mut waiting = Vec::new();
        for (at, count) in [(0, 150), (1, 150), (2, 3)] {
            for id in 0..count {
                let appended = logs[at].append_now(&sample(id, 8000).as_batch(), None).unwrap();
                waiting.push(appended.expect("nothing is short").durable);
            }
        }
        waiting.pop().unwrap().await.unwrap();
        let durable = |at: usize| logs[at].high_watermark() - 1;
        let (deltas, produced) = (durable(0), durable(1));
        assert!(deltas < 50 && produced < 50, "control waited for {deltas} and {produced}");
        while durable(1) < 75 {
            sleep(Duration::from_micros(100)).await;
        }
        let deltas = durable(0);
        assert!((20..75).contains(&deltas), "of the rest, deltas have a third: {deltas}");
    });
}

#[test]
fn a_journal_says_when_it_can_track_no_more_logs() {
    let (world, node) = world();
    world.block_on(node, async {
        let setup = setup();
        let life = Life::open(&setup, 1).await;
        let mut made = 0;
        let refused = loop {
            match life.stores[0].create(data(made), setup.log).await {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, CreateError::TooMany { logs } if logs == made as usize), "{refused}");
        assert!(made > 100);
        let again = life.stores[0].create(data(0), setup.log).await;
        assert!(matches!(again, Err(CreateError::Exists(_))));
        // They are all there after a start, whose journal is made long enough, and more can be made then.
        life.close().await;
        let life = Life::open(&setup, 1).await;
        assert_eq!(life.stores[0].logs().len(), made as usize);
        life.stores[0].create(data(made), setup.log).await.unwrap();
    });
}

#[test]
fn an_index_that_lies_is_not_believed() {
    let (world, node) = world();
    let disk = world.disk(node);
    world.block_on(node, async {
        let mut setup = setup();
        setup.log.segment_bytes = 200 << 10;
        let life = Life::open(&setup, 1).await;
        let log = life.log(data(0), &setup).await;
        for id in 0..50 {
            put(&log, id, 7000).await;
        }
        life.close().await;
        let index =
            disk.files().into_iter().find(|path| path.extension().is_some_and(|end| end == "index")).unwrap();
        let folder = index.parent().unwrap();
        let good = disk.read(&index).unwrap();
        for damage in ["flipped", "another's", "missing"] {
            match damage {
                "flipped" => disk.flip(&index, 80, 1).unwrap(),
                // Of a segment with other batches: whole, and wrong.
                "another's" => {
                    let other = life_of_others(&setup).await;
                    disk.write(&index, 0, &other).unwrap();
                }
                _ => millrace_runtime::fs::remove_file(&index).await.unwrap(),
            }
            let life = Life::open(&setup, 1).await;
            let log = life.log(data(0), &setup).await;
            for offset in [20, 3, 11] {
                let read = log.read(&request(offset, 100, true)).await.unwrap();
                assert_eq!(read.batches[0].header().base_offset, offset, "{damage}");
            }
            life.close().await;
            if disk.read(&index).is_ok_and(|bytes| bytes != good) {
                millrace_runtime::fs::remove_file(&index).await.unwrap();
            }
        }
        assert!(folder.starts_with("/data"));
    });
}

/// The index of a segment that begins at 0 too, and whose batches have other lengths.
async fn life_of_others(setup: &Setup) -> Vec<u8> {
    let elsewhere = Setup { dirs: vec!["/elsewhere".into()], ..setup.clone() };
    let life = Life::open(&elsewhere, 1).await;
    let log = life.log(data(0), &elsewhere).await;
    for id in 0..60 {
        put(&log, id, 6000).await;
    }
    life.close().await;
    let index = format!("/elsewhere/topics/{}/0/{:020}.index", data(0).topic, 0);
    millrace_runtime::fs::read(Path::new(&index)).await.unwrap().to_vec()
}

#[test]
fn a_store_that_is_dropped_lets_nobody_wait() {
    let (world, node) = world();
    world.block_on(node, async {
        let mut life = Life::open(&setup(), 1).await;
        let log = life.log(data(0), &setup()).await;
        put(&log, 0, 10).await;
        let waiting = log.append(&sample(1, 10).as_batch(), None).await.unwrap();
        let store: Store = life.stores.remove(0);
        drop(store);
        assert!(matches!(waiting.durable.await, Err(AppendError::Closed) | Ok(())));
        assert!(matches!(log.append(&sample(2, 10).as_batch(), None).await, Err(AppendError::Closed)));
    });
}
