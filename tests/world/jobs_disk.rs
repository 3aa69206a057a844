//! Jobs on a disk that is full, and has space again.

use crate::{
    flows::jobs,
    house::House,
    play::{check, create, has_not_failed, job, produce, produce_for, run, settles},
};
use millrace_runtime::sim::{Crash, Device, seeds};
use std::{cell::Cell, rc::Rc, time::Duration};

/// Nothing fails, and nothing is lost. Readers may have to wait too: committed output that has no place yet is theirs to see.
fn waits_for_space(seed: u64, crash: Option<Crash>) {
    let house = House::with_jobs(seed, Device::Fua, jobs());
    house.disk().set_capacity(128 << 20);
    house.start(1 + (seed % 3) as u16);
    create(&house, &["in", "out"]);
    let id = run(&house, job("running", &[("padding", if seed.is_multiple_of(2) { "0" } else { "3000" })]));
    let over = Rc::new(Cell::new(false));
    produce(&house, 0, &over);
    house.world.run_for(Duration::from_micros(10_000 + house.world.random_u64() % 50_000));
    house.fill();
    // Long enough for a job that failed at once to be given up.
    house.world.run_for(Duration::from_secs(6));
    over.set(true);
    has_not_failed(&house, id);
    if let Some(crash) = crash {
        house.crash(crash);
    }
    house.disk().set_capacity(1 << 30);
    if crash.is_some() {
        house.start(2);
        house.client(async { check(&house.cluster(), "in", "out").await });
    }
    produce_for(&house, 1_000_000, Duration::from_millis(100));
    settles(&house, "in", "out");
    has_not_failed(&house, id);
    house.stop();
}

#[test]
fn a_job_waits_until_the_disk_has_space_again() {
    seeds(2).for_each(|seed| waits_for_space(seed, None));
}

#[test]
fn a_power_cut_while_the_disk_is_full() {
    seeds(2).for_each(|seed| waits_for_space(seed, Some(Crash::PowerCut)));
}
