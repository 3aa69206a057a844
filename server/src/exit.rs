//! Why the process ends: each reason has a name and an exit code (those of sysexits.h where one fits).

use millrace_runtime::LaunchError;
use std::process::ExitCode;

/// A reason to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Success,
    /// A command failed, and said why.
    Failure,
    /// A service that the command needs is not there (EX_UNAVAILABLE).
    Unavailable,
    /// A bug: a shard panicked (EX_SOFTWARE).
    Bug,
    /// The machine does not have what the server needs (EX_OSERR).
    Machine,
    /// The log can't be written or synced: going on could lose acknowledged records (EX_IOERR).
    Storage,
    /// The data directory is damaged, or of a newer version (EX_DATAERR).
    Data,
    /// The configuration is wrong, or the limit on locked memory that it was started with (EX_CONFIG).
    Config,
}

impl Exit {
    /// The number the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Data => 65,
            Self::Unavailable => 69,
            Self::Bug => 70,
            Self::Machine => 71,
            Self::Storage => 74,
            Self::Config => 78,
        }
    }
}

impl From<&LaunchError> for Exit {
    /// What a process ends with that could not start its shards.
    fn from(error: &LaunchError) -> Self {
        match error {
            LaunchError::LockedMemory { .. } => Self::Config,
            _ => Self::Machine,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_page_tells_every_code() {
        let page = include_str!("../../docs/running.md");
        for exit in [
            Exit::Success,
            Exit::Failure,
            Exit::Data,
            Exit::Unavailable,
            Exit::Bug,
            Exit::Machine,
            Exit::Storage,
            Exit::Config,
        ] {
            let row = format!("| {} |", exit.code());
            assert!(page.lines().any(|line| line.starts_with(&row)), "docs/running.md has no row {row}");
        }
    }
}
