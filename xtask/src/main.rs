//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! `cargo xtask ci` is everything that CI runs, in the order in which it fails soonest; each step is a command of its own
//! too, and prints what it runs, so that it can be repeated by hand.

mod ci;
mod fuzz;
mod sanitize;
mod seeds;
mod shell;
mod soak;
mod targets;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that CI checks.
    Ci,
    /// Runs fuzz targets for a fixed count or time (libFuzzer, on stable).
    Fuzz(fuzz::Options),
    /// Writes the seeds of the fuzz targets anew, after a change of what they are made of.
    Seeds,
    /// Runs tests of crashes for long.
    Soak(soak::Options),
    /// Runs the tests of unsafe code under a sanitizer.
    Sanitize(sanitize::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Ci => ci::run(),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Seeds => seeds::write(),
        Command::Soak(options) => soak::run(&options),
        Command::Sanitize(options) => sanitize::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
