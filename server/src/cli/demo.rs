//! `millrace demo`: a server, a job, a year of flights.

use crate::{
    demo::{self, Options},
    exit::Exit,
};
use std::{io, path::PathBuf, time::Duration};
use tracing_subscriber::EnvFilter;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Keep the server up at the end, until Ctrl-C.
    #[arg(long)]
    stay: bool,
    /// How long the first pass over the year takes, in seconds.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    year_seconds: u64,
    /// Only the first N days of the year, at the same pace.
    #[arg(long, value_name = "N", default_value_t = demo::data::YEAR_DAYS, value_parser = clap::value_parser!(u16).range(1..=i64::from(demo::data::YEAR_DAYS)))]
    days: u16,
    /// Number of shards; by default one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
    /// An empty directory for the data, which is kept; by default a temporary one, which is removed at the end.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// For how long after the schedule the job waits for a flight, in minutes. The default covers all; with 180 some are late.
    #[arg(long, value_name = "MINUTES", default_value_t = demo::job::BOUND_MIN, value_parser = clap::value_parser!(u32).range(..=525_600))]
    bound: u32,
    /// Write the summary as JSON to standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    // What the server has to say goes beside the table: only what matters.
    let filter = EnvFilter::new("warn");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(super::output::colour_on_stderr())
        .init();
    demo::run(&Options {
        is_stay: arguments.stay,
        year: Duration::from_secs(arguments.year_seconds),
        days: arguments.days,
        shards: arguments.shards,
        data_dir: arguments.data_dir.clone(),
        is_json: arguments.json,
        bound_min: arguments.bound,
    })
}
