//! The command line: one file per command.

mod check;
mod client;
mod completions;
mod config;
mod demo;
mod job;
mod notify;
mod output;
mod serve;
mod settings;
mod topic;

use clap::{CommandFactory, Parser, Subcommand};
use millrace_engine::registry::Registry;
use std::process::ExitCode;

/// A Kafka-compatible log and a dataflow engine in one process.
#[derive(Parser)]
#[command(name = "millrace", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Arguments),
    /// Show what it does: a year of flights through a job, in half a minute.
    Demo(demo::Arguments),
    /// Say whether a server would start here, and what mends it if not.
    Check(check::Arguments),
    /// Show the configuration that the server would run with.
    Config(config::Arguments),
    /// Create, list, describe and delete topics, on this server or any other that speaks Kafka's protocol.
    Topic(topic::Arguments),
    /// Run, list, describe, stop and start jobs of a server.
    #[command(subcommand)]
    Job(job::Command),
    /// Print a completion script for a shell.
    Completions(completions::Arguments),
}

/// Runs the command that the process was started with; `jobs` are linked in.
#[must_use]
pub fn main(jobs: Registry) -> ExitCode {
    let exit = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments, jobs),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Job(command) => job::run(&command),
        Command::Topic(arguments) => topic::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, &mut Arguments::command()),
    };
    exit.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_says_what_it_is_and_what_it_can_do() {
        let mut command = Arguments::command();
        let help = command.render_long_help().to_string();
        assert!(help.starts_with("A Kafka-compatible log and a dataflow engine in one process"), "{help}");
        let job = command.find_subcommand("job").unwrap();
        let about = job.get_about().unwrap().to_string().to_lowercase();
        for subcommand in job.get_subcommands().map(clap::Command::get_name) {
            assert!(about.contains(subcommand), "`{subcommand}` is not in {about:?}");
        }
    }
}
