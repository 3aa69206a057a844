//! The broker under test: one that runs already, or a Millrace that the suite starts.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command::{self, Input};

/// The address of a broker that runs already, as `HOST:PORT`.
const BOOTSTRAP: &str = "MILLRACE_TEST_BOOTSTRAP";

/// A shell command that restarts that broker, and returns when it is started or soon will be.
const RESTART: &str = "MILLRACE_TEST_RESTART";

/// How long a broker may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// What differs from the defaults: the clients need the cores that shards would otherwise hold, and dozens of groups need
/// not wait three seconds each for their first members.
const SETTINGS: [(&str, &str); 4] = [
    ("MILLRACE_SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
    ("MILLRACE_RUNTIME__PIN", "never"),
    ("MILLRACE_RUNTIME__SPIN_US", "0"),
    ("MILLRACE_GROUP__INITIAL_REBALANCE_DELAY_MS", "100"),
];

pub(crate) enum Broker {
    External { address: String, restart: Option<String> },
    Own(Server),
}

impl Broker {
    /// Whether the suite runs against a broker that it did not start.
    pub(crate) fn is_external() -> bool {
        std::env::var_os(BOOTSTRAP).is_some()
    }

    /// The broker that the environment names, or else a new Millrace.
    pub(crate) fn start() -> Result<Self, String> {
        if let Ok(address) = std::env::var(BOOTSTRAP) {
            return Ok(Self::External { address, restart: std::env::var(RESTART).ok() });
        }
        Server::start().map(Self::Own)
    }

    pub(crate) fn address(&self) -> &str {
        match self {
            Self::External { address, .. } => address,
            Self::Own(server) => &server.address,
        }
    }

    /// The reason if this broker can't be restarted from here.
    pub(crate) fn why_not_restartable(&self) -> Option<&'static str> {
        match self {
            Self::External { restart: None, .. } => {
                Some("MILLRACE_TEST_RESTART has no command that restarts the broker")
            }
            _ => None,
        }
    }

    /// Stops the broker and starts it again under the same address, with the same data.
    pub(crate) fn restart(&self) -> Result<(), String> {
        match self {
            Self::External { restart: None, .. } => Err("this broker can't be restarted".to_owned()),
            Self::External { restart: Some(command), address } => {
                let mut shell = Command::new("sh");
                shell.args(["-c", command]);
                command::run(shell, Input::None, PATIENCE * 2)?;
                wait_until_open(address)
            }
            Self::Own(server) => server.restart(),
        }
    }
}

fn wait_until_open(address: &str) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        if Instant::now() > end {
            return Err(format!("nothing listens at {address} after the restart"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A Millrace of this build with a data directory of its own, stopped when it is dropped.
pub(crate) struct Server {
    address: String,
    directory: TempDir,
    process: Mutex<Child>,
}

impl Server {
    fn start() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (process, address) = launch(&directory, "127.0.0.1:0")?;
        Ok(Self { address, directory, process: Mutex::new(process) })
    }

    fn restart(&self) -> Result<(), String> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        terminate(&mut process)?;
        let (started, address) = launch(&self.directory, &self.address)?;
        *process = started;
        if address != self.address {
            return Err(format!("asked to listen at {}, it listens at {address}", self.address));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Err(reason) = terminate(process) {
            eprintln!("the server did not stop by itself: {reason}");
        }
    }
}

/// Starts the server and waits for the file in which it says where it listens.
fn launch(directory: &TempDir, listen: &str) -> Result<(Child, String), String> {
    let path = |name: &str| -> PathBuf { directory.path().join(name) };
    let ready = path("ready");
    if let Err(error) = fs::remove_file(&ready)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(format!("{}: {error}", ready.display()));
    }
    let log =
        File::options().create(true).append(true).open(path("log")).map_err(|error| error.to_string())?;
    let mut process = Command::new(env!("CARGO_BIN_EXE_millrace"))
        .args(["serve", "--listen", listen, "--data-dir"])
        .arg(path("data"))
        .arg("--ready-file")
        .arg(&ready)
        .envs(SETTINGS)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("cannot start the server: {error}"))?;
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(address) = fs::read_to_string(&ready).ok().as_deref().and_then(|text| text.lines().next())
        {
            return Ok((process, address.to_owned()));
        }
        let ended = process.try_wait().map_err(|error| error.to_string())?;
        if ended.is_some() || Instant::now() > end {
            let how = ended.map_or_else(|| "is not ready after 30 s".to_owned(), |status| status.to_string());
            if ended.is_none() {
                terminate(&mut process)?;
            }
            return Err(format!("the server: {how}\n{}", command::tail(&path("log"), 0)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks a process to end, and ends it by force if it does not.
pub(crate) fn terminate(process: &mut Child) -> Result<(), String> {
    if process.try_wait().map_err(|error| error.to_string())?.is_some() {
        return Ok(());
    }
    kill_process(Pid::from_child(process), Signal::TERM).map_err(|error| error.to_string())?;
    let end = Instant::now() + PATIENCE;
    while process.try_wait().map_err(|error| error.to_string())?.is_none() {
        if Instant::now() > end {
            process.kill().and_then(|()| process.wait()).map_err(|error| error.to_string())?;
            return Err("it did not stop within 30 s of SIGTERM".to_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
