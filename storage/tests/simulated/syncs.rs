//! The checks see what a missing sync loses: each sync is left out in turn, and worlds must fail.

use crate::{
    batches::Shape,
    drive::{Life, Setup, Shared, append, data, with_fault},
};
use millrace_runtime::sim::{Crash, Device, DiskOptions, NodeOptions, World, WorldOptions};
use millrace_storage::{Durability, Fault, LogOptions};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

/// Appends batches of these sizes, each acknowledged before the next, cuts the power and looks.
fn lose_power(seed: u64, device: Device, setup: &Setup, value_lens: &'static [usize]) {
    let world = World::new(seed, WorldOptions::default());
    let node = world.add_node("node", NodeOptions { disk: DiskOptions { device, ..DiskOptions::default() } });
    let model = Shared::default();
    let (setup, shared) = (setup.clone(), Rc::clone(&model));
    let (before, after) = (setup.clone(), setup);
    world.block_on(node, async move {
        let life = Life::open(&before, 1).await;
        let log = life.log(data(0), &before).await;
        shared.borrow_mut().logs.entry(data(0)).or_default();
        for (id, &value_len) in value_lens.iter().enumerate() {
            append(&log, &shared, &Shape::plain(id as u64, value_len).build()).await.unwrap();
            log.durable().await.unwrap();
            let end = log.end_offset();
            shared.borrow_mut().logs.get_mut(&data(0)).unwrap().acknowledge(end);
        }
        std::mem::forget(life);
    });
    world.kill(node, Crash::PowerCut);
    world.block_on(node, async move {
        let life = Life::open(&after, 1).await;
        life.check(&model).await;
    });
}

/// How many of some worlds fail.
fn failures(device: Device, setup: &Setup, value_lens: &'static [usize]) -> usize {
    let fails = |seed: &u64| {
        let world = || lose_power(*seed, device, setup, value_lens);
        catch_unwind(AssertUnwindSafe(world)).is_err()
    };
    (0..16).filter(fails).count()
}

const SMALL: &[usize] = &[100; 12];
const LARGE: &[usize] = &[30_000; 4];
/// Enough that files of the journal are written again.
const MANY: &[usize] = &[10_000; 60];

const DEVICES: [Device; 3] = [Device::NoCache, Device::Fua, Device::FlushOnly];

#[test]
fn with_all_syncs_nothing_is_lost() {
    for device in DEVICES {
        for value_lens in [SMALL, LARGE, MANY] {
            assert_eq!(failures(device, &Setup::small(), value_lens), 0, "{device:?}");
        }
    }
}

#[test]
fn without_the_journals_sync_appends_are_lost() {
    let setup = with_fault(Setup::small(), Fault { skip_journal_sync: true, ..Fault::NONE });
    for device in [Device::Fua, Device::FlushOnly] {
        assert!(failures(device, &setup, SMALL) > 0, "{device:?}");
    }
    // Without a cache a completed write is on the medium, and the journal's blocks are written before they are used.
    assert_eq!(failures(Device::NoCache, &setup, SMALL), 0);
}

#[test]
fn without_the_segments_sync_large_appends_are_lost() {
    let setup = with_fault(Setup::small(), Fault { skip_segment_sync: true, ..Fault::NONE });
    for device in DEVICES {
        assert!(failures(device, &setup, LARGE) > 0, "{device:?}");
    }
}

#[test]
fn without_the_segments_sync_a_recycled_journal_loses() {
    let mut setup = with_fault(Setup::small(), Fault { skip_segment_sync: true, ..Fault::NONE });
    setup.options.direct_append_bytes = 1 << 20;
    for device in DEVICES {
        assert!(failures(device, &setup, MANY) > 0, "{device:?}");
    }
}

#[test]
fn without_names_made_durable_files_are_lost() {
    let setup = with_fault(Setup::small(), Fault { skip_dir_sync: true, ..Fault::NONE });
    for device in DEVICES {
        assert!(failures(device, &setup, LARGE) > 0, "{device:?}");
    }
}

/// A log that is only handed to the operating system shares the journal with one that is synced: the sync of the
/// second must cover frames of the first, or the chain would break.
#[test]
fn a_weak_log_does_not_weaken_its_neighbour() {
    for seed in 0..24 {
        let device = DEVICES[seed as usize % 3];
        let world = World::new(seed, WorldOptions::default());
        let node =
            world.add_node("node", NodeOptions { disk: DiskOptions { device, ..DiskOptions::default() } });
        let model = Shared::default();
        let shared = Rc::clone(&model);
        world.block_on(node, async move {
            let setup = Setup::small();
            let life = Life::open(&setup, 1).await;
            let weak = LogOptions { durability: Durability::Os, ..setup.log };
            let weak = life.stores[0].create(data(4), weak).await.unwrap();
            let log = life.log(data(0), &setup).await;
            shared.borrow_mut().logs.entry(data(0)).or_default();
            for id in 0..30 {
                let sample = Shape::plain(id, 3000).build();
                weak.append(&sample.as_batch(), None).await.unwrap().durable.await.unwrap();
                if id % 3 == 0 {
                    append(&log, &shared, &sample).await.unwrap();
                    log.durable().await.unwrap();
                    let end = log.end_offset();
                    shared.borrow_mut().logs.get_mut(&data(0)).unwrap().acknowledge(end);
                }
            }
            shared.borrow_mut().logs.entry(data(4)).or_default();
            std::mem::forget(life);
        });
        world.kill(node, Crash::PowerCut);
        world.block_on(node, async move {
            let life = Life::open(&Setup::small(), 1).await;
            model.borrow_mut().logs.remove(&data(4));
            let keys: Vec<_> = life.stores[0].logs().iter().map(millrace_storage::Log::key).collect();
            for key in keys.into_iter().filter(|key| *key != data(0)) {
                life.stores[0].remove(key.topic, key.partition).await.unwrap();
            }
            life.check(&model).await;
        });
    }
}
