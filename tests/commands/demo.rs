//! `millrace demo` behind pipes: plain lines, the summary, and nothing left behind.

use crate::process::{Guarded, client, millrace, run, wait};
use millrace::demo::{data::Flights, topics::create_topics};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

/// Days that are enough to see all there is, and few enough for a test.
pub(crate) const DAYS: &str = "3";

/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The ports that the demo wants are taken, by these tests or by somebody else: else several of them would want the same.
fn take_ports() {
    static TAKEN: OnceLock<[Option<TcpListener>; 2]> = OnceLock::new();
    TAKEN.get_or_init(|| [9092, 9644].map(|port| TcpListener::bind(("127.0.0.1", port)).ok()));
}

/// The demo with its temporary files in `temporary`, where nobody else has any.
pub(crate) fn demo(temporary: &Path, arguments: &[&str]) -> Command {
    take_ports();
    let mut command = millrace(&[&["demo", "--shards", "1", "--days", DAYS], arguments].concat());
    command.env("TMPDIR", temporary);
    command
}

/// Flights of both passes, and how many of them had left.
fn flights() -> (u64, u64) {
    let mut flights = Flights::load().unwrap();
    flights.keep_days(DAYS.parse().unwrap());
    let left = flights.lines().iter().filter(|line| !line.cancelled).count();
    (2 * flights.lines().len() as u64, 2 * left as u64)
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// A demo that runs.
struct Running {
    child: Guarded,
    lines: Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        // A test that fails does not listen to the end.
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child: Guarded(child), lines }
    }

    fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| {
            self.child.0.kill().unwrap();
            panic!("no line comes: {error}; {}", self.said())
        })
    }

    /// The lines up to the first that begins with `start`, which is the last of them.
    fn until(&mut self, start: &str) -> Vec<String> {
        let mut lines = vec![self.line()];
        while !lines.last().unwrap().starts_with(start) {
            lines.push(self.line());
        }
        lines
    }

    /// What it has said on standard error, once it has ended.
    fn said(&mut self) -> String {
        said(&mut self.child)
    }

    /// Sends a signal; gives what it still writes, and how it ends.
    fn stop(mut self, signal: Signal) -> (Vec<String>, ExitStatus) {
        kill_process(Pid::from_child(&self.child.0), signal).unwrap();
        let status = wait(&mut self.child.0).expect("the demo stops in time");
        (self.lines.iter().collect(), status)
    }
}

/// What a demo that has ended has said on standard error, but for warnings that this machine has other things to do.
fn said(child: &mut Guarded) -> String {
    let lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.filter(|line| !line.contains("user code holds the shard up")).collect()
}

/// The rest of the line behind `start`, up to `end`.
fn between<'a>(line: &'a str, start: &str, end: &str) -> &'a str {
    let rest = line.split_once(start).unwrap_or_else(|| panic!("no {start:?} in {line:?}")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?} in {line:?}")).0
}

/// The row of a summary that begins with this, without what explains it.
fn figure(lines: &[String], name: &str) -> String {
    let line =
        lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {lines:?}"));
    line[name.len()..].split_whitespace().next().unwrap().replace(',', "")
}

#[test]
fn behind_a_pipe_it_speaks_in_plain_lines_and_comes_to_its_end() {
    let temporary = tempfile::tempdir().unwrap();
    let (all, left) = flights();
    let mut running = Running::start(demo(temporary.path(), &[]));
    assert_eq!(
        running.line(),
        "Millrace demo: which airport and carrier run late? The flights that left New York in the first 3 days of 2013."
    );
    assert_eq!(running.line(), "Port 9092 is taken.");
    let server = running.line();
    let address: SocketAddr = between(&server, "Server on ", ", ").parse().unwrap();
    assert!(address.ip().is_loopback() && address.port() != 9092, "{server}");
    assert!(server.contains(", 1 shard, "), "{server}");
    let data = Path::new(between(&server, "data in ", ", "));
    assert!(data.starts_with(temporary.path()) && data.exists(), "{server}");
    assert!(server.contains("admin on 127.0.0.1:") && !server.contains("9644"), "{server}");
    let lines: Vec<String> = running.lines.iter().collect();
    assert_eq!(wait(&mut running.child.0).and_then(|status| status.code()), Some(0), "{lines:?}");
    assert_eq!(running.said(), "", "nothing to warn of");
    assert!(is_empty(temporary.path()), "the data goes with the demo");

    assert!(
        lines[0].starts_with("2013-01-01  pass 1 of 2: the year in 20 s  in 0 (0/s)  out 0 (0/s)"),
        "{lines:?}"
    );
    assert!(!lines.concat().contains('\x1b'), "{lines:?}");
    assert_eq!(figure(&lines, "flights read"), all.to_string());
    assert_eq!(figure(&lines, "skipped"), (all - left).to_string());
    assert_eq!(figure(&lines, "late"), "0");
    let sum = figure(&lines, "adds up");
    assert_eq!(sum, left.to_string(), "in windows: {lines:?}");
    for pass in ["the year in 20 s", "flat out"] {
        assert_ne!(figure(&lines, pass), "0", "flights per second: {lines:?}");
    }
    let next = lines.iter().position(|line| line.starts_with("To read the result, start with `demo --stay`"));
    assert!(lines[next.unwrap()..].iter().any(|line| line.starts_with("kcat ")), "{lines:?}");
}

