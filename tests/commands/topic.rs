//! `millrace topic`, against a server of its own.

use crate::process::{Start, millrace, run};
use serde_json::{Value, json};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn topics_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).shards(2).run();
    let create = ["topic", "create", "orders", "--partitions", "3", "--config", "retention.ms=1000"];
    let (code, stdout, _) = server.command(&create);
    assert_eq!((code, stdout.as_str()), (0, "created topic orders with 3 partitions\n"));

    let (code, stdout, stderr) = server.command(&create);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("topic orders exists already"), "{stderr}");
    let (code, stdout, _) = server.command(&["topic", "create", "orders", "--if-not-exists", "--json"]);
    assert_eq!((code, &parsed(&stdout)["created"]), (0, &json!(false)));

    let (code, stdout, _) = server.command(&["topic", "list", "--json"]);
    let listed = json!([{ "name": "orders", "partitions": 3, "replication_factor": 1, "internal": false }]);
    assert_eq!((code, parsed(&stdout)), (0, listed));
    let (_, stdout, _) = server.command(&["topic", "list"]);
    assert_eq!(stdout, "TOPIC   PARTITIONS  REPLICAS\norders  3           1\n");

    let (code, stdout, _) = server.command(&["topic", "describe", "orders", "--json"]);
    let described = parsed(&stdout);
    assert_eq!(code, 0);
    assert_eq!(described[0]["configs"], json!({ "retention.ms": "1000" }));
    assert_eq!(described[0]["partitions"].as_array().unwrap().len(), 3);
    assert_eq!(described[0]["partitions"][2]["end_offset"], 0);
    let (_, stdout, _) = server.command(&["topic", "describe"]);
    assert!(stdout.contains("retention.ms = 1000") && !stdout.contains("cleanup.policy"), "{stdout}");
    let (_, stdout, _) = server.command(&["topic", "describe", "--all-configs"]);
    assert!(stdout.contains("cleanup.policy = delete"), "{stdout}");

    let (code, stdout, _) = server.command(&["topic", "delete", "orders"]);
    assert_eq!((code, stdout.as_str()), (0, "deleted topic orders\n"));
    let (code, stdout, _) = server.command(&["topic", "delete", "orders", "--if-exists", "--json"]);
    assert_eq!((code, parsed(&stdout)), (0, json!([{ "name": "orders", "deleted": false }])));
}

#[test]
fn what_cannot_be_done_is_said_plainly() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).run();
    assert_eq!(server.command(&["topic", "create", "orders"]).0, 0);
    for (arguments, expected) in [
        (&["describe", "ordrs"][..], "there is no topic ordrs; did you mean orders?"),
        (&["delete", "order"], "there is no topic order; did you mean orders?"),
        (&["delete", "xyz"], "there is no topic xyz\n"),
        (&["create", "two", "--replication-factor", "2"], "INVALID_REPLICATION_FACTOR"),
        (&["create", "odd", "--config", "no.such=1"], "Unknown topic config name: no.such"),
        (&["create", "a/b"], "Topic name is invalid"),
    ] {
        let (code, _, stderr) = server.command(&[&["topic"], arguments].concat());
        assert_eq!(code, 1, "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let (code, stdout, _) = server.command(&["topic", "describe", "nothing", "--json"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(server.command(&["topic", "create", "x", "--partitions", "0"]).0, 2, "a wrong argument");
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let (code, _, stderr) = run(&["topic", "list", "--bootstrap", "127.0.0.1:1"]);
    assert_eq!(code, 69);
    assert!(stderr.contains("no broker at 127.0.0.1:1: Connection refused"), "{stderr}");
    let (code, _, stderr) = run(&["topic", "list", "--bootstrap", "no-such-host.invalid:9092"]);
    assert_eq!(code, 69);
    assert!(stderr.contains("no-such-host.invalid"), "{stderr}");
}

#[test]
fn what_answers_but_does_not_speak_kafka_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let (code, _, stderr) = run(&["topic", "list", "--timeout", "5", "--bootstrap", &address]);
    answering.join().unwrap();
    assert_eq!(code, 69, "{stderr}");
}

/// A script that keeps the list in a file must learn that the file is not whole.
#[test]
fn a_list_that_could_not_be_written_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).run();
    let address = server.address.to_string();
    for more in [&["list"][..], &["list", "--json"], &["create", "t"], &["describe"], &["delete", "t"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let command = millrace(&["topic"]).args(more).args(["--bootstrap", &address]).stdout(full).output();
        let output = command.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{more:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{more:?}: {stderr}");
        assert!(stderr.starts_with("millrace: standard output: No space left"), "{more:?}: {stderr}");
    }
    let admin = server.admin_address().to_string();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = millrace(&["job", "list", "--json", "--admin", &admin]).stdout(full).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.split(|byte| *byte == b'\n').count()), (Some(1), 2));
}
