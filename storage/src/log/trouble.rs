//! Says in the server's log that a log's files can't be used.
//!
//! Whoever reads or appends gets a code of the protocol, which names no file; clients try again, many times a second. So the
//! file, the place and the reason are told here, and not at every try.

use super::{LogInner, ReadError, prepare::PrepareError};
use crate::key::LogKey;
use millrace_runtime::Instant;
use std::{cell::Cell, fmt, time::Duration};

/// How long the same log says nothing more about the same trouble.
const SILENCE: Duration = Duration::from_secs(60);

/// When something was last said of a log's files.
#[derive(Default)]
pub(super) struct Trouble {
    reading: Said,
    appending: Said,
    waiting: Said,
}

#[derive(Default)]
struct Said(Cell<Option<Instant>>);

impl Said {
    fn say(&self, key: LogKey, error: &dyn fmt::Display, what: &'static str) {
        let now = Instant::now();
        if self.0.get().is_none_or(|last| now - last >= SILENCE) {
            self.0.set(Some(now));
            tracing::error!(log = %key, %error, "{what}");
        }
    }
}

impl LogInner {
    /// Tells of a read that failed for the files' sake.
    pub(super) fn note_read(&self, error: &ReadError) {
        if let ReadError::Corrupt(_) | ReadError::Io(_) = error {
            self.trouble.reading.say(self.key, error, "cannot read a log");
        }
    }

    /// Tells of an append that is refused for the files' sake. What fails the store is told there.
    pub(super) fn note_preparation(&self, error: &PrepareError) {
        if let PrepareError::Io(_) | PrepareError::Read(ReadError::Corrupt(_) | ReadError::Io(_)) = error {
            self.trouble.appending.say(self.key, error, "cannot append to a log");
        }
    }

    /// Tells that what is in the journal waits to be brought into segments.
    pub(super) fn note_wait(&self, error: &std::io::Error) {
        self.trouble.waiting.say(self.key, error, "waiting for a file to be closed, to write a log");
    }
}
