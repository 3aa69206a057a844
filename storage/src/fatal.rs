//! Errors after which nothing may go on.
//!
//! A failed sync drops pages that the next one reports as written; a failed write leaves any mixture of old and new.
//! Nothing is known of the file then, so nothing is retried: the shard appends nothing more, and the process is to end
//! and recover from what is on the medium.

use crate::signal::Signal;
use std::{
    cell::RefCell,
    fmt, io,
    path::{Path, PathBuf},
    rc::Rc,
};

/// A write or a sync failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {doing} {}: {kind} ({cause}); the process must end", path.display())]
pub struct FatalError {
    /// What was tried.
    pub doing: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// The kind of the operating system's error.
    pub kind: io::ErrorKind,
    /// Its text.
    pub cause: String,
}

/// Tells that a shard's store has failed for good. The server waits for it and ends the process.
#[derive(Clone, Default)]
pub struct Fatal(Rc<Inner>);

#[derive(Default)]
struct Inner {
    error: RefCell<Option<FatalError>>,
    raised: Signal,
}

impl Fatal {
    /// Waits until the store fails: normally for ever.
    pub async fn raised(&self) -> FatalError {
        loop {
            let wait = self.0.raised.wait();
            if let Some(error) = self.get() {
                return error;
            }
            wait.await;
        }
    }

    /// The failure, if there was one.
    #[must_use]
    pub fn get(&self) -> Option<FatalError> {
        self.0.error.borrow().clone()
    }

    /// `Err` if the store has failed.
    pub(crate) fn check(&self) -> Result<(), FatalError> {
        self.get().map_or(Ok(()), Err)
    }

    /// Fails the store; the first failure is the one that is told.
    pub(crate) fn raise(&self, doing: &'static str, path: &Path, cause: &io::Error) -> FatalError {
        let error = FatalError { doing, path: path.to_owned(), kind: cause.kind(), cause: cause.to_string() };
        tracing::error!(%error, "storage failed");
        self.0.error.borrow_mut().get_or_insert_with(|| error.clone());
        self.0.raised.notify();
        error
    }

    /// Passes a result on, and raises its error.
    pub(crate) fn guard<T>(
        &self,
        doing: &'static str,
        path: &Path,
        result: io::Result<T>,
    ) -> Result<T, FatalError> {
        result.map_err(|cause| self.raise(doing, path, &cause))
    }
}

impl fmt::Debug for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fatal").field(&self.0.error.borrow()).finish()
    }
}
