//! A scripted history that crashes at each of its steps on disk, once right before the step takes effect and once right
//! after.

use crate::{
    acts,
    batches::{Sample, Shape},
    drive::{Life, Setup, Shared, append, data, stage},
};
use millrace_runtime::sim::{Crash, Device, DiskOptions, IoStep, NodeId, NodeOptions, World, WorldOptions};
use millrace_storage::LogKey;
use std::rc::Rc;

const SEED: u64 = 4711;

fn setup() -> Setup {
    let mut setup = Setup::small();
    setup.dirs.truncate(1);
    setup.log.segment_bytes = 48 << 10;
    setup
}

fn sample(model: &Shared, value_len: usize) -> Sample {
    let id = {
        let mut model = model.borrow_mut();
        model.next_id += 1;
        model.next_id
    };
    Shape::plain(id, value_len).build()
}

async fn append_some(life: &Life, setup: &Setup, model: &Shared, key: LogKey, value_lens: &[usize]) {
    let log = life.log(key, setup).await;
    model.borrow_mut().logs.entry(key).or_default();
    for &value_len in value_lens {
        append(&log, model, &sample(model, value_len)).await.unwrap();
    }
    log.durable().await.unwrap();
}

/// Everything that a store does, at least once: making logs, small and large appends, beginning segments, freeing
/// journal files, staging and splicing, moving the start, cutting, removing, closing, and starting with another number
/// of shards.
async fn script(setup: Setup, model: Shared) {
    let life = Life::open(&setup, 2).await;
    append_some(&life, &setup, &model, data(0), &[100, 5000, 30_000, 200]).await;
    append_some(&life, &setup, &model, data(1), &[9000; 7]).await;
    for _ in 0..2 {
        stage(&life, &setup, &model, data(0)).await;
    }
    for _ in 0..3 {
        append_some(&life, &setup, &model, data(0), &[11_000; 5]).await;
        append_some(&life, &setup, &model, data(1), &[11_000; 5]).await;
    }
    let log = life.log(data(1), &setup).await;
    acts::advance_start(&log, &model).await;
    acts::cut(&log, &model).await;
    append_some(&life, &setup, &model, data(1), &[300, 20_000]).await;
    append_some(&life, &setup, &model, data(2), &[50]).await;
    acts::remove(&life, &model, data(2)).await;
    life.close().await;
    let life = Life::open(&setup, 1).await;
    life.check(&model).await;
    life.recommit(&model).await;
    append_some(&life, &setup, &model, data(0), &[700, 15_000]).await;
    append_some(&life, &setup, &model, data(1), &[700]).await;
    // This life is not closed.
}

fn world(device: Device) -> (World, NodeId) {
    let world = World::new(SEED, WorldOptions::default());
    let node = world.add_node("node", NodeOptions { disk: DiskOptions { device, ..DiskOptions::default() } });
    (world, node)
}

/// Runs the script up to the step, and looks what is left.
fn crash_at(device: Device, step: IoStep, crash: Crash) {
    let (world, node) = world(device);
    let model = Shared::default();
    world.crash_at_io(node, step, crash);
    if world.try_block_on(node, script(setup(), Rc::clone(&model))).is_ok() {
        world.kill(node, crash);
    }
    world.block_on(node, async move {
        let setup = setup();
        let life = Life::open(&setup, 1).await;
        life.check(&model).await;
        life.recommit(&model).await;
        append_some(&life, &setup, &model, data(0), &[100]).await;
        life.close().await;
        let life = Life::open(&setup, 2).await;
        assert!(life.is_clean);
        life.check(&model).await;
    });
}

/// Every `stride`th step from `first` on.
fn sweep(device: Device, first: u64, stride: u64) {
    let (world, node) = world(device);
    let model = Shared::default();
    world.block_on(node, script(setup(), Rc::clone(&model)));
    let steps = world.io_steps(node);
    assert!(steps > 200, "the script has {steps} steps");
    for step in (first..steps).step_by(stride as usize) {
        crash_at(device, IoStep::Before(step), Crash::PowerCut);
        crash_at(device, IoStep::After(step), Crash::PowerCut);
    }
}

#[test]
fn every_even_step_with_fua() {
    sweep(Device::Fua, 0, 2);
}

#[test]
fn every_odd_step_with_fua() {
    sweep(Device::Fua, 1, 2);
}

#[test]
fn some_steps_without_a_cache() {
    sweep(Device::NoCache, 3, 11);
}

#[test]
fn some_steps_with_a_cache_to_be_flushed() {
    sweep(Device::FlushOnly, 5, 11);
}
