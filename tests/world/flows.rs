//! The jobs of these tests, and what a sequential program makes of the same input.

use millrace_engine::{data::Encode, exchange::ExchangeOptions, prelude::*, registry::Registry};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The length of windows, in ms.
pub(crate) const WINDOW_MS: i64 = 100;
/// How long a window waits for records, in ms.
pub(crate) const DISORDER_MS: i64 = 50;

/// What lands behind the exchange: key and number.
pub(crate) type Landed = <(u64, u64) as Encode>::Archived;

/// For each record, how many records of its key there were, and their sum.
#[derive(Default)]
pub(crate) struct Running {
    state: Option<PointState<(u64, u64)>>,
    /// Called when it is opened.
    opened: Option<fn()>,
}

impl Running {
    /// That calls this when it is opened.
    pub(crate) fn opened(opened: fn()) -> Self {
        Self { state: None, opened: Some(opened) }
    }
}

impl Process<u64, Landed> for Running {
    type Out = (u64, u64, u64);

    fn open(&mut self, state: &mut ProcessOpen<'_, '_>) {
        self.state = Some(state.point("running"));
        self.opened.iter().for_each(|opened| opened());
    }

    fn record<P: Push<Self::Out>>(
        &mut self,
        key: &mut KeyContext<'_, u64>,
        at: i64,
        item: &Landed,
        out: &mut P,
    ) {
        let state = self.state.unwrap();
        let (count, sum) = key.get(state).unwrap_or_default();
        let (count, sum) = (count + 1, sum + item.1.to_native());
        key.put(state, &(count, sum));
        out.push(at, &(key.key(), count, sum));
    }
}

/// Key and number of a record; what follows them is not looked at.
pub(crate) fn parse(value: &[u8]) -> Option<(u64, u64)> {
    let mut fields = std::str::from_utf8(value).ok()?.split(' ');
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Key, number and time of a record.
pub(crate) fn parse_timed(value: &[u8]) -> Option<(u64, u64, i64)> {
    let (key, number) = parse(value)?;
    Some((key, number, std::str::from_utf8(value).ok()?.split(' ').nth(2)?.parse().ok()?))
}

/// `running`: counts and sums by key, from topic `from` to topic `to`. With padding, what an epoch writes is so long that to
/// splice it takes more than memory; when tight, every record is a frame, and one frame is on its way.
pub(crate) fn running(job: &mut JobBuilder) {
    let padding = " ".repeat(job.parameter("padding", 0));
    let from = job.parameter("from", "in".to_owned());
    let to = job.parameter("to", "out".to_owned());
    let mut options = SinkOptions::default();
    if job.parameter("tight", false) {
        job.exchange(ExchangeOptions { frame_bytes: 4, credits: 1, ..ExchangeOptions::default() });
        options = SinkOptions { batch_bytes: 1, credits: 1, ..options };
    }
    job.source(&from)
        .parse(|record| parse(record.value?))
        .key_by(|(key, _)| *key)
        .process("running", Running::default())
        .to_topic_with(&to, options, move |(key, count, sum), record| {
            record.key().extend_from_slice(key.to_string().as_bytes());
            record.value().extend_from_slice(format!("{key} {count} {sum}{padding}").as_bytes());
        });
}

/// `copy`: records as they are, in the order of each key. It panics at the number in `poison`.
fn copy(job: &mut JobBuilder, poison: Arc<AtomicU64>) {
    let from = job.parameter("from", "in".to_owned());
    let to = job.parameter("to", "copy".to_owned());
    job.source(&from)
        .parse(move |record| {
            let (key, number) = parse(record.value?)?;
            let poison = poison.load(Ordering::Relaxed);
            // One less than the largest stands for any.
            let is_poison = number == poison || poison == u64::MAX - 1;
            assert!(!is_poison, "number {number} is poison {}", "x".repeat(100_000));
            Some((key, number))
        })
        .to_topic(&to, |(key, number), record| {
            record.key().extend_from_slice(key.to_string().as_bytes());
            record.value().extend_from_slice(format!("{key} {number}").as_bytes());
        });
}

/// `both`: each record to two topics, to partitions that have nothing to do with each other.
fn both(job: &mut JobBuilder) {
    let [left, right] = job.source("in").parse(|record| parse(record.value?)).branch::<2>();
    left.to_topic("left", |item, record| {
        let (key, number) = (item.0.to_native(), item.1.to_native());
        record.key().extend_from_slice(number.to_string().as_bytes());
        record.value().extend_from_slice(format!("{key} {number}").as_bytes());
    });
    right.to_topic("right", |item, record| {
        let (key, number) = (item.0.to_native(), item.1.to_native());
        record.key().extend_from_slice(format!("{key}/{number}").as_bytes());
        record.value().extend_from_slice(format!("{key} {number}").as_bytes());
    });
}

/// `windows`: count and sum of each key's windows to `out`, what comes too late to `late`.
fn windows(job: &mut JobBuilder) {
    let disorder = Duration::from_millis(DISORDER_MS.unsigned_abs());
    let (windows, late) = job
        .source("in")
        .parse(|record| parse_timed(record.value?))
        .event_time(|(_, _, at)| *at, Watermarks::bounded(disorder))
        .key_by(|(key, _, _)| *key)
        .window(Tumbling::of(Duration::from_millis(WINDOW_MS.unsigned_abs())))
        .with_late();
    windows.aggregate_with(|of| (of.count(), of.sum(|item| item.1.to_native()))).to_topic(
        "out",
        |window, record| {
            let (key, start, (count, sum)) = (window.key, window.start, window.value);
            record.key().extend_from_slice(key.to_string().as_bytes());
            record.value().extend_from_slice(format!("{key} {start} {count} {sum}").as_bytes());
        },
    );
    late.to_topic("late", |item, record| {
        let (key, number, at) = (item.0.to_native(), item.1.to_native(), item.2.to_native());
        record.key().extend_from_slice(key.to_string().as_bytes());
        record.value().extend_from_slice(format!("{key} {number} {at}").as_bytes());
    });
}

/// All jobs; `copy` and its twin panic at the number in `poison`.
pub(crate) fn jobs_with(poison: &Arc<AtomicU64>) -> Registry {
    let mut jobs = Registry::new();
    jobs.add("running", running).add("both", both).add("windows", windows);
    let poison = Arc::clone(poison);
    jobs.add("copy", move |job| copy(job, Arc::clone(&poison)));
    jobs.add("broken", |_| panic!("no such thing"));
    jobs
}

pub(crate) fn jobs() -> Registry {
    jobs_with(&Arc::new(AtomicU64::new(u64::MAX)))
}

/// What `running` should have written for each key, by what is in its topic.
pub(crate) fn oracle(input: &[Vec<String>]) -> BTreeMap<u64, Vec<String>> {
    let mut outputs = BTreeMap::<u64, Vec<String>>::new();
    let mut states = BTreeMap::<u64, (u64, u64)>::new();
    for (key, number) in input.iter().flatten().map(|value| parse(value.as_bytes()).unwrap()) {
        let (count, sum) = states.entry(key).or_default();
        (*count, *sum) = (*count + 1, *sum + number);
        outputs.entry(key).or_default().push(format!("{key} {count} {sum}"));
    }
    outputs
}

pub(crate) fn by_key(output: &[Vec<String>]) -> BTreeMap<u64, Vec<String>> {
    let mut by_key = BTreeMap::<u64, Vec<String>>::new();
    for value in output.iter().flatten() {
        let key = value.split(' ').next().unwrap().parse().unwrap();
        by_key.entry(key).or_default().push(value.trim_end().to_owned());
    }
    by_key
}
