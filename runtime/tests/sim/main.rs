//! The simulated backend: what a world promises, and that it takes no more than it may.

mod crashes;
mod determinism;
mod disk;
mod disk_model;
mod faults;
mod network;
mod power;
mod tasks;

use millrace_runtime::sim::{Device, DiskOptions, NodeId, NodeOptions, World, WorldOptions};

const DEVICES: [Device; 3] = [Device::NoCache, Device::Fua, Device::FlushOnly];

/// A world with one node.
fn one_node(seed: u64, device: Device) -> (World, NodeId) {
    let world = World::new(seed, WorldOptions::default());
    let disk = DiskOptions { device, ..DiskOptions::default() };
    let node = world.add_node("a", NodeOptions { disk });
    (world, node)
}
