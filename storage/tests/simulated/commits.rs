//! Commits on a disk that is full: what was staged can be spliced, in this life and in the next.
//!
//! A scripted history runs once for each of its steps on disk; from that step on there is no space at all. Appends and
//! pieces may be refused then, but no splice of what was staged.

use crate::{
    batches::{Sample, Shape},
    drive::{Life, Setup, data},
    model::{Known, read_all},
};
use millrace_runtime::sim::{Crash, DiskOptions, NodeId, NodeOptions, World, WorldOptions};
use millrace_storage::{AppendError, Log, LogKey, Piece, PieceMark};
use std::{cell::RefCell, rc::Rc};

const EPOCHS: u64 = 10;
/// Epochs that are staged before the first of them is spliced.
const OPEN: usize = 3;
/// The last epochs, committed right before the power goes.
const LEFT: usize = 2;
const CAPACITY: u64 = 64 << 20;

fn setup() -> Setup {
    let mut setup = Setup::small();
    setup.dirs.truncate(1);
    setup.log.segment_bytes = 48 << 10;
    setup
}

/// What is known of the partition.
#[derive(Default)]
struct Story {
    /// Payloads in the order in which they got their offsets.
    expected: Vec<Known>,
    /// Committed epochs with their pieces.
    committed: Vec<(u64, Vec<Piece>, Vec<Known>)>,
    /// How many of them are spliced.
    spliced: usize,
    refused: usize,
    is_over: bool,
}

type Shared = Rc<RefCell<Story>>;

fn sample(epoch: u64, number: u64) -> Sample {
    let value_len = [9000, 200, 3000][((epoch + number) % 3) as usize];
    Shape::plain(epoch * 100 + number, value_len).build()
}

/// A client's append. Only the space may be missing.
async fn append(log: &Log, story: &Shared, sample: &Sample) {
    match log.append(&sample.as_batch(), None).await {
        Ok(appended) => {
            story.borrow_mut().expected.push(Known::of(&sample.header, appended.base_offset));
            appended.durable.await.unwrap();
        }
        Err(AppendError::Exhausted(_)) => story.borrow_mut().refused += 1,
        Err(error) => panic!("{error}"),
    }
}

