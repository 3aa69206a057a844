//! A program that keeps its promises is found to keep them wherever it is interrupted, and one that does not is found out.

use crate::DEVICES;
use millrace_runtime::{
    AlignedBuf, File, OpenOptions, Queue, fs,
    sim::{Crash, Device, DiskOptions, IoStep, NodeId, NodeOptions, World, WorldOptions, seeds},
    sleep, spawn_into,
};
use std::{cell::Cell, io, path::Path, rc::Rc, time::Duration};

const BLOCK: usize = 4096;
const LOG: &str = "/dir/log";

/// How the log makes its entries durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    DurableWrite,
    WriteAndSync,
    /// Wrong, but on a device without a cache and in space that was written before.
    WriteOnly,
    /// Wrong: the file's name may be lost.
    WithoutDirectorySync,
}

/// Appends numbers and tells of each when it should be safe.
async fn append(way: Way, first: u64, last: u64, acknowledged: Rc<Cell<u64>>) -> io::Result<()> {
    fs::create_dir_all(Path::new("/dir")).await?;
    let file = File::open(Path::new(LOG), OpenOptions { create: true, ..OpenOptions::WRITE }).await?;
    if way != Way::WithoutDirectorySync {
        // What a process that was killed has left is there, but not yet durable.
        file.sync_data().await?;
        fs::sync_dir(Path::new("/dir")).await?;
        fs::sync_dir(Path::new("/")).await?;
    }
    for number in first..last {
        let mut block = AlignedBuf::zeroed(BLOCK);
        block.chunks_mut(8).for_each(|word| word.copy_from_slice(&number.to_le_bytes()));
        let position = (number - 1) * BLOCK as u64;
        match way {
            Way::DurableWrite | Way::WithoutDirectorySync => {
                file.write_durable_at(position, block, BLOCK).await.0?;
            }
            Way::WriteAndSync => {
                file.write_at(position, block.freeze()).await?;
                file.sync_data().await?;
            }
            Way::WriteOnly => file.write_at(position, block.freeze()).await?,
        }
        acknowledged.set(number);
    }
    Ok(())
}

/// The length of the log's unbroken beginning.
fn recovered(world: &World, node: NodeId) -> u64 {
    let contents = world.disk(node).read(Path::new(LOG)).unwrap_or_default();
    let is_whole = |number: u64, block: &[u8]| block.chunks(8).all(|word| word == number.to_le_bytes());
    (1..).zip(contents.chunks(BLOCK)).take_while(|(number, block)| is_whole(*number, block)).count() as u64
}

fn world(seed: u64, device: Device) -> (World, NodeId) {
    let world = World::new(seed, WorldOptions::default());
    let disk = DiskOptions { device, ..DiskOptions::default() };
    let node = world.add_node("a", NodeOptions { disk });
    (world, node)
}

/// Crashes before and after every step of appending, and counts the worlds in which something acknowledged was lost.
fn losses(way: Way, device: Device, crash: Crash, worlds: u64) -> usize {
    let (plan, node) = world(0, device);
    plan.block_on(node, append(way, 1, 6, Rc::default())).expect("nothing fails");
    let steps = plan.io_steps(node);
    let moments = |seed| {
        (0..steps).flat_map(|step| [IoStep::Before(step), IoStep::After(step)]).map(move |at| (at, seed))
    };
    let is_lost = |(at, seed)| {
        let (world, node) = world(seed, device);
        let acknowledged = Rc::new(Cell::new(0));
        world.crash_at_io(node, at, crash);
        let killed = world.try_block_on(node, append(way, 1, 6, Rc::clone(&acknowledged)));
        assert!(killed.is_err(), "{at:?} was never reached");
        let found = recovered(&world, node);
        // It goes on where it stopped, and all is well if nothing more happens.
        let rest = append(Way::DurableWrite, found + 1, 8, Rc::clone(&acknowledged));
        let safe = acknowledged.get();
        world.block_on(node, rest).expect("nothing fails");
        world.kill(node, Crash::PowerCut);
        assert_eq!(recovered(&world, node), 7, "seed {seed:#x}, {at:?}");
        found < safe
    };
    seeds(worlds).flat_map(moments).filter(|moment| is_lost(*moment)).count()
}

#[test]
fn a_log_that_syncs_loses_nothing_at_any_step() {
    for device in DEVICES {
        for way in [Way::DurableWrite, Way::WriteAndSync] {
            for crash in [Crash::Process, Crash::PowerCut] {
                assert_eq!(losses(way, device, crash, 10), 0, "{way:?} {device:?} {crash:?}");
            }
        }
    }
}

#[test]
fn a_log_that_does_not_is_found_out() {
    for device in DEVICES {
        for way in [Way::WriteOnly, Way::WithoutDirectorySync] {
            assert!(losses(way, device, Crash::PowerCut, 10) > 0, "{way:?} {device:?}");
            assert_eq!(losses(way, device, Crash::Process, 3), 0, "{way:?} {device:?}");
        }
    }
}

#[test]
fn a_node_killed_again_and_again_at_any_moment_keeps_what_it_acknowledged() {
    for seed in seeds(40) {
        let (world, node) = world(seed, DEVICES[seed as usize % 3]);
        let acknowledged = Rc::new(Cell::new(0));
        for _ in 0..10 {
            let found = recovered(&world, node);
            assert!(found >= acknowledged.get(), "{found} of {} were found", acknowledged.get());
            let report = Rc::clone(&acknowledged);
            let running = world.launch(node, 2, move |shard| {
                let report = Rc::clone(&report);
                async move {
                    // One shard writes, the other one only makes the first one's life harder.
                    if shard.id.0 == 0 {
                        append(Way::WriteAndSync, found + 1, u64::MAX, report).await.expect("nothing fails");
                    }
                    loop {
                        drop(spawn_into(Queue::Background, fs::exists(Path::new(LOG))));
                        sleep(Duration::from_micros(300)).await;
                    }
                }
            });
            world.run_for(Duration::from_nanos(world.random_u64() % 30_000_000));
            world.kill(
                node,
                if world.random_u64().is_multiple_of(2) { Crash::Process } else { Crash::PowerCut },
            );
            assert!(running.is_killed());
        }
        assert!(acknowledged.get() > 0);
    }
}
