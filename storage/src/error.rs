//! What several operations of the store can run into. Each operation has its own error beside it.

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
    /// Its text.
    pub cause: String,
}

impl IoError {
    /// For `map_err`.
    pub(crate) fn on(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self { doing, path: path.to_owned(), kind: cause.kind(), cause: cause.to_string() }
    }

    /// Whether there is no space, whoever limits it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}
