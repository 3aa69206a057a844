//! Functions with state and timers: sessions by hand, against an oracle, through failures.

use crate::{
    data::Encode,
    prelude::*,
    testing::{TestRecord, Testbed, random::Random},
};
use std::{collections::BTreeMap, ops::Bound, time::Duration};

const GAP_MS: i64 = 1_000;

/// Sessions of each key. The elements are kept in order, with a timer a gap behind each: if then no element has come in
/// between, the session is over.
#[derive(Default)]
struct Sessions {
    elements: Option<OrderedState<(i64, u64), u64>>,
    sessions: Option<PointState<u32>>,
}

/// What lands behind the exchange.
type Landed = <(String, u64) as Encode>::Archived;

impl Process<String, Landed> for Sessions {
    /// Key, first and last time, sum, the how many-eth session of the key.
    type Out = (String, i64, i64, u64, u32);

    fn open(&mut self, state: &mut ProcessOpen<'_, '_>) {
        self.elements = Some(state.ordered("elements"));
        self.sessions = Some(state.point("sessions"));
    }

    fn record<P: Push<Self::Out>>(
        &mut self,
        key: &mut KeyContext<'_, String>,
        timestamp: i64,
        item: &Landed,
        _: &mut P,
    ) {
        assert!(timestamp > key.watermark(), "no record is late");
        let number = item.1.to_native();
        key.put_at(self.elements.unwrap(), &(timestamp, number), &number);
        key.set_timer(timestamp + GAP_MS);
    }

    fn timer<P: Push<Self::Out>>(&mut self, key: &mut KeyContext<'_, String>, at_ms: i64, out: &mut P) {
        let (elements, sessions) = (self.elements.unwrap(), self.sessions.unwrap());
        let last = (at_ms - GAP_MS, u64::MAX);
        let next = key.range(elements, Bound::Excluded(&last), Bound::Excluded(&(at_ms, 0)));
        if !next.is_empty() {
            return;
        }
        let all = key.range(elements, Bound::Unbounded, Bound::Included(&last));
        let first = all.first().expect("a session has records").0.0;
        let sum = all.iter().map(|(_, number)| number).sum();
        let count = key.get(sessions).unwrap_or(0) + 1;
        key.put(sessions, &count);
        out.push(at_ms, &(key.key(), first, at_ms - GAP_MS, sum, count));
        assert_eq!(key.remove_range(elements, Bound::Unbounded, Bound::Included(&last)), all.len());
    }
}

fn sessions(job: &mut JobBuilder) {
    job.source("in")
        .parse(|record| {
            let text = std::str::from_utf8(record.value?).ok()?;
            let (key, number) = text.split_once(' ')?;
            Some((key.to_owned(), number.parse::<u64>().ok()?))
        })
        .record_time(Watermarks::bounded(Duration::from_millis(300)))
        .key_by(|(key, _)| key.clone())
        .process("sessions", Sessions::default())
        .to_topic("out", |session, record| {
            record.value().extend_from_slice(format!("{session:?}").as_bytes());
        });
}

/// Records in order of time: a session ends where the next record of the key comes a gap later.
fn oracle(records: &[(i64, String, u64)]) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<(i64, u64)>> = BTreeMap::new();
    for (at, key, number) in records {
        by_key.entry(key).or_default().push((*at, *number));
    }
    let mut rows = Vec::new();
    for (key, mut elements) in by_key {
        elements.sort_unstable();
        let sessions = elements.chunk_by(|before, after| after.0 < before.0 + GAP_MS);
        rows.extend(sessions.enumerate().map(|(index, session)| {
            let sum: u64 = session.iter().map(|(_, number)| number).sum();
            let (first, last) = (session[0].0, session[session.len() - 1].0);
            format!("{:?}", (key, first, last, sum, index + 1))
        }));
    }
    rows.sort();
    rows
}

#[test]
fn sessions_by_hand_equal_the_oracle_through_failures() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let mut now = 10_000i64;
        let records: Vec<(i64, String, u64)> = (0..300)
            .map(|number| {
                now += random.below(150) as i64;
                let at = now - random.below(250) as i64;
                (at, format!("key{}", random.below(12)), number)
            })
            .collect();
        let mut testbed = Testbed::new(sessions).shards(1 + random.below(3)).seed(seed).budget(25);
        testbed.topic("in", 1);
        testbed.topic("out", 1);
        let lines: Vec<_> =
            records.iter().map(|(at, key, number)| TestRecord::new(*at, format!("{key} {number}"))).collect();
        testbed.produce("in", 0, &lines);
        testbed.start_bounded();
        for round in 0..6 {
            for _ in 0..random.below(250) {
                testbed.turn();
            }
            testbed.begin_epoch();
            for _ in 0..random.below(250) {
                testbed.turn();
            }
            match round % 3 {
                0 => testbed.kill(),
                1 => testbed.abort(),
                _ => testbed.kill_and_rescale(1 + random.below(3)),
            }
        }
        testbed.run_to_end();
        assert_eq!(testbed.failures(), []);
        let output = testbed.output("out");
        let mut rows: Vec<_> = output.iter().map(|row| row.value_text().to_owned()).collect();
        rows.sort();
        assert_eq!(rows, oracle(&records), "seed {seed}");
    }
}

/// Emits the key when processing time has come.
struct Reminder;

impl Process<String, <String as Encode>::Archived> for Reminder {
    type Out = String;

    fn open(&mut self, _: &mut ProcessOpen<'_, '_>) {}

    fn record<P: Push<String>>(
        &mut self,
        key: &mut KeyContext<'_, String>,
        _: i64,
        _: &<String as Encode>::Archived,
        _: &mut P,
    ) {
        key.set_processing_timer(key.now_ms() + 5_000);
    }

    fn timer<P: Push<String>>(&mut self, key: &mut KeyContext<'_, String>, at_ms: i64, out: &mut P) {
        out.push(at_ms, &key.key());
    }
}

#[test]
fn processing_time_timers_fire_once_and_survive_a_kill() {
    let mut testbed = Testbed::new(|job| {
        job.source("in")
            .parse(|record| Some(String::from_utf8_lossy(record.value?).into_owned()))
            .key_by(Clone::clone)
            .process("remind", Reminder)
            .to_topic("out", |key, record| record.value().extend_from_slice(key.as_bytes()));
    })
    .shards(2)
    .seed(1);
    testbed.topic("in", 1);
    testbed.topic("out", 1);
    testbed.produce("in", 0, &[TestRecord::new(0, "tea"), TestRecord::new(0, "milk")]);
    testbed.start();
    testbed.run_and_commit();
    testbed.advance_ms(4_000);
    testbed.run_and_commit();
    assert_eq!(testbed.output("out"), []);
    testbed.kill();
    testbed.run_and_commit();
    assert_eq!(testbed.output("out"), []);
    testbed.advance_ms(2_000);
    testbed.run_and_commit();
    testbed.run_and_commit();
    let output = testbed.output("out");
    let mut rows: Vec<_> = output.iter().map(super::super::log::OutputRecord::value_text).collect();
    rows.sort_unstable();
    assert_eq!(rows, ["milk", "tea"]);
}
