//! `millrace job`: what it tells of a job and does with it, and its refusals.

use crate::process::{Server, Start, client, run};
use millrace::demo::{
    data::Flights,
    feed::feed,
    flight::{DATA_EPOCH_MS, Flight, Scheduled},
    job::{BOUND_MIN, DELAYS_TOPIC, JOB, LATE_TOPIC},
    replay::{Pace, Replay},
    topics::{FLIGHTS_PARTITIONS, create_topics},
    utc::{self, HOUR_MS},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

const FLIGHTS: usize = 10_000;

/// How long the job may take for them.
const PATIENCE: Duration = Duration::from_secs(120);

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Runs `millrace job` against a server.
fn job(server: &Server, arguments: &[&str]) -> (i32, String, String) {
    let admin = server.admin_address().to_string();
    run(&[&["job"], arguments, &["--admin", &admin]].concat())
}

/// What a command prints that goes well.
fn done(server: &Server, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = job(server, arguments);
    assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
    stdout
}

/// What a command says that is refused.
fn refused(server: &Server, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = job(server, arguments);
    assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
    stderr
}

/// What must come of flights, by their lines alone.
struct Expected {
    replay: Arc<Replay>,
    /// Records in the topic: flights, and a last one in each partition.
    records: u64,
    departed: u64,
    rows: u64,
    /// The last records' schedule, less the bound.
    watermark_ms: i64,
}

fn flights() -> Expected {
    let mut flights = Flights::load().unwrap();
    flights.keep(0..FLIGHTS);
    let left = flights.lines().iter().filter_map(|line| Scheduled::parse(flights.text(line)).unwrap().flight);
    let left: Vec<Flight> = left.collect();
    let hours = left.iter().map(|flight| (flight.scheduled_ms / HOUR_MS, flight.origin, flight.carrier));
    let rows = hours.collect::<BTreeSet<_>>().len() as u64;
    let replay = Replay::new(flights, vec![Pace::FlatOut], FLIGHTS_PARTITIONS, BOUND_MIN as i32);
    let watermark_ms = DATA_EPOCH_MS + i64::from(replay.last_end_min()) * 60_000 - 1;
    Expected {
        records: FLIGHTS as u64 + u64::from(FLIGHTS_PARTITIONS),
        departed: left.len() as u64,
        rows,
        watermark_ms,
        replay: Arc::new(replay),
    }
}

fn send(server: SocketAddr, replay: Arc<Replay>) {
    client(move || async move { feed(&replay, server).await.unwrap() });
}

/// The task with this operator, and the operator.
fn operator<'a>(job: &'a Value, name: &str) -> (&'a Value, &'a Value) {
    let tasks = job["tasks"].as_array().unwrap();
    let pairs = tasks
        .iter()
        .flat_map(|task| task["operators"].as_array().unwrap().iter().map(move |one| (task, one)));
    pairs
        .into_iter()
        .find(|(_, operator)| operator["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {job}"))
}