/// Stages what two tasks have in an epoch; the epoch is committed if all of it found space.
async fn stage(log: &Log, staged: &Log, story: &Shared, epoch: u64) {
    let (mut pieces, mut batches) = (Vec::new(), Vec::new());
    for task in 0..2u32 {
        let samples: Vec<_> = (1..4).map(|number| sample(epoch, u64::from(task) * 10 + number)).collect();
        let views: Vec<_> = samples.iter().map(Sample::as_batch).collect();
        let mark = PieceMark { job: [7; 16], attempt: 1, epoch, task };
        match staged.stage(log, mark, &views).await {
            Ok(done) => {
                done.durable.await.unwrap();
                pieces.push(done.piece);
                batches.extend(samples.iter().map(|sample| Known::of(&sample.header, 0)));
            }
            Err(AppendError::Exhausted(_)) => {
                pieces.iter().for_each(|piece| staged.release(piece));
                story.borrow_mut().refused += 1;
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    // One that is given up now and then.
    if epoch.is_multiple_of(4) {
        return pieces.iter().for_each(|piece| staged.release(piece));
    }
    story.borrow_mut().committed.push((epoch, pieces, batches));
}

/// Splices the first epoch that is not.
async fn splice(log: &Log, staged: &Log, story: &Shared) {
    let (epoch, pieces, batches) = {
        let story = story.borrow();
        story.committed[story.spliced].clone()
    };
    let end = log.splice(staged, epoch, &pieces).await;
    assert!(end.is_ok(), "epoch {epoch} is committed and has no place: {end:?}");
    log.durable().await.unwrap();
    assert_eq!(log.high_watermark(), log.end_offset(), "it is there to be read");
    let mut story = story.borrow_mut();
    story.spliced += 1;
    story.expected.extend(batches);
}

async fn script(story: Shared) {
    let setup = setup();
    let life = Life::open(&setup, 1).await;
    let log = life.log(data(0), &setup).await;
    let staged = life.log(LogKey::staged(data(0).topic, 0), &setup).await;
    for epoch in 1..=EPOCHS {
        append(&log, &story, &sample(epoch, 50)).await;
        stage(&log, &staged, &story, epoch).await;
        // What others append does not take what was promised.
        append(&log, &story, &sample(epoch, 51)).await;
        if story.borrow().committed.len() >= story.borrow().spliced + OPEN {
            splice(&log, &staged, &story).await;
        }
    }
    while story.borrow().committed.len() > story.borrow().spliced + LEFT {
        splice(&log, &staged, &story).await;
    }
    story.borrow_mut().is_over = true;
    std::mem::forget(life);
}

async fn check(story: &Shared, log: &Log) {
    let found = read_all(log, 1 << 20).await;
    let sums = |known: &[Known]| known.iter().map(|known| known.payload_checksum).collect::<Vec<_>>();
    assert_eq!(sums(&found), sums(&story.borrow().expected));
}

/// The next life: it begins on the full disk, and what was committed before the power went finds its place without a
/// block more.
async fn resume(world: &World, node: NodeId, story: &Shared) {
    let setup = setup();
    let life = Life::open(&setup, 1).await;
    world.disk(node).set_capacity(0);
    let key = LogKey::staged(data(0).topic, 0);
    if let (Some(log), Some(staged)) = (life.stores[0].log(data(0)), life.stores[0].log(key)) {
        let pieces = staged.pieces().await.unwrap();
        let committed = story.borrow().committed.clone();
        for (epoch, of_epoch, _) in &committed {
            let is_there = of_epoch.iter().all(|piece| pieces.contains(piece));
            if is_there {
                let end = log.splice(&staged, *epoch, of_epoch).await;
                assert!(end.is_ok(), "after the start, epoch {epoch} has no place: {end:?}");
            } else {
                assert!(log.spliced().commit >= *epoch, "epoch {epoch} was neither spliced nor kept");
            }
        }
        let left = committed[story.borrow().spliced..].iter().flat_map(|(_, _, batches)| batches.clone());
        story.borrow_mut().expected.extend(left);
        check(story, &log).await;
        world.disk(node).set_capacity(CAPACITY);
        append(&log, story, &sample(99, 0)).await;
        check(story, &log).await;
        assert_eq!(story.borrow().refused, 0, "there is space again");
    }
    life.close().await;
}

/// Lets the disk be full from this step on. Tells how many steps there were, and whether anything was refused.
fn full_from(step: u64, crash: Crash) -> (u64, bool) {
    let world = World::new(815, WorldOptions::default());
    let disk = DiskOptions { capacity: CAPACITY, ..DiskOptions::default() };
    let node = world.add_node("node", NodeOptions { disk });
    let story = Shared::default();
    let running = world.spawn(node, script(Rc::clone(&story)));
    let is_over = || story.borrow().is_over;
    world.run_until(|| is_over() || world.io_steps(node) >= step);
    world.disk(node).set_capacity(0);
    world.run_until(is_over);
    drop(running);
    let (steps, was_refused) = (world.io_steps(node), story.borrow().refused > 0);
    world.kill(node, crash);
    story.borrow_mut().refused = 0;
    world.disk(node).set_capacity(CAPACITY);
    world.disk(node).fill();
    world.block_on(node, resume(&world, node, &story));
    (steps, was_refused)
}

/// The step at which the life is open.
fn first_step() -> u64 {
    let world = World::new(815, WorldOptions::default());
    let node = world.add_node("node", NodeOptions::default());
    world.block_on(node, async { std::mem::forget(Life::open(&setup(), 1).await) });
    world.io_steps(node)
}

fn sweep(crash: Crash, stride: usize) {
    let first = first_step();
    let (steps, was_refused) = full_from(u64::MAX, crash);
    assert!(!was_refused, "there is space for the whole story");
    assert!(steps > first + 80, "the story has {} steps", steps - first);
    let refused = (first..steps).step_by(stride).filter(|step| full_from(*step, crash).1).count();
    assert!(refused > 0, "the disk was never full in time");
}

#[test]
fn commits_find_space_whenever_the_disk_is_full_and_the_power_goes() {
    sweep(Crash::PowerCut, 2);
}

#[test]
fn commits_find_space_whenever_the_disk_is_full_and_the_process_is_killed() {
    sweep(Crash::Process, 3);
}
