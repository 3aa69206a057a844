//! Tests of crashes, for as long as one likes: the tests themselves with larger numbers.

use crate::shell::{Failure, cargo, execute};

/// What is done to the server.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Crash {
    /// kill -9.
    Kill,
    /// kill -9 while a job runs.
    Jobs,
    /// The file system below it is shut down, as a power cut would: ext4 on a loop device, as root.
    Power,
}

/// What, and how often.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is done to the server.
    crash: Crash,
    /// How often.
    #[arg(long, default_value_t = 50)]
    times: u32,
    /// Build the server for release.
    #[arg(long)]
    release: bool,
}

/// Runs the crash, `times` times over in one run.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let (test, variable) = match options.crash {
        Crash::Kill => ("kills::", "MILLRACE_SOAK_KILLS"),
        Crash::Jobs => ("jobs::", "MILLRACE_SOAK_JOBS"),
        Crash::Power => ("power::", "MILLRACE_SOAK_POWER_CUTS"),
    };
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
