//! What a worker keeps of attempts that have not begun, and of those that are over.

use super::*;
use crate::{
    exchange::{EdgeId, FrameBuffer, Route},
    key::KeyGroups,
    registry::{Parameters, build},
};

const JOB: JobId = JobId(7);

fn worker() -> Worker {
    Worker::new(ShardId(0), Now { monotonic: Instant::from_nanos(0), unix_ms: 0 }, || Instant::from_nanos(0))
}

/// A frame of an attempt arrives from another shard.
fn arrive(worker: &mut Worker, attempt: u64) {
    let route =
        Route { job: JOB, attempt: Attempt(attempt), edge: EdgeId(0), from: ShardId(1), to: ShardId(0) };
    let frame = FrameBuffer::default().seal(route, Vec::new());
    worker.deliver(Inbound::Shard(ShardMessage::Frame(frame)));
}

fn stop(worker: &mut Worker, attempt: u64) {
    worker.deliver(Inbound::Stop { job: JOB, attempt: Attempt(attempt) });
}

/// Starts an attempt of a job that has no exchange.
fn start(worker: &mut Worker, attempt: u64) {
    let plan =
        build("job", 1, &Parameters::new(), |job| job.source("in").parse(|_| Some(1u64)).sink(|_, _| ()))
            .unwrap();
    let groups = KeyGroups::default();
    let deployment = Deployment {
        job: JOB,
        attempt: Attempt(attempt),
        placement: Placement::new(groups, [ShardId(0)]).unwrap(),
        splits: Vec::new(),
        topics: BTreeMap::new(),
        is_restored: false,
        is_bounded: false,
    };
    worker.start(plan, deployment).unwrap();
}

fn early(worker: &Worker) -> Vec<u64> {
    worker.early.keys().map(|(_, attempt)| attempt.0).collect()
}

#[test]
fn frames_of_an_attempt_that_ends_before_it_begins_are_dropped() {
    let mut worker = worker();
    arrive(&mut worker, 3);
    arrive(&mut worker, 4);
    stop(&mut worker, 3);
    assert_eq!(early(&worker), [4], "that one may still begin");
    stop(&mut worker, 4);
    assert_eq!(early(&worker), [0; 0]);
}

#[test]
fn frames_that_come_after_the_end_are_dropped() {
    let mut worker = worker();
    stop(&mut worker, 3);
    arrive(&mut worker, 2);
    arrive(&mut worker, 3);
    assert_eq!(early(&worker), [0; 0]);
    start(&mut worker, 5);
    stop(&mut worker, 5);
    arrive(&mut worker, 4);
    arrive(&mut worker, 5);
    assert_eq!(early(&worker), [0; 0]);
    arrive(&mut worker, 6);
    assert_eq!(early(&worker), [6]);
}

#[test]
fn the_end_of_an_attempt_is_not_that_of_the_next() {
    let mut worker = worker();
    start(&mut worker, 5);
    stop(&mut worker, 4);
    assert_eq!(worker.jobs.len(), 1);
    stop(&mut worker, 5);
    assert_eq!(worker.jobs.len(), 0);
}
