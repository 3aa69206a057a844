//! Lives of a process: opening, checking against the model, working, dying.

use crate::{
    batches::{Sample, Shape},
    model::{Known, Model, read_all},
};
use millrace_record::{BatchMeta, Codec, TopicId};
use millrace_runtime::{
    random_u64,
    sim::{Crash, NodeId, World},
    sleep, spawn,
};
use millrace_storage::{
    AppendError, DataDirs, DirLocks, Fault, Log, LogKey, LogKind, LogOptions, PieceMark, Store, StoreOptions,
    recover,
};
use std::{cell::RefCell, path::PathBuf, rc::Rc, time::Duration};

pub(crate) type Shared = Rc<RefCell<Model>>;

/// How lives of a world are.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) dirs: Vec<PathBuf>,
    pub(crate) journal_dir: Option<PathBuf>,
    pub(crate) options: StoreOptions,
    pub(crate) log: LogOptions,
    pub(crate) partitions: i32,
}

impl Setup {
    /// Everything small, so that files, segments and memory are short after a few appends.
    pub(crate) fn small() -> Self {
        Self {
            dirs: vec!["/a".into(), "/b".into()],
            journal_dir: None,
            options: StoreOptions {
                journal_file_bytes: 128 << 10,
                journal_files: 3,
                direct_append_bytes: 12 << 10,
                write_behind_bytes: 32 << 10,
                queue_bytes: 128 << 10,
                memory_bytes: 256 << 10,
                syncs_in_flight: 3,
                reserve_bytes: 32 << 10,
                ..StoreOptions::default()
            },
            log: LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() },
            partitions: 4,
        }
    }
}

/// Everything that a life has open.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) stores: Vec<Store>,
    pub(crate) is_clean: bool,
    _locks: DirLocks,
}

impl Life {
    /// Recovers and opens `shards` stores.
    pub(crate) async fn open(setup: &Setup, shards: usize) -> Self {
        let (dirs, locks) = DataDirs::open(&setup.dirs, setup.journal_dir.as_deref()).await.unwrap();
        let mut recovered = recover(&dirs).await.unwrap_or_else(|error| panic!("recovery refused: {error}"));
        let is_clean = recovered.is_clean();
        assert_eq!(recovered.set_aside(|_| true).await.unwrap(), []);
        let (parts, old) = recovered.split(shards, |_, partition| partition as usize % shards);
        let (mut stores, mut proofs) = (Vec::new(), Vec::new());
        for part in parts {
            let (store, opened) = Store::open(setup.options.clone(), part, |_| setup.log).await.unwrap();
            stores.push(store);
            proofs.push(opened);
        }
        old.remove(&proofs).await.unwrap();
        Self { stores, is_clean, _locks: locks }
    }

    pub(crate) fn store(&self, key: LogKey) -> &Store {
        &self.stores[key.partition as usize % self.stores.len()]
    }

    /// The log of this name, made if need be.
    pub(crate) async fn log(&self, key: LogKey, setup: &Setup) -> Log {
        match self.store(key).log(key) {
            Some(log) => log,
            None => self.store(key).create(key, setup.log).await.unwrap(),
        }
    }

    pub(crate) async fn close(self) {
        for store in self.stores {
            store.close().await.unwrap();
        }
    }

    /// Holds all logs against the model, which takes over what was not certain.
    pub(crate) async fn check(&self, model: &Shared) {
        let keys: Vec<_> = model.borrow().logs.keys().copied().collect();
        for key in keys {
            let log = self.store(key).log(key);
            let mut expected = model.borrow().logs[&key].clone();
            let Some(log) = log else {
                assert!(expected.removal_asked || expected.acknowledged == 0, "{key} is gone: {expected:?}");
                expected.removed = expected.removal_asked;
                if !expected.removed {
                    expected = Default::default();
                }
                model.borrow_mut().logs.insert(key, expected);
                continue;
            };
            assert!(!expected.removed, "{key} is back");
            expected.removal_asked = false;
            let found = read_all(&log, 1 << 20).await;
            if key.kind == LogKind::Staged {
                // It is cut from the front as pieces go, and what is spliced from it is looked at there.
                continue;
            }
            expected.settle(key, log.start_offset(), &found);
            model.borrow_mut().logs.insert(key, expected);
        }
        for log in self.stores.iter().flat_map(Store::logs) {
            assert!(model.borrow().logs.contains_key(&log.key()), "{log:?} was never made");
        }
    }

    /// Splices every commit again, as a server does at its start.
    pub(crate) async fn recommit(&self, model: &Shared) {
        let keys: Vec<_> =
            model.borrow().logs.keys().copied().filter(|key| key.kind == LogKind::Data).collect();
        for key in keys {
            let commits = model.borrow().logs[&key].commits.clone();
            let staged = self.store(key).log(key.with_kind(LogKind::Staged));
            let (Some(log), Some(staged)) = (self.store(key).log(key), staged) else { continue };
            let pieces = staged.pieces().await.unwrap();
            for (commit, batches) in &commits {
                model.borrow_mut().logs.get_mut(&key).unwrap().expect_commit(batches);
                let of_commit: Vec<_> =
                    pieces.iter().filter(|piece| piece.mark.epoch == *commit).copied().collect();
                log.splice(&staged, *commit, &of_commit).await.unwrap();
            }
            for piece in pieces {
                if !commits.iter().any(|(commit, _)| *commit == piece.mark.epoch) {
                    staged.release(&piece);
                }
            }
            let found = read_all(&log, 1 << 20).await;
            let mut model = model.borrow_mut();
            let expected = model.logs.get_mut(&key).unwrap();
            check_commits(&log, &found, &commits);
            for promised in expected.promised.iter().filter(|batch| batch.next_offset > log.start_offset()) {
                assert!(found.contains(promised), "{log:?}: consumers were shown {promised:?}");
            }
            let first = expected.batches.partition_point(|batch| batch.next_offset <= log.start_offset());
            assert_eq!(expected.batches[first..], found, "{log:?} after all commits");
        }
    }
}

