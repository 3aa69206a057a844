//! What searches by chance, for as long as one likes: the tests themselves with larger numbers.

use crate::shell::{Failure, cargo, execute};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is tried.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Trial {
    /// kill -9.
    Kill,
    /// kill -9 while a job runs.
    Jobs,
    /// The file system below it is shut down, as a power cut would: ext4 on a loop device, as root.
    Power,
    /// The property tests of all crates, each time with other cases.
    Properties,
}

/// What, and how often.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is tried.
    trial: Trial,
    /// How often.
    #[arg(long, default_value_t = 50)]
    times: u32,
    /// Build for release.
    #[arg(long)]
    release: bool,
}

/// Runs the trial.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    match options.trial {
        Trial::Kill => crashes(options, "kills::", "MILLRACE_SOAK_KILLS"),
        Trial::Jobs => crashes(options, "jobs::", "MILLRACE_SOAK_JOBS"),
        Trial::Power => crashes(options, "power::", "MILLRACE_SOAK_POWER_CUTS"),
        Trial::Properties => properties(options),
    }
}

/// All crashes in one run of the test.
fn crashes(options: &Options, test: &str, variable: &str) -> Result<(), Failure> {
    let mut command = cargo();
    command.args(["test", "--package", "millrace-server", "--test", "crash"]);
    if options.release {
        command.arg("--release");
    }
    command.args(["--", "--nocapture", test]).env(variable, options.times.to_string());
    // A test that cannot run here says so, and that is not what was asked for.
    command.env("MILLRACE_TESTS_REQUIRE_ALL", "1");
    execute(&mut command)
}

/// One run of the tests for each seed. The printed command repeats a run.
fn properties(options: &Options) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let first = now.map_err(|error| Failure(format!("the clock: {error}")))?.as_secs();
    for seed in (first..).take(options.times as usize) {
        let mut command = cargo();
        command.args(["test", "--workspace", "--lib", "--quiet"]);
        if options.release {
            command.arg("--release");
        }
        execute(command.env("PROPTEST_RNG_SEED", seed.to_string()))?;
    }
    Ok(())
}
