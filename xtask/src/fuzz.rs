//! Fuzzing with libFuzzer on the stable compiler.
//!
//! The targets are in `fuzz/`, a package outside of the workspace, since it is built with coverage instrumentation, and with
//! the address sanitizer. The flags are those that cargo-fuzz passes; see `sanitize` for how they work on stable.

use crate::{
    sanitize::require_runtime,
    shell::{Failure, cargo, execute, host, root, target_dir},
};
use std::process::Command;

/// Instrumentation for libFuzzer.
const RUSTFLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// A run may use this much memory, in MiB, the sanitizer's own included: what a declared count or length could ask for would be
/// far more.
const MEMORY_MB_MAX: u32 = 768;

/// Freed memory that the sanitizer holds back for a while counts as well: less of it than by default.
const ASAN_OPTIONS: &str = "quarantine_size_mb=32";

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The target; all of them if none is named.
    target: Option<String>,
    /// Executions of each target.
    #[arg(long, default_value_t = 100_000)]
    runs: u64,
    /// Seconds for each target, instead of a count.
    #[arg(long)]
    seconds: Option<u64>,
}

impl Options {
    /// Every target, `runs` executions each.
    pub(crate) fn all(runs: u64) -> Self {
        Self { target: None, runs, seconds: None }
    }
}

/// Builds the targets and runs them. A crash's input is kept in `fuzz/artifacts`.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    require_runtime("asan")?;
    let fuzz = root().join("fuzz");
    let triple = host()?;
    let mut build = cargo();
    build.args(["build", "--release", "--target", &triple]).current_dir(&fuzz).env("RUSTFLAGS", RUSTFLAGS);
    let target_dir = target_dir("fuzz");
    build.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &target_dir);
    execute(&mut build)?;
    let names = targets()?;
    let chosen: Vec<&String> =
        names.iter().filter(|name| options.target.as_ref().is_none_or(|target| target == *name)).collect();
    if chosen.is_empty() {
        return Err(Failure(format!("there is no such fuzz target; there are {names:?}")));
    }
    for name in chosen {
        let corpus = fuzz.join("corpus").join(name);
        let found = target_dir.join("corpus").join(name);
        let artifacts = fuzz.join("artifacts").join(name);
        if !corpus.is_dir() {
            return Err(Failure(format!(
                "{name} has no seeds in {}: see `cargo xtask seeds`",
                corpus.display()
            )));
        }
        for dir in [&found, &artifacts] {
            std::fs::create_dir_all(dir).map_err(|error| Failure(format!("{}: {error}", dir.display())))?;
        }
        let mut command = Command::new(target_dir.join(&triple).join("release").join(name));
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"));
        command.args(["-timeout=10", "-print_final_stats=0", "-verbosity=0"]);
        match options.seconds {
            Some(seconds) => command.arg(format!("-max_total_time={seconds}")),
            None => command.args([format!("-runs={}", options.runs), "-seed=1".to_owned()]),
        };
        // New inputs go to the first folder; the committed seeds are only read.
        command.args([&found, &corpus]).env("ASAN_OPTIONS", ASAN_OPTIONS);
        execute(&mut command)?;
    }
    Ok(())
}

/// The names of the targets: one file each.
fn targets() -> Result<Vec<String>, Failure> {
    let dir = root().join("fuzz/targets");
    let failed = |error: std::io::Error| Failure(format!("{}: {error}", dir.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem().and_then(|stem| stem.to_str())
        {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
