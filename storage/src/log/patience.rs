//! Waiting for descriptors.
//!
//! An append that needs one and gets none is refused. What was acknowledged can't be refused any more; it is safe in the
//! journal, though, as long as it takes: so whoever brings it into the segments waits until a file is closed.

use super::LogInner;
use millrace_runtime::{fs, sleep};
use std::{io, time::Duration};

/// How long to wait before a file is opened again.
const RETRY: Duration = Duration::from_millis(100);

/// How often that is tried while the store is being closed: by then connections have been closed, and whoever stops the server
/// waits. What is in the journal alone is recovered by the next start.
const TRIES_AT_CLOSE: u32 = 50;

impl LogInner {
    /// What `open` gives, tried again for as long as all that is wrong is the number of open files.
    pub(super) async fn when_files_can_be_opened<T, F>(&self, open: impl Fn() -> F) -> io::Result<T>
    where
        F: Future<Output = io::Result<T>>,
    {
        let mut tries_at_close = 0;
        loop {
            let opened = open().await;
            let error = match opened {
                Err(error) if fs::is_out_of_files(&error) => error,
                opened => return opened,
            };
            if self.shared.fatal.check().is_err() || tries_at_close == TRIES_AT_CLOSE {
                return Err(error);
            }
            if !self.state.borrow().is_open() {
                tries_at_close += 1;
            }
            self.note_wait(&error);
            sleep(RETRY).await;
        }
    }
}
