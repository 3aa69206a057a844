//! Finds or installs each client, at the versions that the files in this folder pin.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

use crate::command::{self, Input};

/// Where the installed clients are kept; the default is the user's cache directory.
const CACHE: &str = "MILLRACE_TEST_CACHE";

/// How long one step of an installation may take: it may load a language's packages over a slow line.
const STEP_LIMIT: Duration = Duration::from_secs(600);

/// The only version of kcat that the suite accepts.
const KCAT_VERSION: &str = "1.7.1";

/// The folder of the clients' programs.
fn sources() -> PathBuf {
    // The suite belongs to the server's package, by path: its sources are beside that package.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients")
}

/// The directory that holds the clients, from run to run.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(crate) fn open() -> Result<Self, String> {
        let root = std::env::var_os(CACHE)
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("XDG_CACHE_HOME")?).join("millrace-tests")))
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/millrace-tests")))
            .ok_or_else(|| format!("no cache directory: set {CACHE}"))?;
        fs::create_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
        Ok(Self { root })
    }

    /// The directory of what `build` installs, which runs only if nothing is installed or `inputs` changed since.
    fn installed(
        &self,
        name: &str,
        inputs: &str,
        build: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        let directory = self.root.join(name);
        let fault = |error: std::io::Error| format!("{}: {error}", directory.display());
        // Another run of the suite may be installing the same.
        let lock = File::create(self.root.join(format!("{name}.lock"))).map_err(fault)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| fault(error.into()))?;
        let ready = directory.join("installed-from");
        if fs::read_to_string(&ready).is_ok_and(|installed| installed == inputs) {
            return Ok(directory);
        }
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(fault)?;
        }
        fs::create_dir_all(&directory).map_err(fault)?;
        build(&directory)?;
        fs::write(&ready, inputs).map_err(fault)?;
        Ok(directory)
    }
}

/// Runs a tool, and says which one is missing if it is.
fn tool(command: Command) -> Result<String, String> {
    command::run(command, Input::None, STEP_LIMIT).map(|out| String::from_utf8_lossy(&out).into_owned())
}

fn command(program: &str, argument: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(argument);
    command
}

/// What a tool of the system's says. If it is missing, and root runs the suite on a system that has apt, `package` is
/// installed first.
fn tool_or_package(ask: &dyn Fn() -> Command, package: &str) -> Result<String, String> {
    tool(ask()).or_else(|missing| {
        if !geteuid().is_root() {
            return Err(format!("{missing}; install it with `apt-get install {package}`"));
        }
        let _alone = APT.lock().unwrap_or_else(PoisonError::into_inner);
        for arguments in [&["-qq", "update"][..], &["-qq", "-y", "install", package][..]] {
            let mut apt = Command::new("apt-get");
            apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
            tool(apt)?;
        }
        tool(ask())
    })
}

/// apt-get runs once at a time; clients are installed side by side.
static APT: Mutex<()> = Mutex::new(());

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The contents of all files in a folder with one of the extensions, in the order of their names.
fn contents(folder: &Path, extensions: &[&str]) -> Result<String, String> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    files.retain(|file| {
        file.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted))
    });
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

/// A virtual environment with what a requirements file pins.
fn environment(cache: &Cache, name: &str, requirements: &Path) -> Result<PathBuf, String> {
    let version = || {
        let mut version = Command::new("python3");
        // A virtual environment needs pip, which some systems have in a package of its own.
        version.args(["-c", "import ensurepip, sys; print(sys.version)"]);
        version
    };
    let inputs = format!("{}{}", tool_or_package(&version, "python3-venv")?, read(requirements)?);
    let directory = cache.installed(name, &inputs, |directory| {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(directory.join("venv"));
        tool(venv)?;
        let mut pip = Command::new(directory.join("venv/bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"])
            .arg(requirements);
        tool(pip).map(|_| ())
    })?;
    Ok(directory.join("venv/bin"))
}

