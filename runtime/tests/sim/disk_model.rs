//! The disk against a small model: for each block, which contents a power cut may leave.

use crate::DEVICES;
use millrace_runtime::{
    AlignedBuf, File, OpenOptions, fs,
    sim::{Crash, Device, DiskOptions, NodeId, NodeOptions, World, WorldOptions},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

const BLOCK: usize = 4096;
const FILES: usize = 2;
const BLOCKS: u64 = 6;

/// A block's contents: the number of the write that made it, or zeros.
type Stamp = u64;
const ZEROS: Stamp = 0;

#[derive(Clone, Copy, Debug)]
enum Step {
    Write { file: usize, block: u64, blocks: u64, durable: bool },
    Sync { file: usize },
    Allocate { file: usize, blocks: u64 },
    SetLen { file: usize, blocks: u64 },
    Crash { power_cut: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let file = 0..FILES;
    let step = prop_oneof![
        8 => (file.clone(), 0..BLOCKS, 1..4u64, any::<bool>())
            .prop_map(|(file, block, blocks, durable)| Step::Write { file, block, blocks, durable }),
        3 => file.clone().prop_map(|file| Step::Sync { file }),
        1 => (file.clone(), 1..BLOCKS).prop_map(|(file, blocks)| Step::Allocate { file, blocks }),
        1 => (file, 0..BLOCKS).prop_map(|(file, blocks)| Step::SetLen { file, blocks }),
        1 => any::<bool>().prop_map(|power_cut| Step::Crash { power_cut }),
    ];
    prop::collection::vec(step, 1..40)
}

/// What is known of a block.
#[derive(Clone, Debug, Default)]
struct Known {
    now: Stamp,
    /// What a power cut may leave, `now` included.
    possible: BTreeSet<Stamp>,
    /// The metadata surely says that it is written.
    mapped: bool,
    /// It was cut off, and the cut may be undone: too much is possible to be exact.
    unsure: bool,
}

#[derive(Clone, Debug, Default)]
struct Model {
    blocks: BTreeMap<u64, Known>,
    len: u64,
    lens: BTreeSet<u64>,
}

impl Model {
    fn block(&mut self, block: u64) -> &mut Known {
        self.blocks
            .entry(block)
            .or_insert_with(|| Known { possible: BTreeSet::from([ZEROS]), ..Known::default() })
    }

    fn write(&mut self, device: Device, block: u64, stamp: Stamp) {
        let known = self.block(block);
        known.now = stamp;
        if device == Device::NoCache && !known.unsure {
            known.possible = if known.mapped { BTreeSet::new() } else { BTreeSet::from([ZEROS]) };
        }
        known.possible.insert(stamp);
        self.grow(block + 1);
    }

    fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
        self.lens.insert(self.len);
    }

    fn make_durable(&mut self, blocks: std::ops::Range<u64>) {
        for (_, known) in self.blocks.range_mut(blocks.clone()) {
            known.settle();
        }
        if self.lens.iter().any(|len| *len < blocks.end) {
            self.lens = BTreeSet::from([self.len]);
        }
    }

    fn sync(&mut self) {
        self.blocks.values_mut().for_each(Known::settle);
        self.lens = BTreeSet::from([self.len]);
    }

    /// The device's cache is flushed: what has a mapping is safe.
    fn flush(&mut self) {
        for known in self.blocks.values_mut().filter(|known| !known.unsure) {
            known.possible = BTreeSet::from([known.now]);
            if !known.mapped {
                known.possible.insert(ZEROS);
            }
        }
    }

    fn set_len(&mut self, len: u64) {
        for (_, known) in self.blocks.range_mut(len..) {
            *known = Known { now: ZEROS, unsure: true, mapped: false, possible: known.possible.clone() };
            known.possible.insert(ZEROS);
        }
        self.len = len;
        self.lens.insert(len);
    }

    /// What is found after a power cut must be possible, and is certain from now on.
    fn find(&mut self, found: &[Stamp]) -> Result<(), TestCaseError> {
        let len = found.len() as u64;
        prop_assert!(self.lens.contains(&len), "{len} blocks were found, {:?} are possible", self.lens);
        for (block, stamp) in (0..).zip(found) {
            let known = self.block(block);
            prop_assert!(known.possible.contains(stamp), "block {block}: {stamp}, but {known:?}");
            *known = Known { now: *stamp, mapped: *stamp != ZEROS, ..Known::default() };
            known.possible.insert(*stamp);
        }
        self.blocks.split_off(&len);
        (self.len, self.lens) = (len, BTreeSet::from([len]));
        Ok(())
    }

    fn now(&self) -> Vec<Stamp> {
        (0..self.len).map(|block| self.blocks.get(&block).map_or(ZEROS, |known| known.now)).collect()
    }
}

impl Known {
    fn settle(&mut self) {
        self.possible = BTreeSet::from([self.now]);
        self.mapped |= self.now != ZEROS;
        self.unsure = false;
    }
}

fn path(file: usize) -> PathBuf {
    PathBuf::from(format!("/{file}"))
}

/// The stamps of a file's blocks. A block is wholly of one write.
fn stamps(contents: &[u8]) -> Vec<Stamp> {
    let stamp = |block: &[u8]| {
        let stamp = Stamp::from_le_bytes(block[..8].try_into().expect("8 bytes"));
        assert!(block.chunks(8).all(|word| word == stamp.to_le_bytes()), "a block of two writes");
        stamp
    };
    contents.chunks(BLOCK).map(stamp).collect()
}

fn stamped(stamps: std::ops::Range<Stamp>) -> AlignedBuf {
    let mut buffer = AlignedBuf::zeroed((stamps.end - stamps.start) as usize * BLOCK);
    for (block, stamp) in buffer.chunks_mut(BLOCK).zip(stamps) {
        block.chunks_mut(8).for_each(|word| word.copy_from_slice(&stamp.to_le_bytes()));
    }
    buffer
}

struct Rig {
    world: World,
    node: NodeId,
    device: Device,
    files: Vec<File>,
    models: Vec<Model>,
    next_stamp: Stamp,
}

impl Rig {
    fn new(seed: u64, device: Device) -> Self {
        let world = World::new(seed, WorldOptions::default());
        let disk = DiskOptions { device, torn_blocks: false, ..DiskOptions::default() };
        let node = world.add_node("a", NodeOptions { disk });
        let model = Model { lens: BTreeSet::from([0]), ..Model::default() };
        let mut rig =
            Self { world, node, device, files: Vec::new(), models: vec![model; FILES], next_stamp: 1 };
        rig.open();
        rig.world.block_on(node, fs::sync_dir(Path::new("/"))).expect("a sync");
        rig
    }

    fn open(&mut self) {
        let options = OpenOptions { create: true, ..OpenOptions::WRITE };
        let open = |file| self.world.block_on(self.node, File::open(&path(file), options));
        self.files = (0..FILES).map(|file| open(file).expect("it opens")).collect();
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Write { file, block, blocks, durable } => self.write(file, block, blocks, durable),
            Step::Sync { file } => {
                self.world.block_on(self.node, self.files[file].sync_data()).expect("a sync");
                if self.device == Device::FlushOnly {
                    self.models.iter_mut().for_each(Model::flush);
                }
                self.models[file].sync();
            }
            Step::Allocate { file, blocks } => {
                let allocated = self.files[file].allocate(0, blocks * BLOCK as u64);
                self.world.block_on(self.node, allocated).expect("there is space");
                self.models[file].grow(blocks);
            }
            Step::SetLen { file, blocks } => {
                let set = self.files[file].set_len(blocks * BLOCK as u64);
                self.world.block_on(self.node, set).expect("it is no limit");
                self.models[file].set_len(blocks);
            }
            Step::Crash { power_cut } => return self.crash(power_cut),
        }
        for file in 0..FILES {
            let contents = self.world.disk(self.node).read(&path(file)).expect("it is there");
            prop_assert_eq!(stamps(&contents), self.models[file].now());
        }
        Ok(())
    }

    fn write(&mut self, file: usize, block: u64, blocks: u64, durable: bool) {
        let stamps = self.next_stamp..self.next_stamp + blocks;
        self.next_stamp = stamps.end;
        let (position, buffer) = (block * BLOCK as u64, stamped(stamps.clone()));
        let handle = self.files[file].clone();
        self.world.block_on(self.node, async {
            if durable {
                let len = buffer.len();
                handle.write_durable_at(position, buffer, len).await.0.expect("a durable write");
            } else {
                handle.write_at(position, buffer.freeze()).await.expect("a write");
            }
        });
        if durable && self.device == Device::FlushOnly {
            self.models.iter_mut().for_each(Model::flush);
        }
        for (block, stamp) in (block..).zip(stamps) {
            self.models[file].write(self.device, block, stamp);
        }
        if durable {
            self.models[file].make_durable(block..block + blocks);
        }
    }

    fn crash(&mut self, power_cut: bool) -> Result<(), TestCaseError> {
        self.files.clear();
        self.world.kill(self.node, if power_cut { Crash::PowerCut } else { Crash::Process });
        for (file, model) in self.models.iter_mut().enumerate() {
            let contents = self.world.disk(self.node).read(&path(file)).expect("its name is durable");
            let found = stamps(&contents);
            match power_cut {
                true => model.find(&found)?,
                false => prop_assert_eq!(found, model.now()),
            }
        }
        self.open();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_leaves_what_the_model_allows(
        seed: u64,
        device in prop::sample::select(DEVICES.to_vec()),
        steps in steps(),
    ) {
        let mut rig = Rig::new(seed, device);
        for step in steps {
            rig.run(step)?;
        }
        rig.crash(true)?;
    }
}
