//! The real server as a process of its own.
//!
//! A bench that needs one is also the server: it starts itself again with the server's arguments, so that one `cargo bench`
//! builds all there is to build, and what is measured is never an old binary.

#![expect(clippy::unwrap_used, reason = "an error ends the bench")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what watches a server from outside is no part of any simulated world"
)]

use crate::cpu;
use millrace_runtime::Instant;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    env,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    thread::sleep,
    time::Duration,
};
use tempfile::TempDir;

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(2);

/// What this process does if it was started as `millrace`: the first thing that a bench's `main` calls.
#[must_use]
pub fn as_millrace() -> Option<ExitCode> {
    let is_command = env::args().nth(1).is_some_and(|argument| !argument.starts_with('-'));
    (is_command && env::var(MARK).is_ok()).then(|| millrace::main(|_| {}))
}

/// Tells the process apart from a bench that was given a filter.
const MARK: &str = "MILLRACE_BENCH_IS_SERVER";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(arguments).env(MARK, "1").stdin(Stdio::null());
    command
}

/// A server that runs, with a new directory for its data; killed, and its data removed, when this drops.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    _directory: TempDir,
}

impl Server {
    /// Starts one on these cores with so many shards, its data below `parent`, and returns when clients can connect. `durability`
    /// is its setting `topic.durability`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(parent: &Path, shards: u16, cores: &[usize], durability: &str) -> Self {
        let directory = TempDir::with_prefix_in("millrace-bench-", parent).unwrap();
        let ready = directory.path().join("ready");
        // The admin interface does not tell which free port it took: ours is one that was free a moment ago.
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let before = cpu::cores();
        cpu::pin(cores);
        let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
        serve.args(["--admin-listen", &admin.to_string(), "--shards", &shards.to_string(), "--data-dir"]);
        serve.arg(directory.path().join("data")).arg("--ready-file").arg(&ready);
        serve.env("MILLRACE_LOG__FILTER", "error").env("MILLRACE_TOPIC__DURABILITY", durability);
        let mut child = serve.spawn().unwrap();
        cpu::pin(&before);
        let start = Instant::now();
        let address = loop {
            let told = std::fs::read(&ready).ok().and_then(|text| String::from_utf8(text).ok());
            if let Some(address) = told.and_then(|text| text.trim().parse().ok()) {
                break address;
            }
            assert!(child.try_wait().unwrap().is_none(), "the server ended at its start");
            assert!(start.elapsed() < PATIENCE, "the server did not start in time");
            sleep(GLANCE);
        };
        Self { child, address, admin, _directory: directory }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Creates a topic.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let (address, partitions) = (self.address.to_string(), partitions.to_string());
        let arguments = ["topic", "create", name, "--partitions", &partitions, "--bootstrap", &address];
        let created = command(&arguments).stdout(Stdio::null()).status().unwrap();
        assert!(created.success(), "topic {name} is not created");
    }

    /// A counter or gauge of every shard.
    ///
    /// # Panics
    /// If the admin interface does not answer.
    #[must_use]
    pub fn per_shard(&self, name: &str) -> BTreeMap<u16, u64> {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("millrace_")?.strip_prefix(name)?;
            let (shard, value) = rest.split_once("{shard=\"")?.1.split_once("\"} ")?;
            Some((shard.parse().ok()?, value.parse().ok()?))
        });
        values.collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data goes with it, so there is nothing to bring into order.
        kill_process(Pid::from_child(&self.child), Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }
}
