//! The README's test command, and the check that every test target there should be did run.
//!
//! A target that silently vanishes (a `required-features` that is no longer met, a path that moved) would leave CI green;
//! so the list of targets is committed, and a run must name each of them.

use crate::shell::{Failure, cargo, root, say};
use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

/// The committed list.
const LIST: &str = "xtask/test-targets.txt";

/// Runs `cargo test` and compares the targets that ran with the list.
pub(crate) fn test() -> Result<(), Failure> {
    let mut command = cargo();
    command.args(["test", "--color", "never"]).stdin(Stdio::null()).stderr(Stdio::piped());
    say(&command);
    let failed = |error: std::io::Error| Failure(format!("cargo test: {error}"));
    let mut child = command.spawn().map_err(failed)?;
    let mut ran = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line.map_err(failed)?;
            writeln!(std::io::stderr(), "{line}").map_err(failed)?;
            ran.extend(target(&line));
        }
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(Failure(format!("cargo test: {status}")));
    }
    compare(&mut ran)
}

/// The target that a line of cargo's says it runs, such as `millrace_record src/lib.rs`.
fn target(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{package} doc"));
    }
    let rest = line.strip_prefix("Running ")?;
    let (source, binary) = rest.rsplit_once(" (")?;
    let name = binary.trim_end_matches(')').rsplit('/').next()?.rsplit_once('-')?.0;
    Some(format!("{name} {}", source.trim_start_matches("unittests ")))
}

/// Packages may have targets of the same name: then the name stands in the list as often.
fn compare(ran: &mut Vec<String>) -> Result<(), Failure> {
    let path = root().join(LIST);
    let text = std::fs::read_to_string(&path).map_err(|error| Failure(format!("{LIST}: {error}")))?;
    let mut expected: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    expected.sort_unstable();
    ran.sort_unstable();
    if *ran == expected {
        println!("{} test targets ran, as listed in {LIST}", ran.len());
        return Ok(());
    }
    Err(Failure(format!(
        "the test targets that ran are not those of {LIST}; it should say:\n{}",
        ran.join("\n")
    )))
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn cargos_lines_are_understood() {
        let unit = "     Running unittests src/lib.rs (/t/debug/deps/millrace_record-0123abc)";
        assert_eq!(target(unit).as_deref(), Some("millrace_record src/lib.rs"));
        let path = "     Running tests/sim.rs (target/debug/deps/sim-9f)";
        assert_eq!(target(path).as_deref(), Some("sim tests/sim.rs"));
        assert_eq!(target("   Doc-tests millrace_engine").as_deref(), Some("millrace_engine doc"));
        assert_eq!(target("   Compiling millrace-record v0.1.0"), None);
    }
}
