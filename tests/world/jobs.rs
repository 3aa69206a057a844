//! Jobs inside the server: whatever is killed when, the committed output is that of a sequential oracle.

use crate::{
    flows::{WINDOW_MS, jobs, parse_timed},
    house::House,
    play::{
        PARTITIONS, check, create, has_not_failed, job, produce, produce_for, read, read_sorted, run, send,
        settles,
    },
};
use millrace::config::Durability;
use millrace_net::client::{Consumer, ConsumerOptions};
use millrace_runtime::{
    sim::{Crash, Device, seeds},
    sleep,
};
use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

/// Sometimes with long records, sometimes with frames of a record, one at a time.
fn parameters(seed: u64) -> Vec<(&'static str, &'static str)> {
    let tight = if seed % 3 == 2 { "true" } else { "false" };
    vec![("padding", if seed % 2 == 1 { "1000" } else { "0" }), ("tight", tight)]
}

#[test]
fn a_job_writes_what_a_sequential_program_would() {
    for seed in seeds(3) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(1 + (seed % 3) as u16);
        create(&house, &["in", "out"]);
        let id = run(&house, job("running", &parameters(seed)));
        produce_for(&house, 0, Duration::from_millis(200));
        settles(&house, "in", "out");
        has_not_failed(&house, id);
        house.stop();
    }
}

/// Crashes at random moments, in every second round once more or twice while the server starts.
fn survives(seed: u64, device: Device, crash: Crash, durability: Durability) {
    let house = House::with_jobs(seed, device, jobs());
    house.acknowledge(durability);
    house.start(2);
    create(&house, &["in", "out"]);
    let id = run(&house, job("running", &parameters(seed)));
    for round in 0..5u64 {
        let wait = 10_000 + house.world.random_u64() % 60_000;
        produce_for(&house, round * 1_000_000, Duration::from_micros(wait));
        has_not_failed(&house, id);
        house.crash(crash);
        let shards = [1, 2, 4, 3, 2][round as usize];
        for again in 0..house.world.random_u64() % 3 * (round % 2) {
            house.launch(shards + again as u16);
            house.world.run_for(Duration::from_micros(house.world.random_u64() % 20_000));
            house.crash(crash);
        }
        house.start(shards);
        house.client(async { check(&house.cluster(), "in", "out").await });
    }
    // Those before may all have been cut short before the first record.
    produce_for(&house, 9_000_000, Duration::from_millis(60));
    settles(&house, "in", "out");
    has_not_failed(&house, id);
    house.stop();
}

#[test]
fn after_kills_of_the_process() {
    seeds(3).for_each(|seed| survives(seed, Device::Fua, Crash::Process, Durability::Fsync));
}

#[test]
fn after_power_cuts_on_a_disk_without_cache() {
    seeds(3).for_each(|seed| survives(seed, Device::NoCache, Crash::PowerCut, Durability::Fsync));
}

#[test]
fn after_power_cuts_on_a_disk_with_fua() {
    seeds(4).for_each(|seed| survives(seed, Device::Fua, Crash::PowerCut, Durability::Fsync));
}

#[test]
fn after_power_cuts_on_a_disk_that_only_flushes() {
    seeds(3).for_each(|seed| survives(seed, Device::FlushOnly, Crash::PowerCut, Durability::Fsync));
}

/// A power cut takes records of clients, but none that a job has made something of.
#[test]
fn where_records_are_not_synced() {
    seeds(2).for_each(|seed| survives(seed, Device::FlushOnly, Crash::Process, Durability::Os));
    seeds(4).for_each(|seed| survives(seed, Device::FlushOnly, Crash::PowerCut, Durability::Os));
}