/// Describes the job again and again until it has read all, and its windows are closed.
fn at_rest(server: &Server, expected: &Expected) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let job = parsed(&done(server, &["describe", JOB, "--json"]));
        let (source, reading) = operator(&job, "flights");
        let (read, lag) = (reading["records_in"].as_u64().unwrap(), source["lag"].as_u64().unwrap());
        assert!(read <= expected.records && lag <= expected.records, "{job}");
        let (window, of_window) = operator(&job, "window");
        let is_closed =
            window["watermark_ms"] == expected.watermark_ms && of_window["records_in_per_s"] == 0.0;
        if lag == 0 && is_closed && of_window["records_out_per_s"] == 0.0 {
            return job;
        }
        assert!(Instant::now() < end, "the job does not come to rest: {job}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_jobs_figures_are_those_of_its_work() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).shards(2).run();
    let (address, expected) = (server.address, flights());
    client(move || async move { create_topics(address).await.unwrap() });
    send(address, Arc::clone(&expected.replay));
    assert_eq!(done(&server, &["list"]), "ID  NAME  STATE  ATTEMPT  LAG  RECORDS IN\n");
    assert_eq!(parsed(&done(&server, &["list", "--json"])), json!([]));
    assert_eq!(done(&server, &["run", JOB, "--set", "bound_min=1300"]), "job delays runs as number 1\n");

    let job = at_rest(&server, &expected);
    for (name, records_in, records_out) in [
        ("flights", expected.records, expected.records),
        ("event_time", expected.records, expected.records),
        ("departed", expected.records, expected.departed),
        ("key_by", expected.departed, expected.departed),
        ("window", expected.departed, expected.rows),
    ] {
        let (_, counts) = operator(&job, name);
        let found = (counts["records_in"].as_u64().unwrap(), counts["records_out"].as_u64().unwrap());
        assert_eq!((found, &counts["late_records"]), ((records_in, records_out), &json!(0)), "{name}");
    }
    let (source, _) = operator(&job, "flights");
    assert_eq!((&source["lag"], &source["watermark_ms"]), (&json!(0), &json!(expected.watermark_ms)));
    assert_eq!(source["shards"], json!([0, 1]));
    assert_eq!((&job["state"], &job["attempt"], &job["restarts"]), (&json!("running"), &json!(1), &json!(0)));
    let topics = parsed(&server.command(&["topic", "describe", DELAYS_TOPIC, LATE_TOPIC, "--json"]).1);
    let ends = topics.as_array().unwrap().iter().map(|topic| {
        let partitions = topic["partitions"].as_array().unwrap();
        partitions.iter().map(|partition| partition["end_offset"].as_u64().unwrap()).sum::<u64>()
    });
    assert_eq!(ends.collect::<Vec<_>>(), [expected.rows, 0], "the topics hold what the job has counted");

    let list = format!(
        "ID  NAME    STATE    ATTEMPT  LAG  RECORDS IN\n1   delays  running  1        0    {}\n",
        expected.records
    );
    assert_eq!(done(&server, &["list"]), list);
    as_a_table(&done(&server, &["describe", "1"]), &expected);
    // What can't be had a second time is told, with the number of what has it.
    assert_eq!(refused(&server, &["run", JOB]), "millrace: job 1 runs already: stop it first\n");
}

/// A job at rest, for a person.
fn as_a_table(text: &str, expected: &Expected) {
    let mut lines = text.lines();
    for line in ["delays (number 1, version 1): running", "attempt 1", "bound_min = 1300"] {
        assert_eq!(lines.next(), Some(line), "{text}");
    }
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let headings = ["OPERATOR", "IN/S", "OUT/S", "IN", "OUT", "LATE", "LAG", "WATERMARK", "BUSY/BLOCKED"];
    assert_eq!(rows[0], headings, "{text}");
    let watermark = utc::format(expected.watermark_ms);
    let [records, departed, counted] =
        [expected.records, expected.departed, expected.rows].map(|n| n.to_string());
    let cells = |row: usize| rows[row].iter().take(8).copied().collect::<Vec<_>>();
    assert_eq!(cells(1), ["flights", "0", "0", &records, &records, "0", "0", &watermark], "{text}");
    assert_eq!(cells(3), ["departed", "0", "0", &records, &departed, "0"], "{text}");
    assert_eq!(cells(5), ["window", "0", "0", &departed, &counted, "0", "-", &watermark], "{text}");
}

#[test]
fn jobs_stop_and_start_as_told() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).run();
    let states = |server: &Server| -> Vec<(u64, String)> {
        let jobs = parsed(&done(server, &["list", "--json"]));
        let jobs = jobs.as_array().unwrap().iter();
        jobs.map(|job| (job["id"].as_u64().unwrap(), job["state"].as_str().unwrap().to_owned())).collect()
    };
    let state = |id, state: &str| (id, state.to_owned());
    assert_eq!(parsed(&done(&server, &["run", JOB, "--json"])), json!({ "id": 1 }));
    assert_eq!(done(&server, &["stop", JOB]), "job 1 was stopped\n");
    assert_eq!(states(&server), [state(1, "stopped")]);
    assert_eq!(done(&server, &["describe", JOB]), "delays (number 1, version 1): stopped\n");
    assert_eq!(refused(&server, &["stop", "1"]), "millrace: job 1 does not run\n");

    // Another of the same name: a name means the one that runs, for all commands.
    assert_eq!(done(&server, &["run", JOB]), "job delays runs as number 2\n");
    assert_eq!(refused(&server, &["start", "1"]), "millrace: job 2 runs already: stop it first\n");
    assert_eq!(parsed(&done(&server, &["stop", JOB, "--json"])), json!({ "id": 2 }));
    let both = "millrace: several jobs are called `delays`: say which by its number\n";
    assert_eq!(refused(&server, &["start", JOB]), both);
    assert_eq!(done(&server, &["start", "1"]), "job 1 was started\n");
    assert_eq!(
        parsed(&done(&server, &["describe", JOB, "--json"]))["id"],
        1,
        "not the last, which is stopped"
    );
    assert!(done(&server, &["describe", "2"]).starts_with("delays (number 2, version 1): stopped\n"));

    assert_eq!(server.stop().code(), Some(0));
    let server = Start::below(directory.path()).shards(2).run();
    let end = Instant::now() + PATIENCE;
    while states(&server) != [state(1, "running"), state(2, "stopped")] {
        assert!(Instant::now() < end, "{:?}", states(&server));
    }
    assert_eq!(done(&server, &["stop", JOB]), "job 1 was stopped\n");
}

