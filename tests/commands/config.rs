//! `millrace config print`.

use crate::process::{millrace, run};
use serde_json::{Value, json};
use std::{fs, path::Path};

fn print(file: &Path, more: &[&str]) -> String {
    let output = millrace(&["config", "print", "--config", file.to_str().unwrap(), "--shards", "3"])
        .args(more)
        .env("MILLRACE_TOPIC__PARTITIONS", "7")
        .env("MILLRACE_GROUP__SESSION_TIMEOUT_MS_MIN", "100")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!((output.status.code(), text(output.stderr).as_str()), (Some(0), ""));
    text(output.stdout)
}

#[test]
fn every_value_tells_where_it_came_from() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("millrace.toml");
    fs::write(&file, "[topic]\npartitions = 2\nauto_create = false\n").unwrap();
    let text = print(&file, &["--origin"]);
    let line = |key: &str| {
        let start = format!("{key} = ");
        let line =
            text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{key}: {text}"));
        let (value, origin) = line[start.len()..].split_once(" # ").unwrap();
        (value.trim().to_owned(), origin.to_owned())
    };
    let of = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(line("listen"), of("\"127.0.0.1:9092\"", "default"));
    assert_eq!(line("auto_create"), of("false", &format!("file {}:3", file.display())));
    assert_eq!(line("partitions"), of("7", "environment MILLRACE_TOPIC__PARTITIONS"), "above the file's");
    assert_eq!(line("shards"), of("3", "flag --shards"));
    let all: Value = serde_json::from_str(&print(&file, &["--json"])).unwrap();
    let of_name =
        |name: &str| all.as_array().unwrap().iter().find(|setting| setting["name"] == name).unwrap();
    let expected = json!({ "name": "server.shards", "value": "3", "origin": "flag --shards" });
    assert_eq!(of_name("server.shards"), &expected);
    let values = text.lines().filter(|line| line.contains(" = ")).count();
    assert_eq!(all.as_array().unwrap().len(), values, "the same settings");
}

#[test]
fn what_is_printed_is_a_configuration_file_of_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first.toml"), directory.path().join("second.toml"));
    fs::write(&first, "[log]\nfilter = \"warn,millrace_net=debug\"\n").unwrap();
    let printed = print(&first, &[]);
    assert!(printed.contains("filter = \"warn,millrace_net=debug\""), "{printed}");
    fs::write(&second, &printed).unwrap();
    let (code, again, stderr) = run(&["config", "print", "--config", second.to_str().unwrap()]);
    assert_eq!((code, again, stderr), (0, printed, String::new()));
}

#[test]
fn a_wrong_configuration_is_not_printed() {
    for (arguments, names) in [
        (["--listen", "nowhere"], "flag --listen"),
        (["--shards", "0"], "flag --shards"),
        (["--config", "/no/such/file"], "cannot read /no/such/file"),
    ] {
        let (code, stdout, stderr) = run(&[&["config", "print"], &arguments[..]].concat());
        assert_eq!((code, stdout.as_str()), (78, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(names), "{arguments:?}: {stderr}");
    }
}

#[test]
fn what_cannot_be_printed_is_told_once_and_fails() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = ["--data-dir", data.to_str().unwrap()];
    for command in [&["config", "print"][..], &["check"], &["check", "--json"], &["completions", "bash"]] {
        let more = if command[0] == "completions" { &[][..] } else { &data };
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = millrace(command).args(more).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{command:?}: {stderr}");
        assert!(stderr.starts_with("millrace: standard output: No space left"), "{command:?}: {stderr}");
    }
}
