//! Millrace as a library: a Kafka-compatible log and a dataflow engine, in your program.
//!
//! A program of yours is a Millrace of its own, with your jobs linked in:
//!
//! ```no_run
//! use millrace::prelude::*;
//!
//! fn main() -> std::process::ExitCode {
//!     millrace::main(|jobs| {
//!         jobs.add("shout", |job| {
//!             job.source("quiet")
//!                 .parse(|record| Some(String::from_utf8_lossy(record.value?).to_uppercase()))
//!                 .to_topic("loud", |text, record| record.value().extend_from_slice(text.as_bytes()));
//!         });
//!     })
//! }
//! ```
//!
//! That has the whole command line: `serve`, then `job run shout`. To run a server inside of something else, see [`embed`].

pub mod api;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod control;
pub mod coordinator;
pub mod demo;
pub mod embed;
pub mod exit;
#[doc(hidden)]
pub mod fuzzing;
pub mod group;
pub mod job;
pub mod shard;

pub use millrace_engine as engine;

use millrace_engine::registry::Registry;
use std::process::ExitCode;

/// What a job needs: the engine's prelude, and the registry that jobs are added to.
pub mod prelude {
    pub use millrace_engine::{prelude::*, registry::Registry};
}

/// Millrace's command line with your jobs linked in.
pub fn main(register: impl FnOnce(&mut Registry)) -> ExitCode {
    let mut jobs = Registry::new();
    jobs.add(demo::job::JOB, demo::job::delays);
    register(&mut jobs);
    cli::main(jobs)
}
