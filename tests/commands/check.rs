//! `millrace check`, and the same at the start of `serve`.

use crate::process::{Start, millrace, run};
use serde_json::Value;

#[test]
fn a_sound_machine_and_configuration_pass() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (code, stdout, stderr) = run(&["check", "--json", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["configuration"], Value::Array(Vec::new()));
    let machine = report["machine"].as_array().unwrap();
    for name in ["kernel", "io_uring", "locked memory", "open files", "cores"] {
        let check = machine.iter().find(|check| check["name"] == name).unwrap();
        assert_ne!(check["grade"], "unfit", "{check}");
    }
    assert!(machine.iter().filter(|check| check["grade"] != "good").all(|check| check["cure"].is_string()));
    assert!(!data.exists(), "a check makes nothing");
}

#[test]
fn a_wrong_configuration_is_told_with_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("millrace.toml");
    std::fs::write(&file, "[server]\nshard = 1\nlisten = 7\n").unwrap();
    let arguments = ["check", "--config", file.to_str().unwrap()];
    let (code, stdout, stderr) = run(&arguments);
    assert_eq!(code, 78);
    assert!(stderr.contains("did you mean shards?") && stderr.contains("server.listen must be"), "{stderr}");
    assert!(stdout.contains("unfit configuration") && stdout.contains("kernel: Linux"), "{stdout}");
    assert!(!(stdout + &stderr).contains('\x1b'), "colours are for terminals");
    let (code, stdout, _) = run(&[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, 78);
    let problems = report["configuration"].as_array().unwrap();
    assert!(problems.iter().any(|problem| problem["cure"] == "did you mean shards?"), "{report}");
    assert!(problems.iter().all(|problem| problem["origin"].is_string()), "{report}");
}

#[test]
fn what_the_configuration_risks_is_told_and_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("millrace.toml");
    let data = directory.path().join("data");
    let text = format!("[server]\ndata_dirs = [{data:?}]\n[topic]\ndurability = \"os\"\n");
    std::fs::write(&file, text).unwrap();
    let arguments = ["check", "--config", file.to_str().unwrap()];
    let (code, stdout, stderr) = run(&arguments);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(
        stdout.contains("poor  topic.durability: \"os\": acknowledged records are written, but not synced\n"),
        "{stdout}"
    );
    let (code, stdout, _) = run(&[&arguments[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, 0);
    assert_eq!(report["warnings"][0]["setting"], "topic.durability");
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
    let (_, stdout, _) = run(&["check", "--json", "--data-dir", data.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["warnings"], Value::Array(Vec::new()), "there is none by default");
}

#[test]
fn where_nothing_can_be_written_no_server_starts() {
    for command in ["check", "serve"] {
        let output = millrace(&[command, "--data-dir", "/proc/self", "--listen", "127.0.0.1:0"]).output();
        let output = output.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(71), "{text}");
        assert!(text.contains("writing of /proc/self"), "{text}");
        assert!(text.contains("let this user write to /proc/self"), "{text}");
    }
}

/// The limit is of who starts the server, and so is the cure: a wrong configuration, not a machine that can't.
#[test]
fn too_little_locked_memory_is_a_wrong_configuration() {
    let directory = tempfile::tempdir().unwrap();
    for command in ["check", "serve"] {
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -l 64 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_millrace"), command])
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join("data"))
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.contains("64 KiB") && text.contains("ulimit -l 8192"), "{text}");
    }
}

/// What `serve` would refuse, `check` refuses: with the same code, and nothing is changed.
#[test]
fn data_that_no_server_would_open_is_unfit() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let check = |expected: (i32, &str)| {
        let (code, stdout, stderr) = run(&["check", "--data-dir", data.to_str().unwrap()]);
        assert!(
            (code, stdout.contains(expected.1)) == (expected.0, true),
            "{expected:?}: {code} {stdout}{stderr}"
        );
    };
    let server = Start::below(directory.path()).run();
    check((65, "unfit data directories: "));
    check((65, "is in use by another process\n      -> stop the server"));
    assert_eq!(server.stop().code(), Some(0));
    check((0, "good  data directories: "));

    let format = std::fs::read(data.join("format")).unwrap();
    std::fs::write(data.join("format"), &format[1..]).unwrap();
    check((65, "format: it is damaged"));
    assert_eq!(std::fs::read(data.join("format")).unwrap(), format[1..], "it was looked at, and left");
    let (code, stdout, _) = run(&["check", "--json", "--data-dir", data.to_str().unwrap()]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["data"][0]["grade"]), (65, &Value::from("unfit")));

    std::fs::remove_dir_all(&data).unwrap();
    std::fs::write(&data, "a file").unwrap();
    check((65, "unfit data directories: "));
    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("letter"), "dear").unwrap();
    check((65, "not a data directory of Millrace"));
}