#[test]
fn what_cannot_be_done_with_jobs_is_said_plainly() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).run();
    for command in ["describe", "stop", "start"] {
        // Whatever stands in a name is of the name.
        for name in ["nothing", "7", "a b", "a/b", "../healthz", "a?interval_ms=1", "100%", "größe", "#"] {
            assert_eq!(refused(&server, &[command, name]), format!("millrace: there is no job `{name}`\n"));
            assert_eq!(
                refused(&server, &[command, name, "--json"]),
                format!("millrace: there is no job `{name}`\n")
            );
        }
        let (code, stdout, stderr) = job(&server, &[command, ""]);
        assert_eq!((code, stdout.as_str()), (2, ""), "a wrong argument: {stderr}");
    }
    for (arguments, expected) in [
        (&["delayz"][..], "no job `delayz` is linked into this binary; there are: delays"),
        (&[JOB, "--set", "bund=3"], "unknown parameter `bund`; the job has bound_min"),
        (&[JOB, "--set", "bound_min=long"], "parameter `bound_min`: `long` is not a u32"),
        (&[JOB, "--shards", "0,1"], "there is no shard 1: the server has 1"),
    ] {
        let stderr = refused(&server, &[&["run"], arguments].concat());
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
    assert_eq!(job(&server, &["run", JOB, "--set", "bound_min"]).0, 2, "a wrong argument");
    assert_eq!(parsed(&done(&server, &["list", "--json"])), json!([]), "nothing came of it");
}

#[test]
fn without_an_admin_interface_jobs_are_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).run();
    // Kafka's port is an easy mistake.
    let kafka = server.address.to_string();
    for arguments in
        [&["list"][..], &["describe", "1", "--json"], &["stop", "1"], &["start", "1"], &["run", JOB]]
    {
        let (code, stdout, stderr) = run(&[&["job"], arguments, &["--admin", "127.0.0.1:1"]].concat());
        assert_eq!((code, stdout.as_str()), (69, ""), "{arguments:?}");
        assert_eq!(stderr, "millrace: no server at 127.0.0.1:1: Connection refused (os error 111)\n");
        let (code, stdout, stderr) = run(&[&["job"], arguments, &["--admin", &kafka]].concat());
        assert_eq!((code, stdout.as_str()), (69, ""), "{arguments:?}");
        assert!(stderr.starts_with(&format!("millrace: no server at {kafka}: ")), "{stderr}");
    }
    let (code, _, stderr) = run(&["job", "list", "--admin", "no-such-host.invalid:9644"]);
    assert_eq!(code, 69);
    assert!(stderr.starts_with("millrace: no server at no-such-host.invalid:9644: "), "{stderr}");
    assert_eq!(run(&["job", "list", "--admin", "nowhere"]).0, 2, "a wrong argument");
}

#[test]
fn what_answers_otherwise_is_no_admin_interface() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nwelcome")
            .unwrap();
    });
    let (code, stdout, stderr) = run(&["job", "list", "--admin", &address]);
    answering.join().unwrap();
    assert_eq!((code, stdout.as_str()), (1, ""));
    let expected = format!(
        "millrace: {address} is no admin interface of a server like this: it says 200 OK \"welcome\"\n"
    );
    assert_eq!(stderr, expected);
}