/// The command that runs `script` with what its client's requirements file pins.
fn python(cache: &Cache, name: &str, script: &str) -> Result<Command, String> {
    let requirements = sources().join(format!("python/requirements/{name}.txt"));
    let mut command = Command::new(environment(cache, name, &requirements)?.join("python"));
    // The tree of sources may be read-only, and is no place for compiled Python.
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(sources().join(script));
    Ok(command)
}

pub(crate) fn kafka_python(cache: &Cache) -> Result<Command, String> {
    python(cache, "kafka-python", "python/kafka_python.py")
}

/// The probe has kafka-python's encoding of every message.
pub(crate) fn probe(cache: &Cache) -> Result<Command, String> {
    python(cache, "kafka-python", "probe/probe.py")
}

pub(crate) fn confluent_kafka_python(cache: &Cache) -> Result<Command, String> {
    python(cache, "confluent-kafka-python", "python/confluent_kafka_python.py")
}

pub(crate) fn aiokafka(cache: &Cache) -> Result<Command, String> {
    python(cache, "aiokafka", "python/aio_kafka.py")
}

pub(crate) fn simple_producer(cache: &Cache) -> Result<Command, String> {
    python(cache, "simple-producer", "python/simple_producer.py")
}

/// Kafka's own client from Maven, and the cases compiled against it.
pub(crate) fn java(cache: &Cache) -> Result<Command, String> {
    let folder = sources().join("java");
    let pom = folder.join("pom.xml");
    tool_or_package(&|| command("javac", "-version"), "default-jdk-headless")?;
    let libraries = cache.installed("java-libraries", &read(&pom)?, |directory| {
        tool_or_package(&|| command("mvn", "-version"), "maven")?;
        let mut maven = Command::new("mvn");
        maven.args([
            "--quiet",
            "--batch-mode",
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            "--file",
        ]);
        maven.arg(&pom).arg(format!("-DoutputDirectory={}", directory.display()));
        tool(maven).map(|_| ())
    })?;
    let libraries = format!("{}/*", libraries.display());
    let inputs = contents(&folder, &["java", "xml"])?;
    let classes = cache.installed("java-classes", &inputs, |directory| {
        let mut compiler = Command::new("javac");
        compiler.args(["--release", "17", "-Xlint:all", "-Werror", "-cp", &libraries, "-d"]).arg(directory);
        for source in ["Suite", "Corpus", "Group", "Administration", "Main"] {
            compiler.arg(folder.join(source).with_extension("java"));
        }
        tool(compiler).map(|_| ())
    })?;
    let mut command = Command::new("java");
    // Quick to start and light on two cores; the client's own settings stay as they are.
    command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"]);
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command.arg("-cp").arg(format!("{}:{libraries}", classes.display())).arg("Main");
    Ok(command)
}

/// The Go program, built with the modules that go.sum pins, by a toolchain that is pinned as well.
pub(crate) fn franz_go(cache: &Cache) -> Result<Command, String> {
    let folder = sources().join("go");
    let inputs = contents(&folder, &["go", "mod", "sum", "txt"])?;
    let directory = cache.installed("franz-go", &inputs, |directory| {
        let toolchain = environment(cache, "go", &folder.join("toolchain.txt"))?;
        let mut go = Command::new(toolchain.join("go"));
        go.current_dir(&folder).args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o"]);
        go.arg(directory.join("cases")).arg(".");
        tool(go).map(|_| ())
    })?;
    Ok(Command::new(directory.join("cases")))
}

/// kcat comes from the system's packages.
pub(crate) fn kcat() -> Result<(), String> {
    let installed = tool_or_package(&|| command("kcat", "-V"), "kcat")?;
    if !installed.contains(&format!("Version {KCAT_VERSION} ")) {
        return Err(format!("it is not version {KCAT_VERSION}: {installed}"));
    }
    Ok(())
}