#[test]
fn programs_read_json_and_nothing_else() {
    let temporary = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (all, left) = flights();
    let keep = ["--json", "--data-dir", data.path().to_str().unwrap(), "--bound", "180"];
    let output = demo(temporary.path(), &keep).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&summary["whole"], &summary["adds_up"]), (&json!(true), &json!(true)), "{summary}");
    assert_eq!((&summary["flights"], &summary["flights_read"]), (&json!(all), &json!(all)));
    assert_eq!((&summary["skipped"], &summary["bound_min"]), (&json!(all - left), &json!(180)));
    let counted = summary["flights_in_windows"].as_u64().unwrap() + summary["late"].as_u64().unwrap();
    assert_eq!(counted, left);
    assert_eq!(summary["passes"][1]["flights"], all / 2);
    assert!(stderr.starts_with("Millrace demo: "), "{stderr}");
    assert!(is_empty(temporary.path()), "it has no need of one");

    // Data that was given is kept, and not mixed with that of another run.
    assert!(!is_empty(data.path()));
    let output = demo(temporary.path(), &keep).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{stderr}");
    let expected = "millrace demo: the data directory holds topic `flights` already: give an empty one\n";
    assert!(stderr.ends_with(expected), "{stderr}");
}

#[test]
fn it_stays_for_who_wants_to_read_the_result() {
    let temporary = tempfile::tempdir().unwrap();
    let mut running = Running::start(demo(temporary.path(), &["--stay"]));
    let lines = running.until("Server on ");
    let admin = lines.last().unwrap().split_once("admin on ").unwrap().1.trim_end_matches('.');
    let lines = running.until("The server stays until Ctrl-C");
    let windows = figure(&lines, "windows");
    assert_eq!(running.line(), "");
    let kcat = running.line();
    let address: SocketAddr = between(&kcat, "kcat -q -b ", " -C -t delays -o beginning").parse().unwrap();
    let topic = ["topic", "describe", "delays", "--json", "--bootstrap", &address.to_string()];
    let (code, stdout, stderr) = run(&topic);
    assert_eq!(code, 0, "{stderr}");
    let topic: Value = serde_json::from_str(&stdout).unwrap();
    let partitions = topic[0]["partitions"].as_array().unwrap();
    let rows: u64 = partitions.iter().map(|partition| partition["end_offset"].as_u64().unwrap()).sum();
    assert_eq!(rows.to_string(), windows, "what was counted can be read");
    let (code, stdout, stderr) = run(&["job", "list", "--json", "--admin", admin]);
    assert_eq!(code, 0, "{stderr}");
    let jobs: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&jobs[0]["name"], &jobs[0]["state"]), (&json!("delays"), &json!("running")));
    // Its topics are there already: another demo's would not fit in.
    let again =
        client(move || async move { create_topics(address).await.map_err(|error| error.to_string()) });
    assert!(again.unwrap_err().contains("topic `flights` already"));

    let (_, status) = running.stop(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(is_empty(temporary.path()));
}

#[test]
fn it_can_be_stopped_in_the_middle() {
    for signal in [Signal::INT, Signal::TERM] {
        let temporary = tempfile::tempdir().unwrap();
        let mut running = Running::start(demo(temporary.path(), &["--year-seconds", "100000"]));
        running.until("2013-01-01  pass 1 of 2");
        let (lines, status) = running.stop(signal);
        assert_eq!(status.code(), Some(0), "{lines:?}");
        let stopped = lines.iter().find(|line| line.starts_with("stopped "));
        assert!(
            stopped.is_some_and(|line| line.contains("were sent, and some are on their way")),
            "{lines:?}"
        );
        assert!(!lines.iter().any(|line| line.contains("add up")), "{lines:?}");
        assert!(is_empty(temporary.path()));
    }
}

/// As in `demo | head -1`.
#[test]
fn it_ends_when_nobody_reads_any_more() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = demo(temporary.path(), &["--year-seconds", "100000"]);
    let mut child = Guarded(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Millrace demo: "), "{line}");
    assert_eq!(wait(&mut child.0).and_then(|status| status.code()), Some(0));
    assert_eq!(said(&mut child), "");
    assert!(is_empty(temporary.path()));
}

#[test]
fn what_is_out_of_range_is_a_wrong_command_line() {
    for arguments in [["--days", "0"], ["--days", "366"], ["--year-seconds", "0"], ["--shards", "0"]] {
        let (code, stdout, stderr) = run(&[&["demo"], &arguments[..]].concat());
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(stderr.contains(arguments[0]), "{stderr}");
    }
}
