//! Whether this machine can run shards, and what mends it if not.
//!
//! The same checks serve a server that starts and a person who wants to know before. They read; the only thing that they
//! make is a file without a name in each data directory, gone when it is closed.

mod device;
mod directory;
mod limits;

pub(crate) use device::{WriteCache, write_cache_of};
pub use limits::default_shards;
pub(crate) use limits::{LOCKED_MEMORY_MIN, locked_memory_cure, ring_cure};

use std::path::Path;

/// How good what a check found is, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Works, and could be better.
    Fair,
    /// A server starts, and may not be able to keep a promise later.
    Poor,
    /// No server starts.
    Unfit,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How good it is.
    pub grade: Grade,
    /// What was found, in words.
    pub found: String,
    /// The command or setting that mends it, unless it is good.
    pub cure: Option<String>,
    /// Whether this is a limit that whoever starts the process sets: a matter of its configuration, not of the machine.
    pub is_limit: bool,
}

impl Check {
    fn good(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), grade: Grade::Good, found: found.into(), cure: None, is_limit: false }
    }

    fn not_good(
        grade: Grade,
        name: impl Into<String>,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), grade, found: found.into(), cure: Some(cure.into()), is_limit: false }
    }

    fn of_a_limit(self) -> Self {
        Self { is_limit: true, ..self }
    }

    fn fair(name: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::not_good(Grade::Fair, name, found, cure)
    }

    fn poor(name: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::not_good(Grade::Poor, name, found, cure)
    }

    fn unfit(name: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::not_good(Grade::Unfit, name, found, cure)
    }
}

/// Checks the machine for `shards` shards that keep data in `directories`, which need not exist yet.
#[must_use]
pub fn check(shards: u16, directories: &[&Path]) -> Vec<Check> {
    let mut checks = vec![
        limits::kernel(),
        limits::io_uring(),
        limits::locked_memory(shards).of_a_limit(),
        limits::open_files(shards).of_a_limit(),
        limits::cores(shards),
        limits::memory(shards),
    ];
    for directory in directories {
        checks.extend(directory::check(directory));
    }
    checks
}

#[cfg(test)]
mod tests;