/// Every committed batch is in the log, once, and the commits are in order.
fn check_commits(log: &Log, found: &[Known], commits: &[(u64, Vec<Known>)]) {
    let mut at = 0;
    for checksum in commits.iter().flat_map(|(_, batches)| batches).map(|batch| &batch.payload_checksum) {
        let position = found.iter().position(|batch| batch.payload_checksum == *checksum);
        let position = position.unwrap_or_else(|| panic!("{log:?}: a committed batch is missing"));
        assert!(position >= at, "{log:?}: commits are in order");
        at = position + 1;
        let again = found[at..].iter().any(|batch| batch.payload_checksum == *checksum);
        assert!(!again, "{log:?}: a committed batch is there twice");
    }
}

/// A number below `bound`, drawn in the world.
pub(crate) fn below(bound: u64) -> u64 {
    random_u64() % bound
}

/// The partition of this number.
pub(crate) fn data(partition: i32) -> LogKey {
    LogKey::data(TopicId::from_bytes(*b"a topic of tests"), partition)
}

/// A batch unlike all others, of random size and encoding.
pub(crate) fn any_sample(model: &Shared) -> Sample {
    let id = {
        let mut model = model.borrow_mut();
        model.next_id += 1;
        model.next_id
    };
    let value_len = match below(10) {
        0..6 => below(300),
        6..9 => below(6000),
        _ => below(40_000),
    };
    let codec = [None, None, Some(Codec::None), Some(Codec::Lz4)][below(4) as usize];
    let shape = Shape {
        id,
        records: 1 + below(3) as u32,
        value_len: value_len as usize,
        timestamp: 1_000_000 + below(1000) as i64,
        codec,
        meta: BatchMeta::PLAIN,
    };
    shape.build()
}

/// Appends a batch, and notes its acknowledgement when that comes. Returns when it has its offset.
pub(crate) async fn append(log: &Log, model: &Shared, sample: &Sample) -> Result<(), AppendError> {
    let appended = log.append(&sample.as_batch(), None).await?;
    let key = log.key();
    {
        let mut model = model.borrow_mut();
        let expected = model.logs.entry(key).or_default();
        assert_eq!(appended.base_offset, expected.end(), "{log:?}: offsets follow each other");
        expected.batches.push(Known::of(&sample.header, appended.base_offset));
        assert_eq!(expected.end(), appended.next_offset);
    }
    let (model, log) = (Rc::clone(model), log.clone());
    spawn(async move {
        if appended.durable.await.is_ok() {
            let shown = log.high_watermark();
            let mut model = model.borrow_mut();
            let expected = model.logs.get_mut(&key).unwrap();
            expected.acknowledge(appended.next_offset);
            expected.shown = expected.shown.max(shown);
        }
    });
    Ok(())
}

/// Stages pieces of some tasks for a partition, and commits them or not.
pub(crate) async fn stage(life: &Life, setup: &Setup, model: &Shared, key: LogKey) {
    let (log, staged_key) = (life.log(key, setup).await, key.with_kind(LogKind::Staged));
    let staged = life.log(staged_key, setup).await;
    model.borrow_mut().logs.entry(staged_key).or_default();
    let commit = {
        let mut model = model.borrow_mut();
        model.next_commit += 1;
        model.next_commit
    };
    let (mut pieces, mut spliced) = (Vec::new(), Vec::new());
    for task in 0..1 + below(2) as u32 {
        let samples: Vec<_> = (0..1 + below(3)).map(|_| any_sample(model)).collect();
        let batches: Vec<_> = samples.iter().map(Sample::as_batch).collect();
        let mark = PieceMark { job: [7; 16], attempt: 1, epoch: commit, task };
        let Ok(done) = staged.stage(&log, mark, &batches).await else { return };
        if done.durable.await.is_err() {
            return;
        }
        pieces.push(done.piece);
        spliced.extend(samples);
    }
    if below(4) == 0 {
        pieces.iter().for_each(|piece| staged.release(piece));
        return;
    }
    {
        // The commit is durable elsewhere before anything is spliced.
        let mut model = model.borrow_mut();
        let expected = model.logs.get_mut(&key).unwrap();
        let batches: Vec<_> = spliced.iter().map(|sample| Known::of(&sample.header, 0)).collect();
        expected.expect_commit(&batches);
        expected.commits.push((commit, batches));
    }
    let Ok(end) = log.splice(&staged, commit, &pieces).await else { return };
    let mut model = model.borrow_mut();
    let expected = model.logs.get_mut(&key).unwrap();
    assert_eq!(end, expected.end(), "{log:?}: a splice goes to the end");
    expected.shown = expected.shown.max(log.high_watermark());
}

/// Lets some time pass.
pub(crate) async fn rest() {
    sleep(Duration::from_micros(below(3000))).await;
}

/// Kills a node in one way or the other.
pub(crate) fn kill(world: &World, node: NodeId) {
    let crash = if world.random_u64().is_multiple_of(3) { Crash::Process } else { Crash::PowerCut };
    world.kill(node, crash);
}

/// Options under which a fault is there.
pub(crate) fn with_fault(setup: Setup, fault: Fault) -> Setup {
    Setup { options: StoreOptions { fault, ..setup.options }, ..setup }
}
