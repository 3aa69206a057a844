//! Sanitizers over the crates that have unsafe code.
//!
//! The compiler is stable; the flag for sanitizers is not, hence RUSTC_BOOTSTRAP for these builds alone. The standard library
//! is the toolchain's own, without instrumentation. For addresses that is no matter. Of threads the sanitizer does not see
//! that a contended mutex, a condition variable or a channel of the standard library orders what they do, and calls
//! it a race; so it runs those tests alone, named [`BETWEEN_THREADS`], in which our own lock-free structures order it.

use crate::shell::{Failure, cargo, execute, host, root, target_dir};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// What looks for which kind of fault.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Sanitizer {
    /// Uses of memory that is not ours, and memory that nobody frees.
    Address,
    /// Data races.
    Thread,
}

/// Which sanitizer, over how much.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The sanitizer.
    sanitizer: Sanitizer,
    /// Only as much as CI runs.
    #[arg(long)]
    short: bool,
}

/// A package, and which of its tests.
type Tests = (&'static str, &'static [&'static str]);

/// The packages with unsafe code, and what drives most of it: the native backend against the kernel, the tail's shared
/// memory, archives and tables. The engine's other tests compile programs.
const SHORT: &[Tests] = &[
    ("millrace-runtime", &["--lib", "--test", "native"]),
    ("millrace-record", &["--lib"]),
    ("millrace-storage", &["--lib"]),
    ("millrace-engine", &["--lib", "--test", "allocations"]),
];

/// What only drives unsafe code of the packages below it, or code of others: simulated worlds, the wire, the server, and the C
/// of compression.
const LONG: &[Tests] = &[
    ("millrace-runtime", &["--test", "sim"]),
    ("millrace-record", &["--test", "allocations"]),
    ("millrace-net", &["--lib", "--test", "native"]),
    ("millrace-server", &["--lib"]),
];

/// The name of the modules of tests that the sanitizer of threads understands.
const BETWEEN_THREADS: &str = "between_threads";

/// Who has such tests.
const THREAD: &[Tests] = &[("millrace-runtime", &["--lib"]), ("millrace-storage", &["--lib"])];

/// Leaks that are known, and not ours to mend.
const LEAKS: &str = "xtask/leaks.txt";

/// Races that are the harness's, and none.
const RACES: &str = "xtask/races.txt";

/// Runs what `options` say.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    match options.sanitizer {
        Sanitizer::Address if options.short => address(SHORT),
        Sanitizer::Address => address(SHORT).and_then(|()| address(LONG)),
        Sanitizer::Thread => thread(),
    }
}

/// As much as CI runs of both.
pub(crate) fn short() -> Result<(), Failure> {
    address(SHORT)?;
    thread()
}

fn address(tests: &[Tests]) -> Result<(), Failure> {
    require_runtime("asan")?;
    require_symbolizer()?;
    for (package, targets) in tests {
        let mut test = build("address", "-Zsanitizer=address", package, targets)?;
        // A few hundred cases of each property are for speed; these are for memory.
        test.env("PROPTEST_CASES", "32");
        let leaks = root().join(LEAKS);
        test.env("LSAN_OPTIONS", format!("suppressions={}:print_suppressions=0", leaks.display()));
        execute(&mut test)?;
    }
    Ok(())
}

fn thread() -> Result<(), Failure> {
    require_runtime("tsan")?;
    for (package, targets) in THREAD {
        let flags = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";
        let mut list = build("thread", flags, package, targets)?;
        list.args([BETWEEN_THREADS, "--", "--list"]).stdin(Stdio::null()).stderr(Stdio::inherit());
        let listed = list.output().map_err(|error| Failure(format!("cargo test: {error}")))?;
        // A name that no test has any more would pass without a word.
        if !String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.ends_with(": test")) {
            return Err(Failure(format!("{package} has no tests named {BETWEEN_THREADS}, or did not build")));
        }
        let mut test = build("thread", flags, package, targets)?;
        let races = root().join(RACES);
        test.env("TSAN_OPTIONS", format!("suppressions={}", races.display()));
        execute(test.arg(BETWEEN_THREADS))?;
    }
    Ok(())
}

fn build(name: &str, flags: &str, package: &str, targets: &[&str]) -> Result<Command, Failure> {
    let mut test = cargo();
    test.args(["test", "--all-features", "--target", &host()?, "--package", package]).args(targets);
    test.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags);
    test.env("CARGO_TARGET_DIR", target_dir(name));
    Ok(test)
}

/// That the toolchain brings the sanitizer's runtime: those of rustup do, those of distributions often do not.
pub(crate) fn require_runtime(runtime: &str) -> Result<(), Failure> {
    let output = Command::new("rustc").args(["--print", "target-libdir"]).output();
    let output = output.map_err(|error| Failure(format!("rustc --print target-libdir: {error}")))?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let failed = |error: std::io::Error| Failure(format!("{}: {error}", libraries.display()));
    for entry in std::fs::read_dir(&libraries).map_err(failed)? {
        if entry.map_err(failed)?.file_name().to_string_lossy().ends_with(&format!("_rt.{runtime}.a")) {
            return Ok(());
        }
    }
    Err(Failure(format!(
        "sanitizers cannot run: {} has no runtime of {runtime}; use a toolchain of rustup's for a target that has it",
        libraries.display()
    )))
}

/// That reports name functions: without names the known leaks are not known.
fn require_symbolizer() -> Result<(), Failure> {
    let there = ["llvm-symbolizer", "addr2line"]
        .iter()
        .any(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()));
    let missing =
        "sanitizers cannot run: there is neither llvm-symbolizer nor addr2line; install LLVM or binutils";
    if there { Ok(()) } else { Err(Failure(missing.to_owned())) }
}
