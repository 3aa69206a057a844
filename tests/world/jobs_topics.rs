//! Jobs and topics: several of them at once, one after the other, growing, and deleted.

use crate::{
    flows::jobs,
    house::House,
    play::{
        PARTITIONS, admin, check, copies, create, has_not_failed, job, produce, produce_for, produce_paced,
        read, read_sorted, run, send, settles, start_job, state_of, stop_job,
    },
};
use millrace::{cluster::JobState, job::RunJob};
use millrace_runtime::{
    sim::{Crash, Device, seeds},
    sleep,
};
use std::{cell::Cell, collections::BTreeSet, rc::Rc, time::Duration};

/// The ends of a topic's partitions, together.
async fn len(house: &House, topic: &str) -> i64 {
    let admin = admin(house);
    let mut len = 0;
    for partition in 0..PARTITIONS {
        len += admin.list_offset(topic, partition, -1).await.unwrap().offset;
    }
    len
}

/// Each record goes to both topics in one epoch. So whoever looks at one of them, partition by partition, and then at the other
/// must find as much there as in the first. Whichever is the first.
async fn look(house: &House) {
    for (first, then) in [("left", "right"), ("right", "left")] {
        let seen = len(house, first).await;
        assert!(len(house, then).await >= seen, "half an epoch");
    }
}

/// The same for the records themselves.
async fn compare(house: &House) {
    let cluster = house.cluster();
    for (first, then) in [("left", "right"), ("right", "left")] {
        let seen: BTreeSet<String> = read(&cluster, first).await.concat().into_iter().collect();
        let there: BTreeSet<String> = read(&cluster, then).await.concat().into_iter().collect();
        assert!(seen.is_subset(&there), "half an epoch: {:?}", seen.difference(&there).next());
    }
}

#[test]
fn an_epoch_is_seen_in_all_topics_and_partitions_or_in_none() {
    for seed in seeds(2) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(3);
        create(&house, &["in", "left", "right"]);
        let id = run(&house, job("both", &[]));
        for round in 0..3 {
            let over = Rc::new(Cell::new(false));
            produce_paced(&house, round * 1_000_000, &over, Duration::from_millis(4));
            house.world.run_for(Duration::from_millis(5));
            house.client(async {
                for _ in 0..4 {
                    look(&house).await;
                }
                compare(&house).await;
            });
            over.set(true);
            house.crash(if round % 2 == 0 { Crash::PowerCut } else { Crash::Process });
            house.start([2, 1, 4][round as usize]);
            house.client(async {
                look(&house).await;
                compare(&house).await;
            });
        }
        copies(&house, "in", "left");
        copies(&house, "in", "right");
        has_not_failed(&house, id);
        house.stop();
    }
}

#[test]
fn the_output_of_one_job_is_the_input_of_the_next() {
    for seed in seeds(2) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(2);
        create(&house, &["in", "copy", "out"]);
        let first = run(&house, job("copy", &[]));
        let second = run(&house, job("running", &[("from", "copy")]));
        for round in 0..3u64 {
            produce_for(
                &house,
                round * 1_000_000,
                Duration::from_micros(20_000 + house.world.random_u64() % 40_000),
            );
            house.crash(if round % 2 == 0 { Crash::PowerCut } else { Crash::Process });
            house.start([3, 1, 2][round as usize]);
            house.client(async { check(&house.cluster(), "in", "out").await });
        }
        // Those before may all have been cut short before the first record.
        produce_for(&house, 9_000_000, Duration::from_millis(60));
        settles(&house, "in", "out");
        has_not_failed(&house, first);
        has_not_failed(&house, second);
        house.stop();
    }
}

/// A job on one shard of several reads and writes partitions of the others. With fewer shards than before it runs on what
/// there is.
#[test]
fn a_job_runs_on_some_of_the_shards() {
    for seed in seeds(2) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(3);
        create(&house, &["in", "out"]);
        let id = run(&house, RunJob { shards: vec![2], ..job("running", &[]) });
        for (round, shards) in (0u64..).zip([4, 1, 2]) {
            produce_for(&house, round * 1_000_000, Duration::from_millis(60));
            house.crash(Crash::PowerCut);
            house.start(shards);
        }
        produce_for(&house, 9_000_000, Duration::from_millis(60));
        settles(&house, "in", "out");
        has_not_failed(&house, id);
        house.stop();
    }
}

