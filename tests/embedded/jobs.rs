//! A program with jobs of its own and Millrace's command line. Its jobs are slow, or fail: what `job describe` shows of them.

use crate::{
    PROGRAM, itself,
    process::{Server, Start, client, run},
};
use millrace::{engine::data::Encode, prelude::*};
use millrace_net::client::{Cluster, ClusterOptions, Producer, ProducerOptions, producer::NewRecord};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// The value of [`PROGRAM`] for it.
pub(crate) const COMMANDS: &str = "commands";

/// How long the slow operator takes for a record, at least.
const DELAY: Duration = Duration::from_micros(100);

/// Records that keep it busy for some seconds.
const RECORDS: u64 = 30_000;

/// Batches of some thousands of them: counts are looked at in the middle of one.
const BATCH_BYTES: usize = 64 << 10;

/// Milliseconds of event time from one record to the next.
const STEP_MS: i64 = 1_000;

/// How long something may take to come about.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program's jobs.
pub(crate) fn register(jobs: &mut Registry) {
    jobs.add("slow", slow);
    jobs.add("brittle", brittle);
}

/// Numbers, from one task to another that can't keep up.
fn slow(job: &mut JobBuilder) {
    job.source("numbers")
        .parse(|record| std::str::from_utf8(record.value?).ok()?.parse::<u64>().ok())
        .event_time(|number| *number as i64 * STEP_MS, Watermarks::ascending())
        .key_by(|number| number % 4)
        .process("slow", Slow)
        .to_topic("seen", |number, record| record.value().extend_from_slice(number.to_string().as_bytes()));
}

struct Slow;

impl Process<u64, <u64 as Encode>::Archived> for Slow {
    type Out = u64;

    fn open(&mut self, _: &mut ProcessOpen<'_, '_>) {}

    fn record<P: Push<u64>>(
        &mut self,
        _: &mut KeyContext<'_, u64>,
        timestamp: i64,
        number: &<u64 as Encode>::Archived,
        out: &mut P,
    ) {
        sleep(DELAY);
        out.push(timestamp, &number.to_native());
    }
}

/// Copies what it can bear.
fn brittle(job: &mut JobBuilder) {
    job.source("brittle")
        .parse(|record| {
            let text = String::from_utf8_lossy(record.value?).into_owned();
            assert!(text != "stone", "hit by a {text}");
            Some(text)
        })
        .to_topic("whole", |text, record| record.value().extend_from_slice(text.as_bytes()));
}

fn start(directory: &Path) -> Server {
    let start = Start::below(directory).binary(&itself()).variable(PROGRAM, COMMANDS);
    start.set("dataflow.restarts_max", "1").set("dataflow.restart_ms", "1").run()
}

fn send(server: SocketAddr, topic: &'static str, values: Vec<String>) {
    client(move || async move {
        let cluster = Cluster::new(vec![server], ClusterOptions::default());
        let options = ProducerOptions { batch_bytes_max: BATCH_BYTES, ..ProducerOptions::default() };
        let producer = Producer::new(cluster, options).await.unwrap();
        for value in &values {
            let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
            producer.send(topic, Some(0), record).await.unwrap();
        }
        producer.flush().await.unwrap();
    });
}

/// What `millrace job` prints against a server, if it goes well.
fn job(server: &Server, arguments: &[&str]) -> String {
    let admin = server.admin_address().to_string();
    let (code, stdout, stderr) = run(&[&["job"], arguments, &["--admin", &admin]].concat());
    assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
    stdout
}

fn described(server: &Server, name: &str) -> Value {
    serde_json::from_str(&job(server, &["describe", name, "--json"])).unwrap()
}