/// Told to stop while records come, pieces are staged and commits are published, the server answers who still reads.
#[test]
fn a_stop_is_clean_whatever_is_under_way() {
    for seed in seeds(6) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(3);
        create(&house, &["in", "out"]);
        let id = run(&house, job("running", &parameters(seed)));
        for round in 0..2u64 {
            let over = Rc::new(Cell::new(false));
            produce(&house, round * 1_000_000, &over);
            for _ in 0..3 {
                let cluster = house.cluster();
                house.world.spawn(house.clients, async move {
                    let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
                    (0..PARTITIONS).for_each(|partition| consumer.assign("out", partition, 0));
                    while consumer.poll().await.is_ok() {}
                });
            }
            house.world.run_for(Duration::from_micros(10_000 + house.world.random_u64() % 40_000));
            over.set(true);
            house.stop();
            house.start([2, 1][round as usize]);
        }
        produce_for(&house, 9_000_000, Duration::from_millis(60));
        settles(&house, "in", "out");
        has_not_failed(&house, id);
        house.stop();
    }
}

/// Timed records of a round, most in order, some late, spread over the partitions.
fn timed(house: &House, round: i64) -> Vec<(i32, String)> {
    let record = |number: i64| {
        let (random, key) = (house.world.random_u64(), house.world.random_u64() % 5);
        let behind = if random % 10 == 0 { 10 * WINDOW_MS } else { (random % 30) as i64 };
        let at = 10_000 + round * 1_000 + number * 3 - behind;
        ((random / 16 % 4) as i32, format!("{key} {number} {at}"))
    };
    (0..200).map(record).collect()
}

/// What windows of these records come to, without those that were late.
fn windowed(input: &[String], late: &[String]) -> Vec<String> {
    let mut windows = BTreeMap::<(u64, i64), (u64, u64)>::new();
    let mut late = late.to_vec();
    for value in input {
        if let Some(at) = late.iter().position(|late| late == value) {
            late.swap_remove(at);
            continue;
        }
        let (key, number, at) = parse_timed(value.as_bytes()).unwrap();
        let window = windows.entry((key, at - at.rem_euclid(WINDOW_MS))).or_default();
        *window = (window.0 + 1, window.1 + number);
    }
    assert!(late.is_empty(), "late, and never there: {late:?}");
    let row = |((key, start), (count, sum))| format!("{key} {start} {count} {sum}");
    let mut rows: Vec<_> = windows.into_iter().map(row).collect();
    rows.sort();
    rows
}

/// Every record is in its window or late, exactly once; every window is written once.
fn windows_survive(seed: u64, crash: Crash) {
    const LAST_MS: i64 = 1_000_000;
    let house = House::with_jobs(seed, Device::Fua, jobs());
    house.start(2);
    create(&house, &["in", "out", "late"]);
    let id = run(&house, job("windows", &[]));
    for round in 0..5 {
        send(&house, "in", timed(&house, round));
        house.world.run_for(Duration::from_micros(house.world.random_u64() % 20_000));
        has_not_failed(&house, id);
        house.crash(crash);
        house.start([4, 1, 3, 2, 4][round as usize]);
    }
    // The time of every partition passes all windows but one for each partition's last key.
    send(
        &house,
        "in",
        (0..4).map(|partition| (partition, format!("{} 0 {LAST_MS}", 100 + partition))).collect(),
    );
    let is_last = |row: &String| parse_timed(row.as_bytes()).unwrap().0 >= 100;
    house.client(async {
        let cluster = house.cluster();
        let input: Vec<_> =
            read(&cluster, "in").await.concat().into_iter().filter(|row| !is_last(row)).collect();
        loop {
            let late = read_sorted(&cluster, "late").await;
            let output = read_sorted(&cluster, "out").await;
            let is_once = output.windows(2).all(|rows| rows[0] != rows[1]);
            assert!(is_once, "a window is written once");
            if output == windowed(&input, &late) {
                assert!(!late.is_empty(), "some are late");
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    has_not_failed(&house, id);
    house.stop();
}

#[test]
fn windows_and_late_records_after_crashes() {
    for seed in seeds(3) {
        windows_survive(seed, if seed % 2 == 0 { Crash::PowerCut } else { Crash::Process });
    }
}