#[test]
fn a_job_goes_on_where_it_was_stopped() {
    for seed in seeds(2) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(2);
        create(&house, &["in", "out"]);
        let id = run(&house, job("running", &[]));
        let over = Rc::new(Cell::new(false));
        produce(&house, 0, &over);
        for _ in 0..4 {
            house.world.run_for(Duration::from_micros(5_000 + house.world.random_u64() % 20_000));
            stop_job(&house, "running");
            house.client(async { check(&house.cluster(), "in", "out").await });
            if house.world.random_u64().is_multiple_of(2) {
                let before = house.client(async { len(&house, "out").await });
                house.world.run_for(Duration::from_millis(30));
                assert_eq!(house.client(async { len(&house, "out").await }), before, "it is stopped");
            }
            start_job(&house, "running");
        }
        over.set(true);
        // Stopped, it stays stopped over a restart.
        stop_job(&house, "running");
        house.stop();
        house.start(3);
        assert_eq!(state_of(&house, id), JobState::Stopped);
        start_job(&house, "running");
        settles(&house, "in", "out");
        has_not_failed(&house, id);
        house.stop();
    }
}

#[test]
fn partitions_that_are_added_are_read_too() {
    for seed in seeds(2) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(3);
        create(&house, &["in", "out"]);
        // Of other shards, too, which hear of the new partitions later or earlier.
        let id = run(&house, RunJob { shards: vec![(seed % 3) as u16], ..job("running", &[]) });
        produce_for(&house, 0, Duration::from_millis(30));
        house.client(async { admin(&house).create_partitions("in", 9).await.unwrap() });
        let new = (0..40).map(|number| (4 + number % 5, format!("{} {number}", 100 + number % 5)));
        send(&house, "in", new.collect());
        settles(&house, "in", "out");
        has_not_failed(&house, id);
        house.crash(Crash::PowerCut);
        house.start(2);
        send(&house, "in", vec![(8, "104 5".to_owned()), (4, "100 6".to_owned())]);
        settles(&house, "in", "out");
        has_not_failed(&house, id);
        house.stop();
    }
}

/// The topic is made again, empty: the job goes on with what comes then. Another job notices nothing.
#[test]
fn a_topic_is_deleted_under_a_job() {
    for seed in seeds(3) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(2);
        create(&house, &["in", "out", "copy"]);
        let other = run(&house, job("running", &[]));
        let id = run(&house, job("copy", &[]));
        let over = Rc::new(Cell::new(false));
        produce(&house, 0, &over);
        house.world.run_for(Duration::from_micros(10_000 + house.world.random_u64() % 20_000));
        house.client(async { admin(&house).delete_topic("copy").await.unwrap() });
        house.world.run_for(Duration::from_millis(20));
        over.set(true);
        settles(&house, "in", "out");
        has_not_failed(&house, other);
        // What it writes to, and what it reads.
        let add = |number: u64| send(&house, "in", vec![((number % 4) as i32, format!("7 {number}"))]);
        let arrives = |number: u64| {
            house.client(async {
                let cluster = house.cluster();
                let wanted = format!("7 {number}");
                loop {
                    // The topic may not be there yet.
                    let there = admin(&house).list_topics().await.unwrap();
                    let is_there = there.topics.iter().any(|topic| topic.name.as_deref() == Some("copy"));
                    if is_there && read_sorted(&cluster, "copy").await.contains(&wanted) {
                        return;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            });
        };
        add(5_000_000);
        arrives(5_000_000);
        house.client(async { admin(&house).delete_topic("in").await.unwrap() });
        create(&house, &["in"]);
        add(6_000_000);
        arrives(6_000_000);
        assert_eq!(state_of(&house, id), JobState::Running);
        // Nothing of it is in the way of a start.
        house.crash(Crash::PowerCut);
        house.start(1);
        add(7_000_000);
        arrives(7_000_000);
        house.stop();
    }
}
