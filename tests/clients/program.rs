//! A client's program: a process that runs cases one after another and answers each with a line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::command;
use crate::install::Cache;
use crate::suite::Outcome;

/// How long a case may take before its program is ended: well above the programs' own deadlines, which say what was
/// waited for.
const CASE_LIMIT: Duration = Duration::from_secs(200);

/// Finds or installs the client; gives the command that starts its program, or why the client can't be had.
pub(crate) type Install = fn(&Cache) -> Result<Command, String>;

pub(crate) struct Program {
    name: &'static str,
    install: Install,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Why the client can't be had.
    missing: Option<String>,
    running: Option<Running>,
}

struct Running {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    log: NamedTempFile,
}

impl Program {
    pub(crate) fn new(name: &'static str, install: Install) -> Self {
        Self { name, install, state: Mutex::default() }
    }

    /// Runs a case, in the process that ran the ones before if it still lives.
    pub(crate) fn run(
        &self,
        case: &str,
        bootstrap: &str,
        run: &str,
        restart: &dyn Fn() -> Result<(), String>,
    ) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &state.missing {
            return Outcome::Skipped(reason.clone());
        }
        let mut running = match state.running.take() {
            Some(running) => running,
            None => match Cache::open().and_then(|cache| (self.install)(&cache)) {
                Ok(command) => match Running::start(command, bootstrap, run) {
                    Ok(running) => running,
                    Err(reason) => return Outcome::Failed(reason),
                },
                Err(reason) => {
                    let reason = format!("{} can't be had: {reason}", self.name);
                    state.missing = Some(reason.clone());
                    return Outcome::Skipped(reason);
                }
            },
        };
        let log_start = running.log.as_file().metadata().map_or(0, |metadata| metadata.len());
        match running.run(case, restart) {
            Ok(answer) => {
                let failed = (answer["ok"] != true).then(|| running.failure(&answer, log_start));
                state.running = Some(running);
                failed.map_or(Outcome::Passed, Outcome::Failed)
            }
            // A program that hangs or ended is replaced for the next case.
            Err(reason) => {
                Outcome::Failed(format!("{reason}\n{}", command::tail(running.log.path(), log_start)))
            }
        }
    }
}

impl Running {
    fn start(mut command: Command, bootstrap: &str, run: &str) -> Result<Self, String> {
        let shown = format!("{command:?}");
        let mut start = || -> std::io::Result<Self> {
            let log = NamedTempFile::new()?;
            let mut process = command
                .arg(bootstrap)
                .env("MILLRACE_TEST_RUN", run)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(log.reopen()?)
                .spawn()?;
            let (input, output) =
                process.stdin.take().zip(process.stdout.take()).ok_or(std::io::ErrorKind::BrokenPipe)?;
            let (send, lines) = channel();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        return;
                    }
                }
            });
            Ok(Self { process, input, lines, log })
        };
        let running = start().map_err(|error| format!("{shown}: {error}"))?;
        // The first line names the cases, for people; the suite has its own list, and an unknown case fails.
        match running.next_line() {
            Ok(_) => Ok(running),
            Err(reason) => Err(format!("{shown}: {reason}\n{}", command::tail(running.log.path(), 0))),
        }
    }

    fn run(&mut self, case: &str, restart: &dyn Fn() -> Result<(), String>) -> Result<Value, String> {
        self.write_line(case)?;
        loop {
            let line = self.next_line()?;
            if line["hook"] == "restart" {
                restart()?;
                self.write_line("done")?;
            } else if line["case"] == case {
                return Ok(line);
            } else {
                return Err(format!("the program answered {line} to {case}"));
            }
        }
    }

    fn write_line(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.input, "{line}")
            .and_then(|()| self.input.flush())
            .map_err(|error| format!("the program: {error}"))
    }

    fn next_line(&self) -> Result<Value, String> {
        let line = self.lines.recv_timeout(CASE_LIMIT).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("no answer within {} s", CASE_LIMIT.as_secs()),
            RecvTimeoutError::Disconnected => "the program ended".to_owned(),
        })?;
        serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))
    }

    fn failure(&self, answer: &Value, log_start: u64) -> String {
        let detail = answer["detail"].as_str().map_or_else(|| answer["detail"].to_string(), str::to_owned);
        let path: PathBuf = self.log.path().to_owned();
        format!("{detail}\nthe client's log:\n{}", command::tail(&path, log_start))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has no state worth a gentle end.
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("a client's program did not end: {error}");
        }
    }
}
