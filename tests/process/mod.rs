//! The real binary as a process of its own: started, watched, stopped and killed.

use millrace_runtime::{LaunchOptions, Pinning, launch};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long the server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often something that will happen is looked for.
const GLANCE: Duration = Duration::from_millis(5);

/// A command of the binary.
pub(crate) fn millrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command of the binary to its end, and gives its exit code with what it printed.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = millrace(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A process that does not outlive its test.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// How a server is started.
pub(crate) struct Start {
    binary: String,
    flags: Vec<String>,
    directory: PathBuf,
    data: PathBuf,
    shards: u16,
    listen: SocketAddr,
    variables: Vec<(String, String)>,
    wrapper: Vec<String>,
}

impl Start {
    /// A server whose files are all below `directory`.
    pub(crate) fn below(directory: &Path) -> Self {
        Self {
            binary: env!("CARGO_BIN_EXE_millrace").to_owned(),
            flags: Vec::new(),
            directory: directory.to_owned(),
            data: directory.join("data"),
            shards: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            variables: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// Started by another program, which becomes it: such as one that sets limits.
    pub(crate) fn within(self, wrapper: &[&str]) -> Self {
        Self { wrapper: wrapper.iter().map(|&word| word.to_owned()).collect(), ..self }
    }

    /// Another program with Millrace's command line.
    pub(crate) fn binary(self, binary: &Path) -> Self {
        Self { binary: binary.to_str().unwrap().to_owned(), ..self }
    }

    /// A flag of `serve`.
    pub(crate) fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Keeps its data elsewhere.
    pub(crate) fn data(self, data: &Path) -> Self {
        Self { data: data.to_owned(), ..self }
    }

    pub(crate) fn shards(self, shards: u16) -> Self {
        Self { shards, ..self }
    }

    /// Listens where a server before it did.
    pub(crate) fn listen(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// A setting by its name, `section.key`.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        let variable = format!("MILLRACE_{}", name.replace('.', "__").to_uppercase());
        self.variable(&variable, value)
    }

    /// Small files, so that they are recycled and replaced within the short life of a server.
    pub(crate) fn with_small_files(self) -> Self {
        self.set("journal.file_bytes", "1 MiB")
            .set("journal.files_max", "4")
            .set("topic.segment_bytes", "1 MiB")
    }

    /// An environment variable.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and returns when clients can connect.
    pub(crate) fn run(self) -> Server {
        let mut starting = self.spawn();
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(server) = starting.listening() {
                return server;
            }
            let ended = starting.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the server ended at its start: {ended:?}\n{}", starting.log());
            if Instant::now() > end {
                let log = starting.log();
                starting.kill();
                panic!("the server did not start in time\n{log}");
            }
            sleep(GLANCE);
        }
    }

    /// Starts it, and returns at once.
    pub(crate) fn spawn(self) -> Starting {
        let path = |name: &str| self.directory.join(name);
        let ready = path("ready");
        if ready.exists() {
            fs::remove_file(&ready).unwrap();
        }
        let log = File::options().create(true).append(true).open(path("log")).unwrap();
        let mut words = self.wrapper.iter().chain([&self.binary]);
        let mut command = Command::new(words.next().expect("there is the binary"));
        let child = command
            .args(words)
            .args(["serve", "--listen", &self.listen.to_string(), "--data-dir"])
            .arg(&self.data)
            .args(&self.flags)
            .stdin(Stdio::null())
            .args(["--shards", &self.shards.to_string(), "--admin-listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            // Tests share the cores.
            .envs([
                ("MILLRACE_RUNTIME__PIN", "never"),
                ("MILLRACE_RUNTIME__SPIN_US", "0"),
                ("MILLRACE_LOG__FORMAT", "json"),
            ])
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stderr(log)
            .spawn()
            .unwrap();
        Starting { child: Some(child), ready, log: path("log") }
    }
}

/// A server that may not listen yet.
pub(crate) struct Starting {
    child: Option<Child>,
    ready: PathBuf,
    log: PathBuf,
}

impl Starting {
    /// Tells it to stop as soon as its log has a line with `text`.
    pub(crate) fn stop_at(mut self, text: &str) -> ExitStatus {
        let mut child = self.child.take().expect("it runs until it is stopped");
        let end = Instant::now() + PATIENCE;
        while !fs::read_to_string(&self.log).is_ok_and(|log| log.contains(text)) {
            assert!(Instant::now() < end, "the server does not say {text:?}");
            sleep(Duration::from_millis(1));
        }
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        wait(&mut child).expect("the server stops in time")
    }

    /// SIGKILL, wherever it has come to.
    pub(crate) fn kill(self) {
        let mut child = self.child.expect("it runs until it is killed");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The server, if clients can connect.
    fn listening(&mut self) -> Option<Server> {
        let address = fs::read_to_string(&self.ready).ok()?.trim().parse().ok()?;
        let log = self.log.clone();
        Some(Server { child: self.child.take(), address, log })
    }
}

/// A server that runs, and is killed when this drops.
pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Server {
    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it runs until it is stopped or killed")
    }

    /// SIGKILL: nothing of the process survives but what it gave to the kernel.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        wait(&mut child).unwrap_or_else(|| panic!("the server did not stop in time\n{}", self.log()))
    }

    /// Waits for it to end by itself, and tells how; or until its log is enough, and kills it then.
    pub(crate) fn end_or_kill(mut self, is_enough: impl Fn(&str) -> bool) -> Option<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child().try_wait().unwrap() {
                return Some(status);
            }
            let log = self.log();
            if is_enough(&log) {
                self.kill();
                return None;
            }
            assert!(Instant::now() < end, "the server did not end in time\n{log}");
            sleep(GLANCE);
        }
    }

    /// Where its admin interface is: the log says it.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut said = lines.filter(|line| line["fields"]["message"] == "admin interface");
        let said = said.next_back().unwrap();
        said["fields"]["address"].as_str().unwrap().parse().unwrap()
    }

    /// All that it has logged, since the first start in its directory.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The lines of the log at level WARN and above, as JSON.
    pub(crate) fn warnings(&self) -> Vec<serde_json::Value> {
        let log = self.log();
        let lines = log.lines().map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        });
        lines.filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
    }

    /// What the process has used of the CPU so far, in all its threads, in steps of 10 ms.
    pub(crate) fn cpu_time(&mut self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child().id())).unwrap();
        // Behind the name, which may hold anything, comes the third field; the times are the 14th and the 15th.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
        // The unit that the kernel tells them in: 1/100 s wherever Linux is.
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// The most memory that the process had at a time, since the last reset, in bytes.
    pub(crate) fn peak_resident_bytes(&mut self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Begins a new peak, and gives the memory of the moment, in bytes.
    pub(crate) fn reset_peak_resident_bytes(&mut self) -> u64 {
        fs::write(format!("/proc/{}/clear_refs", self.child().id()), "5").unwrap();
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&mut self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child().id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Runs a command of the binary against this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        let address = self.address.to_string();
        run(&[arguments, &["--bootstrap", &address]].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Waits for a process to end; kills it when that takes too long.
pub(crate) fn wait(child: &mut Child) -> Option<ExitStatus> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        sleep(GLANCE);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// Runs a client to its end, on a shard of its own.
pub(crate) fn client<T, F>(work: impl FnOnce() -> F + Clone + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let options = LaunchOptions { pinning: Pinning::Never, spin: Duration::ZERO, ..LaunchOptions::default() };
    let launched = launch(&options, move |_| work.clone()()).unwrap();
    launched.join().unwrap().pop().unwrap()
}
