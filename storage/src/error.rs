//! What several operations of the store can run into. Each operation has its own error beside it.

use millrace_runtime::fs;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Bytes on disk that are not what was written: where, and in what way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, at {position}: {what}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Bytes from its start.
    pub position: u64,
    /// What is wrong there.
    pub what: String,
}

impl Damage {
    pub(crate) fn new(path: &Path, position: u64, what: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), position, what: what.to_string() }
    }
}

/// As many files are open as may be. One that is closed, or a higher limit, mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "raise the limit on open files: ulimit -n 65536 in the shell that starts the server, LimitNOFILE=65536 in a systemd \
     unit, --ulimit nofile=65536 for a container"
)]
pub struct OutOfFiles;

/// The operating system refused something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {doing} {}: {cause}", path.display())]
pub struct IoError {
    /// What was tried.
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The kind of the operating system's error.
    pub kind: io::ErrorKind,
    /// Its text, and what mends it if that is known.
    pub cause: String,
    /// If nothing was tried because no file could be opened.
    #[source]
    pub out_of_files: Option<OutOfFiles>,
}

impl IoError {
    /// For `map_err`.
    pub(crate) fn on(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let out_of_files = fs::is_out_of_files(&error).then_some(OutOfFiles);
            let cause = out_of_files.map_or_else(|| error.to_string(), |cure| format!("{error}; {cure}"));
            Self { doing, path: path.to_owned(), kind: error.kind(), cause, out_of_files }
        }
    }

    /// Whether there is no space, whoever limits it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether it may work later, with nothing lost meanwhile: something is used up, be it space or descriptors.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.is_full() || self.out_of_files.is_some()
    }
}
