//! Nothing acknowledged is lost: a producer works while the server is killed or its power is cut, again and again, and starts again
//! with another number of shards each time.

use crate::{
    basics::{TOPIC, create, read_all},
    house::House,
};
use millrace::config::Durability;
use millrace_net::client::{Producer, ProducerOptions, producer::NewRecord};
use millrace_runtime::{
    sim::{Crash, Device, seeds},
    spawn,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

const PARTITIONS: i32 = 4;

/// Offsets that were acknowledged, by partition, with what was sent there.
type Acknowledged = Rc<RefCell<BTreeMap<(i32, i64), Vec<u8>>>>;

/// Sends numbered records of many sizes until the producer fails or `over` is set, and notes what is acknowledged.
fn produce(house: &House, first: u64, over: &Rc<Cell<bool>>, acknowledged: &Acknowledged) {
    let over = Rc::clone(over);
    let cluster = house.cluster();
    let acknowledged = Rc::clone(acknowledged);
    house.world.spawn(house.clients, async move {
        let options = ProducerOptions { linger: Duration::from_micros(200), ..ProducerOptions::default() };
        let Ok(producer) = Producer::new(cluster, options).await else { return };
        for number in first.. {
            if over.get() {
                return;
            }
            let mut value = number.to_le_bytes().to_vec();
            // Most are small, some go to their segment directly.
            value.resize(if number % 97 == 0 { 90_000 } else { 8 + (number % 300) as usize }, number as u8);
            let partition = (number % PARTITIONS as u64) as i32;
            let record = NewRecord { value: Some(&value), ..NewRecord::default() };
            let Ok(delivery) = producer.send(TOPIC, Some(partition), record).await else { return };
            let acknowledged = Rc::clone(&acknowledged);
            drop(spawn(async move {
                if let Ok(offset) = delivery.offset().await {
                    let known = acknowledged.borrow_mut().insert((partition, offset), value);
                    assert!(known.is_none(), "offset {offset} of {partition} was given twice");
                }
            }));
        }
    });
}

fn survives(seed: u64, device: Device, crash: Crash, durability: Durability) {
    let house = House::new(seed, device);
    house.acknowledge(durability);
    house.start(2);
    house.client(async { create(&house.cluster(), PARTITIONS).await });
    let acknowledged = Acknowledged::default();
    for round in 0..4u64 {
        let over = Rc::new(Cell::new(false));
        produce(&house, round * 1_000_000, &over, &acknowledged);
        let wait = 50_000 + house.world.random_u64() % 200_000;
        house.world.run_for(Duration::from_micros(wait));
        over.set(true);
        house.crash(crash);
        // What is in flight is sent again after the restart, and acknowledged while we read.
        let before = acknowledged.borrow().clone();
        house.start([1, 2, 4, 3][round as usize]);
        let found = house.client(async { read_all(&house.cluster(), PARTITIONS).await });
        for ((partition, offset), value) in &before {
            let records = &found[partition];
            let at = usize::try_from(*offset).unwrap();
            assert_eq!(records.get(at).map(|(_, found)| found), Some(value), "{partition} at {offset}");
        }
        for records in found.values() {
            assert!(records.iter().enumerate().all(|(at, (offset, _))| at as i64 == *offset), "no gaps");
        }
    }
    assert!(acknowledged.borrow().len() > 10, "the rounds were long enough to acknowledge something");
}

#[test]
fn after_kills_of_the_process() {
    seeds(4).for_each(|seed| survives(seed, Device::Fua, Crash::Process, Durability::Fsync));
}

#[test]
fn after_kills_of_the_process_where_nothing_is_synced() {
    seeds(4).for_each(|seed| survives(seed, Device::FlushOnly, Crash::Process, Durability::Os));
}

#[test]
fn after_power_cuts_on_a_disk_without_cache() {
    seeds(4).for_each(|seed| survives(seed, Device::NoCache, Crash::PowerCut, Durability::Fsync));
}

#[test]
fn after_power_cuts_on_a_disk_with_fua() {
    seeds(6).for_each(|seed| survives(seed, Device::Fua, Crash::PowerCut, Durability::Fsync));
}

#[test]
fn after_power_cuts_on_a_disk_that_only_flushes() {
    seeds(4).for_each(|seed| survives(seed, Device::FlushOnly, Crash::PowerCut, Durability::Fsync));
}
