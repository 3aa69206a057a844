//! The commands of the real binary: what they print, and how they exit.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests watch a process from outside"
)]

#[expect(dead_code, reason = "other tests kill servers")]
#[path = "../process/mod.rs"]
mod process;

mod check;
mod completions;
mod config;
mod damage;
mod demo;
mod files;
mod idle;
mod job;
mod limits;
mod metrics;
mod serve;
mod terminal;
mod topic;
