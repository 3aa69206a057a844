//! Rot: a byte of a small data directory is flipped, and what was written is read again or the damage is named; nothing
//! else is ever served, and nothing panics.

use crate::{
    batches::Shape,
    drive::{Life, Setup, Shared, append, data},
    model::Known,
};
use millrace_runtime::sim::{Crash, DiskSnapshot, NodeId, NodeOptions, World, WorldOptions};
use millrace_storage::{
    DataDirs, DirsError, Isolation, LogOptions, ReadError, ReadRequest, RecoverError, Store, recover,
};
use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

fn setup() -> Setup {
    let mut setup = Setup::small();
    setup.dirs = vec!["/data".into()];
    setup.log.segment_bytes = 24 << 10;
    setup.options.reserve_bytes = 0;
    setup.options.journal_files = 2;
    setup
}

/// A world whose disk holds a small data directory, and what must be read from it.
struct Victim {
    world: World,
    node: NodeId,
    disk: DiskSnapshot,
    batches: Vec<Known>,
}

impl Victim {
    fn new(closed: bool) -> Self {
        let world = World::new(3, WorldOptions::default());
        let node = world.add_node("node", NodeOptions::default());
        let model = Shared::default();
        let shared = Rc::clone(&model);
        world.block_on(node, async move {
            let setup = setup();
            let life = Life::open(&setup, 1).await;
            let log = life.log(data(0), &setup).await;
            shared.borrow_mut().logs.entry(data(0)).or_default();
            for (id, value_len) in [100, 900, 14_000, 3000, 9000, 40, 5000, 300].into_iter().enumerate() {
                append(&log, &shared, &Shape::plain(id as u64, value_len).build()).await.unwrap();
                log.durable().await.unwrap();
            }
            if closed { life.close().await } else { std::mem::forget(life) }
        });
        world.kill(node, Crash::Process);
        let disk = world.disk(node).snapshot();
        let batches = model.borrow().logs[&data(0)].batches.clone();
        Self { world, node, disk, batches }
    }

    /// Files and the positions in them that are looked at: all of what may matter most, some of the rest.
    fn positions(&self) -> Vec<(PathBuf, u64)> {
        let disk = self.world.disk(self.node);
        let mut positions = Vec::new();
        for path in disk.files() {
            let bytes = disk.read(&path).unwrap();
            let last = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            let is_dense = |at: &usize| at % 4096 < 192 && at % 8 == 3;
            positions.extend(
                (0..last).filter(|at| is_dense(at) || at % 509 == 0).map(|at| (path.clone(), at as u64)),
            );
        }
        positions
    }

    /// What comes of one flipped byte.
    fn flip(&self, path: &Path, position: u64, mask: u8) -> Outcome {
        self.world.kill(self.node, Crash::Process);
        let disk = self.world.disk(self.node);
        disk.restore(&self.disk);
        disk.flip(path, position, mask).unwrap();
        self.world.block_on(self.node, read_back())
    }
}

#[derive(Debug)]
enum Outcome {
    Read(Vec<Known>),
    Refused(PathBuf, String),
}

/// Opens the directory and reads everything.
async fn read_back() -> Outcome {
    let setup = setup();
    let (dirs, _locks) = match DataDirs::open(&setup.dirs, None).await {
        Ok(opened) => opened,
        Err(DirsError::Format { path, error }) => {
            return Outcome::Refused(path.join("format"), error.to_string());
        }
        Err(error) => panic!("{error}"),
    };
    let recovered = match recover(&dirs).await {
        Ok(recovered) => recovered,
        Err(RecoverError::Damage(damage)) => {
            return Outcome::Refused(damage.path.clone(), damage.to_string());
        }
        Err(error) => panic!("{error}"),
    };
    let (mut parts, old) = recovered.split(1, |_, _| 0);
    let (store, opened) =
        Store::open(setup.options, parts.remove(0), |_| LogOptions::default()).await.unwrap();
    old.remove(&[opened]).await.unwrap();
    let Some(log) = store.log(data(0)) else { return Outcome::Read(Vec::new()) };
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        let request = ReadRequest {
            offset,
            max_bytes: 10_000,
            at_least_one: true,
            isolation: Isolation::ReadUncommitted,
        };
        match log.read(&request).await {
            Ok(read) if read.batches.is_empty() => return Outcome::Read(found),
            Ok(read) => {
                offset = read.batches.last().unwrap().header().next_offset();
                found.extend(
                    read.batches.iter().map(|batch| Known::of(batch.header(), batch.header().base_offset)),
                );
            }
            Err(ReadError::Corrupt(damage)) => {
                return Outcome::Refused(damage.path.clone(), damage.to_string());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn rot_in_a_closed_directory_is_named_or_harmless() {
    let victim = Victim::new(true);
    let (mut named, mut harmless) = (0, 0);
    for (path, position) in victim.positions() {
        match victim.flip(&path, position, 1 << (position % 8)) {
            Outcome::Read(batches) => {
                assert_eq!(batches, victim.batches, "{} at {position}", path.display());
                harmless += 1;
            }
            Outcome::Refused(at, what) => {
                assert_eq!(at, path, "damage at {position} is found elsewhere: {what}");
                named += 1;
            }
        }
    }
    assert!(named > 100 && harmless > 10, "{named} named, {harmless} harmless");
}

/// Of a process that died, the last frame has no witness: rot that takes just that one is like a torn write.
#[test]
fn rot_after_a_crash_is_named_or_takes_the_last_frame() {
    let victim = Victim::new(false);
    let mut shortened = Vec::new();
    for (path, position) in victim.positions() {
        match victim.flip(&path, position, 1 << (position % 8)) {
            Outcome::Read(batches) if batches == victim.batches => {}
            Outcome::Read(batches) => {
                assert_eq!(
                    batches,
                    victim.batches[..victim.batches.len() - 1],
                    "{} at {position}",
                    path.display()
                );
                shortened.push((path, position));
            }
            Outcome::Refused(at, what) => {
                assert_eq!(at, path, "damage at {position} is found elsewhere: {what}");
            }
        }
    }
    let (first, last) = (shortened.first().expect("the last frame was hit"), shortened.last().unwrap());
    assert!(first.0 == last.0 && last.1 - first.1 < 4096, "one frame of one file: {shortened:?}");
}

/// A whole block that was never written, or that a device wrote elsewhere.
#[test]
fn lost_blocks_of_segments_are_named() {
    let victim = Victim::new(true);
    let disk = victim.world.disk(victim.node);
    let segments: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    assert!(segments.len() > 1);
    for path in segments {
        let bytes = disk.read(&path).unwrap();
        for block in 0..bytes.len() / 4096 {
            for elsewhere in [None, Some((block + 1) % (bytes.len() / 4096))] {
                victim.world.kill(victim.node, Crash::Process);
                disk.restore(&victim.disk);
                let content = elsewhere.map_or(vec![0; 4096], |from| bytes[from * 4096..][..4096].to_vec());
                let old = &bytes[block * 4096..][..4096];
                // Space that was allocated ahead holds nothing.
                if content == old || old.iter().all(|&byte| byte == 0) {
                    continue;
                }
                disk.write(&path, block as u64 * 4096, &content).unwrap();
                match victim.world.block_on(victim.node, read_back()) {
                    Outcome::Refused(at, _) => assert_eq!(at, path),
                    Outcome::Read(batches) => {
                        panic!("{} block {block}: {} batches were read", path.display(), batches.len())
                    }
                }
            }
        }
    }
}
