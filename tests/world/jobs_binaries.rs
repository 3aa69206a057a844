//! A server that is started again with another binary: jobs go on if their state fits, else they are refused, and say why.

use crate::{
    flows::{Landed, jobs, parse, running},
    house::House,
    play::{
        check, copies, create, has_not_failed, job, produce_for, run, send, settles, state_of, stop_job,
        try_start,
    },
};
use millrace::{
    cluster::JobState,
    job::{JobStatus, Phase, status::statuses},
};
use millrace_engine::{epoch::JobId, prelude::*, registry::Registry};
use millrace_runtime::sim::{Crash, Device};
use std::time::Duration;

/// As [`running`], in other state.
#[derive(Default)]
struct Wide {
    state: Option<PointState<(u64, u64, bool)>>,
}

impl Process<u64, Landed> for Wide {
    type Out = (u64, u64, u64);

    fn open(&mut self, state: &mut ProcessOpen<'_, '_>) {
        self.state = Some(state.point("running"));
    }

    fn record<P: Push<Self::Out>>(
        &mut self,
        key: &mut KeyContext<'_, u64>,
        at: i64,
        item: &Landed,
        out: &mut P,
    ) {
        let state = self.state.unwrap();
        let (count, sum, _) = key.get(state).unwrap_or_default();
        let (count, sum) = (count + 1, sum + item.1.to_native());
        key.put(state, &(count, sum, true));
        out.push(at, &(key.key(), count, sum));
    }
}

fn wide(job: &mut JobBuilder) {
    let to = job.parameter("to", "out".to_owned());
    job.source("in")
        .parse(|record| parse(record.value?))
        .key_by(|(key, _)| *key)
        .process("running", Wide::default())
        .to_topic(&to, |(key, count, sum), record| {
            record.key().extend_from_slice(key.to_string().as_bytes());
            record.value().extend_from_slice(format!("{key} {count} {sum}").as_bytes());
        });
}

/// As [`running`], behind a stream that was not there.
fn behind(job: &mut JobBuilder) {
    job.source("else").parse(|record| Some(record.offset)).sink(|_, _| ());
    running(job);
}

/// A binary with this `running`, and with the jobs that nobody has touched.
fn binary(version: u32, changed: fn(&mut JobBuilder)) -> Registry {
    let mut binary = Registry::new();
    binary.add_version("running", version, changed).add("copy", |job| {
        job.source("in").parse(|record| parse(record.value?)).to_topic("copy", |(key, number), record| {
            record.key().extend_from_slice(key.to_string().as_bytes());
            record.value().extend_from_slice(format!("{key} {number}").as_bytes());
        });
    });
    binary
}

/// What is told of a job, when it has become clear whether it runs.
fn status(house: &House, id: JobId) -> JobStatus {
    loop {
        let shards = house.shards();
        let jobs = house.client(async move { statuses(&shards, Duration::ZERO).await.unwrap() });
        let status = jobs.into_iter().find(|job| job.id == id.0).unwrap();
        if status.state != Phase::Starting {
            return status;
        }
        house.world.run_for(Duration::from_millis(10));
    }
}

#[test]
fn a_plan_that_does_not_fit_is_refused_until_its_binary_is_back() {
    let house = House::with_jobs(3, Device::Fua, jobs());
    house.start(2);
    create(&house, &["in", "out", "copy"]);
    let (id, other) = (run(&house, job("running", &[])), run(&house, job("copy", &[])));
    produce_for(&house, 0, Duration::from_millis(50));
    settles(&house, "in", "out");
    let changes: [(Registry, &[&str]); 3] = [
        (
            binary(1, wide),
            &[
                "operator `running`: its table `running` holds other types: ",
                "`(u64, u64)`, this program reads",
            ],
        ),
        (
            binary(1, behind),
            &["the source of topic `in` has another place among the stages", "operator `running`: its table"],
        ),
        (binary(2, running), &["version 1 wrote it, this is version 2"]),
    ];
    for (round, (changed, reasons)) in (1..).zip(changes) {
        house.stop();
        house.install(changed);
        house.start(round);
        let status = status(&house, id);
        let failure = status.failure.unwrap();
        assert_eq!((status.state, status.attempt), (Phase::Failed, None), "{failure}");
        let beginning = "job `running` (number 1) of this binary can't go on from what it had committed: ";
        assert!(failure.starts_with(beginning), "{failure}");
        assert!(reasons.iter().all(|reason| failure.contains(reason)), "{failure}");
        assert!(failure.contains("`millrace job stop 1`, then `millrace job run running`"), "{failure}");
        assert_eq!(try_start(&house, "running").unwrap_err(), failure, "asked for, it says the same");
        // Everything else goes on.
        send(&house, "in", vec![(1, format!("1 {round}"))]);
        copies(&house, "in", "copy");
        has_not_failed(&house, other);
        assert!(!house.client(async { check(&house.cluster(), "in", "out").await }), "it does nothing");
        assert_eq!(state_of(&house, id), JobState::Running, "it should run");
    }
    house.crash(Crash::PowerCut);
    house.install(jobs());
    house.start(2);
    settles(&house, "in", "out");
    has_not_failed(&house, id);
    house.stop();
}

#[test]
fn operators_without_state_come_and_go() {
    let house = House::with_jobs(4, Device::Fua, jobs());
    house.start(2);
    create(&house, &["in", "out"]);
    let id = run(&house, job("running", &[]));
    produce_for(&house, 0, Duration::from_millis(30));
    house.crash(Crash::Process);
    house.install(binary(1, |job| {
        job.source("in")
            .parse(|record| parse(record.value?))
            .filter(|_| true)
            .map(|item| *item)
            .key_by(|(key, _)| *key)
            .process("running", crate::flows::Running::default())
            .filter(|_| true)
            .to_topic("out", |(key, count, sum), record| {
                let (key, count, sum) = (*key, *count, *sum);
                record.key().extend_from_slice(key.to_string().as_bytes());
                record.value().extend_from_slice(format!("{key} {count} {sum}").as_bytes());
            });
    }));
    house.start(3);
    produce_for(&house, 1_000_000, Duration::from_millis(30));
    settles(&house, "in", "out");
    has_not_failed(&house, id);
    house.stop();
}

#[test]
fn a_job_that_is_refused_can_begin_anew_and_one_without_state_takes_any_plan() {
    let house = House::with_jobs(5, Device::Fua, jobs());
    house.start(2);
    create(&house, &["in", "out", "anew"]);
    let id = run(&house, job("running", &[]));
    house.world.run_for(Duration::from_millis(50));
    house.stop();
    house.install(binary(1, wide));
    house.start(2);
    produce_for(&house, 0, Duration::from_millis(30));
    settles(&house, "in", "out");
    has_not_failed(&house, id);
    house.stop();
    house.install(binary(1, behind));
    house.start(1);
    assert_eq!(status(&house, id).state, Phase::Failed);
    stop_job(&house, "running");
    assert_eq!(status(&house, id).state, Phase::Stopped);
    let anew = run(&house, job("running", &[("to", "anew")]));
    settles(&house, "in", "anew");
    has_not_failed(&house, anew);
    house.stop();
}
