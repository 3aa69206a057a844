//! User code that panics fails its job alone, and is named.

use crate::{
    epoch::{Attempt, Epoch, JobId},
    failure::{Cause, RecordPlace},
    key::{KeyGroups, Placement},
    prelude::*,
    registry::build,
    task::Watch,
    testing::{TestRecord, Testbed},
    worker::{Budget, Deployment, Inbound, Now, Outbound, Worker},
};
use millrace_runtime::{Instant, ShardId};
use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

fn number(bytes: Option<&[u8]>) -> Option<u64> {
    std::str::from_utf8(bytes?).ok()?.parse().ok()
}

#[test]
fn the_operator_and_the_record_are_named() {
    let mut testbed = Testbed::new(|job| {
        job.source("in")
            .parse(|record| number(record.value))
            .filter(|n| *n != 3)
            .named("not three")
            .flat_map(|n| [*n, *n + 100])
            .map(|n| {
                assert!(*n != 105, "five is too much");
                *n
            })
            .named("check")
            .filter(|_| true)
            .sink(|_, _| ());
    });
    testbed.topic("in", 1);
    let records: Vec<_> = (0..20).map(|n| TestRecord::new(0, n.to_string())).collect();
    testbed.produce("in", 0, &records);
    testbed.start();
    testbed.run();
    let [failure] = testbed.failures() else { panic!("one failure: {:?}", testbed.failures()) };
    assert_eq!(failure.operator, "check");
    assert_eq!(failure.cause, Cause::Panic("five is too much".to_owned()));
    assert!(matches!(failure.record, Some(RecordPlace::Source { offset: 5, .. })), "{failure}");
    assert!(testbed.metrics().is_empty(), "nothing of the job is left");
}

#[test]
fn a_panic_behind_an_exchange_and_in_a_flush_is_named_too() {
    for (job, operator, has_record) in [("record", "window", true), ("flush", "format", false)] {
        let mut testbed = Testbed::new(move |builder| {
            let fail_at = builder.parameter("at", String::new());
            let in_flush = fail_at == "flush";
            builder
                .source("in")
                .parse(|record| number(record.value))
                .record_time(Watermarks::ascending())
                .key_by(|n| *n)
                .window(Tumbling::of(Duration::from_secs(1)))
                .aggregate_with(|of| {
                    of.sum(move |n| {
                        assert!(in_flush || n.to_native() != 7, "seven");
                        *n
                    })
                })
                .map(move |window| {
                    assert!(!in_flush || window.key != 7, "seven");
                    window.value
                })
                .named("format")
                .sink(|_, _| ());
        })
        .set("at", job);
        testbed.topic("in", 1);
        let records: Vec<_> = (0..20).map(|n| TestRecord::new(n, n.to_string())).collect();
        testbed.produce("in", 0, &records);
        testbed.start_bounded();
        testbed.run();
        let [failure] = testbed.failures() else { panic!("one failure: {:?}", testbed.failures()) };
        assert_eq!(failure.operator, operator);
        assert_eq!(failure.cause, Cause::Panic("seven".to_owned()));
        assert_eq!(failure.record, has_record.then_some(RecordPlace::Ordinal(7)));
    }
}

fn no_clock() -> Instant {
    Instant::from_nanos(5)
}

const BUDGET: Budget = Budget { records: 8192 };
const NOW: Now = Now { monotonic: Instant::from_nanos(5), unix_ms: 5 };

fn deployment(job: u64) -> Deployment {
    Deployment {
        job: JobId(job),
        attempt: Attempt(0),
        placement: Placement::new(KeyGroups::default(), [ShardId(0)]).unwrap(),
        splits: Vec::new(),
        topics: BTreeMap::new(),
        is_restored: false,
        is_bounded: true,
    }
}

#[test]
fn another_job_on_the_shard_goes_on() {
    let plan = |fails: bool| {
        build("job", 1, &Parameters::new(), move |job| {
            job.source("in").parse(|_| Some(1u64)).apply("restored", FailsOnRestore(fails)).sink(|_, _| ());
        })
        .unwrap()
    };
    let mut worker = Worker::new(ShardId(0), NOW, no_clock);
    worker.start(plan(true), deployment(1)).unwrap();
    worker.start(plan(false), deployment(2)).unwrap();
    worker.step(BUDGET, NOW);
    let failed: Vec<_> =
        worker.drain_outbox().filter(|message| matches!(message, Outbound::Failed(_))).collect();
    let [Outbound::Failed(failure)] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!((failure.job, failure.operator.as_str()), (JobId(1), "restored"));
    assert_eq!(failure.record, None);
    worker.deliver(Inbound::Barrier { job: JobId(2), attempt: Attempt(0), epoch: Epoch(1) });
    worker.step(BUDGET, NOW);
    assert!(
        worker
            .drain_outbox()
            .any(|message| matches!(message, Outbound::Passed(passed) if passed.job == JobId(2)))
    );
}

struct FailsOnRestore(bool);

impl Operator<u64> for FailsOnRestore {
    type Out = u64;

    fn record<P: Push<u64>>(&mut self, timestamp: i64, item: &u64, out: &mut P) {
        out.push(timestamp, item);
    }

    fn restore<P: Push<u64>>(&mut self, _: &mut P) -> Flow {
        assert!(!self.0, "it fails");
        Flow::Done
    }
}

/// While user code runs, another thread can see which, since when, and at which record.
#[test]
fn a_watchdog_sees_what_is_running() {
    let seen: Rc<Cell<Option<u64>>> = Rc::default();
    let watch: Rc<Cell<Option<Watch>>> = Rc::default();
    let (seen_by_job, watch_of_job) = (Rc::clone(&seen), Rc::clone(&watch));
    let plan = build("job", 1, &Parameters::new(), move |job| {
        let (seen, watch) = (Rc::clone(&seen_by_job), Rc::clone(&watch_of_job));
        job.source("in").parse(|_| Some(1u64)).apply("peek", Peek { seen, watch }).sink(|_, _| ());
    });
    let mut worker = Worker::new(ShardId(0), NOW, no_clock);
    watch.set(Some(worker.watch()));
    worker.start(plan.unwrap(), deployment(1)).unwrap();
    assert_eq!(worker.watch().running(), None);
    worker.step(BUDGET, NOW);
    assert_eq!(seen.get(), Some(5), "since when");
    assert_eq!(worker.watch().running(), None);
}

struct Peek {
    seen: Rc<Cell<Option<u64>>>,
    watch: Rc<Cell<Option<Watch>>>,
}

impl Operator<u64> for Peek {
    type Out = u64;

    fn record<P: Push<u64>>(&mut self, timestamp: i64, item: &u64, out: &mut P) {
        out.push(timestamp, item);
    }

    fn restore<P: Push<u64>>(&mut self, _: &mut P) -> Flow {
        let running = self.watch.take().expect("a watch").running().expect("this is running");
        assert_eq!(running.task, "in -> peek -> sink");
        self.seen.set(Some(running.since_ns));
        Flow::Done
    }
}
