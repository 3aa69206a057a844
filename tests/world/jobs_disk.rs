//! Jobs on a disk that is full, and has space again. However long that takes, what is committed is read, and nothing is lost.

use crate::{
    flows::jobs,
    house::House,
    play::{check, create, has_not_failed, job, produce, run, send, settles},
};
use millrace_net::{
    client::{
        Producer, ProducerOptions,
        producer::{NewRecord, ProduceError},
    },
    kafka::ErrorCode,
};
use millrace_runtime::{
    sim::{Crash, Device, seeds},
    timeout,
};
use std::{cell::Cell, rc::Rc, time::Duration};

const CAPACITY: u64 = 128 << 20;
/// Longer than any answer takes from a server that does not wait for space.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is committed is read, at once.
fn reads_go_on(house: &House) {
    house.client(async {
        let cluster = house.cluster();
        let read = timeout(PATIENCE, check(&cluster, "in", "out")).await;
        assert!(read.is_ok(), "readers wait for space");
    });
}

/// Appends to a topic of its own until a producer is told that there is no space.
fn appends_are_refused(house: &House) {
    const RECORDS_MAX: u32 = 2000;
    house.client(async {
        let options = ProducerOptions {
            delivery_timeout: Duration::from_millis(500),
            linger: Duration::ZERO,
            idempotent: false,
            ..ProducerOptions::default()
        };
        let producer = Producer::new(house.cluster(), options).await.unwrap();
        let value = [0x5a; 50_000];
        for _ in 0..RECORDS_MAX {
            let record = NewRecord { value: Some(&value), ..NewRecord::default() };
            let sent = producer.send("others", Some(0), record).await.unwrap().offset().await;
            match sent {
                Ok(_) => {}
                Err(ProduceError::Cluster(error)) => {
                    assert_eq!(error.code(), Some(ErrorCode::KAFKA_STORAGE_ERROR));
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("a full disk takes whatever comes");
    });
}

/// The job runs, records come, and from this step on there is no more space than what is given back. Tells how many steps
/// there were before the disk was looked at again.
fn full_from(seed: u64, step: u64, crash: Option<Crash>) -> u64 {
    eprintln!("RUN {seed} {step} {crash:?}");
    let house = House::with_jobs(seed, Device::Fua, jobs());
    house.disk().set_capacity(CAPACITY);
    let shards = 1 + (seed % 3) as u16;
    house.start(shards);
    create(&house, &["in", "out", "others"]);
    let padding = if seed.is_multiple_of(2) { "0" } else { "3000" };
    let id = run(&house, job("running", &[("padding", padding)]));
    let over = Rc::new(Cell::new(false));
    produce(&house, 0, &over);
    let begun = house.io_steps();
    house.world.run_for(Duration::from_millis(1));
    let end = house.world.now() + Duration::from_millis(60);
    house.world.run_until(|| house.io_steps() - begun >= step || house.world.now() >= end);
    let steps = house.io_steps() - begun;
    house.disk().fill();
    // Long enough for a job that failed at once to be given up.
    house.world.run_for(Duration::from_secs(6));
    over.set(true);
    reads_go_on(&house);
    has_not_failed(&house, id);
    if let Some(crash) = crash {
        house.crash(crash);
        // What the crash has freed is somebody else's by now.
        house.disk().fill();
        // Not on more shards: each needs space for a journal.
        house.start(1 + (steps % u64::from(shards)) as u16);
        reads_go_on(&house);
        appends_are_refused(&house);
        reads_go_on(&house);
    }
    house.disk().set_capacity(1 << 30);
    send(&house, "in", vec![(0, "100 5".to_owned()), (1, "101 6".to_owned())]);
    settles(&house, "in", "out");
    has_not_failed(&house, id);
    house.stop();
    steps
}

/// Some steps of each of these worlds, spread over all of them.
fn sweep(crash: Option<Crash>, count: u64) {
    for seed in seeds(3) {
        let steps = full_from(seed, u64::MAX, crash);
        let stride = steps / count;
        assert!(stride > 0, "the job takes {steps} steps");
        for at in 0..count {
            // Others in each world.
            full_from(seed, at * stride + (seed * 7 + at * 3) % stride, crash);
        }
    }
}

#[test]
fn a_job_waits_until_the_disk_has_space_again() {
    sweep(None, 6);
}

#[test]
fn a_start_on_the_full_disk_after_a_power_cut() {
    sweep(Some(Crash::PowerCut), 5);
}

#[test]
fn a_start_on_the_full_disk_after_a_kill() {
    sweep(Some(Crash::Process), 3);
}
