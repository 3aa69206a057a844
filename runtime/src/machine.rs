//! Whether this machine can run shards, and what mends it if not.
//!
//! The same checks serve a server that starts and a person who wants to know before. They read; the only thing that they
//! make is a file without a name in each data directory, gone when it is closed.

mod directory;
mod limits;

pub use limits::default_shards;
pub(crate) use limits::{LOCKED_MEMORY_MIN, locked_memory_cure, ring_cure};

use std::path::Path;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it must be.
    pub passed: bool,
    /// What was found, in words.
    pub found: String,
    /// The command or setting that mends it, if it must be mended or could be better.
    pub cure: Option<String>,
}

impl Check {
    fn passed(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), passed: true, found: found.into(), cure: None }
    }

    fn failed(name: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { name: name.into(), passed: false, found: found.into(), cure: Some(cure.into()) }
    }

    /// Works, but could be better.
    fn advised(name: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { name: name.into(), passed: true, found: found.into(), cure: Some(cure.into()) }
    }
}

/// Checks the machine for `shards` shards that keep data in `directories`, which need not exist yet.
#[must_use]
pub fn check(shards: u16, directories: &[&Path]) -> Vec<Check> {
    let mut checks = vec![
        limits::kernel(),
        limits::io_uring(),
        limits::locked_memory(shards),
        limits::open_files(shards),
        limits::cores(shards),
    ];
    for directory in directories {
        checks.extend(directory::check(directory));
    }
    checks
}

#[cfg(test)]
mod tests;