pub(crate) fn a_slow_job_shows_where_it_is_slow() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path());
    assert_eq!(server.command(&["topic", "create", "numbers"]).0, 0);
    send(server.address, "numbers", (0..RECORDS).map(|number| number.to_string()).collect());
    assert_eq!(job(&server, &["run", "slow"]), "job slow runs as number 1\n");
    let end = Instant::now() + PATIENCE;
    let (before, after) = loop {
        let list: Value = serde_json::from_str(&job(&server, &["list", "--json"])).unwrap();
        let described = described(&server, "slow");
        // The first batch must be through before time has a beginning.
        if list[0]["tasks"][1]["watermark_ms"].is_i64() {
            break (list[0].clone(), described);
        }
        assert!(Instant::now() < end, "it does not begin: {described}");
    };
    let (source, slow) = (&after["tasks"][0], &after["tasks"][1]);
    let count = |task: &Value, figure: &str| task["operators"][0][figure].as_u64().unwrap();
    let rate = |task: &Value| task["operators"][0]["records_in_per_s"].as_f64().unwrap();
    let share = |task: &Value, figure: &str| task[figure].as_f64().unwrap();

    // What it has not read is lag, what it has and the slow one has not lies between the two.
    let (read, seen, lag) =
        (count(source, "records_in"), count(slow, "records_in"), source["lag"].as_u64().unwrap());
    assert!(seen < read && read < RECORDS, "{after}");
    assert_eq!(lag + read, RECORDS, "{after}");
    // Which of them is slow, and which waits for it.
    assert!(share(slow, "busy") > 0.5 && share(slow, "backpressure") == 0.0, "{after}");
    assert!(share(source, "backpressure") > share(source, "busy"), "{after}");
    // No faster than it can be, and no more than was done meanwhile. The time was a second or more.
    let done = seen - count(&before["tasks"][1], "records_in");
    assert!(rate(slow) > 0.0 && rate(slow) <= done as f64, "{done} records: {after}");
    assert!(rate(slow) <= 1.0 / DELAY.as_secs_f64(), "{after}");
    // Event time has come as far as the records.
    let watermark = |task: &Value| task["watermark_ms"].as_i64().unwrap();
    assert!(watermark(slow) <= watermark(source), "{after}");
    assert!(watermark(source) < read as i64 * STEP_MS && watermark(slow) < seen as i64 * STEP_MS, "{after}");
    assert!(watermark(slow) > 0, "{after}");

    // A stop does not wait for all that.
    assert_eq!(server.stop().code(), Some(0));
    let server = start(directory.path());
    assert!(
        server.log().lines().rfind(|line| line.contains("is_clean")).unwrap().contains("\"is_clean\":true")
    );
    assert_eq!(job(&server, &["stop", "slow"]), "job 1 was stopped\n");
}

pub(crate) fn a_job_that_fails_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path());
    assert_eq!(server.command(&["topic", "create", "brittle"]).0, 0);
    assert_eq!(job(&server, &["run", "brittle"]), "job brittle runs as number 1\n");
    send(server.address, "brittle", vec!["glass".to_owned(), "stone".to_owned()]);
    let failed = |server: &Server| {
        let end = Instant::now() + PATIENCE;
        loop {
            let described = described(server, "brittle");
            if described["state"] == "failed" {
                return described;
            }
            assert!(Instant::now() < end, "it does not fail: {described}");
        }
    };
    let reason = failed(&server)["failure"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("operator `brittle` at offset 1 of partition 0 of topic brittle"), "{reason}");
    assert!(reason.contains("hit by a stone"), "{reason}");
    let text = job(&server, &["describe", "brittle"]);
    assert_eq!(text, format!("brittle (number 1, version 1): failed\nlast failure: {reason}\n"));
    let list = job(&server, &["list"]);
    assert!(list.ends_with("\n1   brittle  failed  -        -    0\n"), "{list}");

    // It is told again that it should run, and fails again: the record is still there.
    assert_eq!(job(&server, &["start", "brittle"]), "job 1 was started\n");
    let again = failed(&server);
    assert_eq!(again["failure"], json!(reason), "{again}");
    let topic = server.command(&["topic", "describe", "whole", "--json"]).1;
    let topic: Value = serde_json::from_str(&topic).unwrap();
    assert!(
        topic[0]["partitions"][0]["end_offset"].as_u64().unwrap() <= 1,
        "nothing is written twice: {topic}"
    );
}
