//! `millrace completions`, `--version`, and what any command does whose reader has gone.

use crate::process::{millrace, run};
use std::process::{Command, Stdio};

#[test]
fn every_shell_gets_a_script_that_knows_all_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, stderr) = run(&["completions", shell]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{shell}");
        for word in ["millrace", "serve", "describe", "year-seconds"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let (code, stdout, stderr) = run(&["completions", "cmd.exe"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("bash") && stderr.contains("zsh"), "{stderr}");
}

#[test]
fn bash_completes_with_it() {
    let (_, script, _) = run(&["completions", "bash"]);
    let ask =
        "COMP_WORDS=(millrace jo); COMP_CWORD=1; _millrace millrace jo millrace; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["--norc", "-c", &format!("{script}\n{ask}")]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "job\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn the_version_is_the_packages() {
    let version = format!("millrace {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]), (0, version, String::new()));
    let (code, stdout, stderr) = run(&[]);
    assert_eq!((code, stdout.as_str()), (2, ""), "no command is a wrong command line");
    assert!(stderr.contains("Usage: millrace <COMMAND>"), "{stderr}");
}

/// As behind `head`.
#[test]
fn nobody_minds_a_reader_that_has_gone() {
    for arguments in [&["completions", "bash"][..], &["config", "print"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = millrace(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}
