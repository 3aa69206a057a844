//! What can go wrong with a disk at a test's wish.

use super::operation::Operation;
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// A fault to inject. One that names a single operation goes away when it has struck; the others stay until
/// [`DiskHandle::heal`](super::DiskHandle::heal). Paths are those that the files were opened by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next `sync_data` or `write_durable_at` of the file fails with `EIO`, and what was not durable by then is
    /// dropped, as Linux drops pages: reads see the old bytes, and the next sync succeeds without them.
    FailSync {
        /// The file.
        path: PathBuf,
    },
    /// The next write of the file fails with `EIO`; any of its blocks may have been written.
    FailWrite {
        /// The file.
        path: PathBuf,
    },
    /// Every read that touches this range of the file fails with `EIO`.
    FailReads {
        /// The file.
        path: PathBuf,
        /// In bytes.
        range: Range<u64>,
    },
    /// The next write of the file reports success and never happens.
    LoseWrite {
        /// The file.
        path: PathBuf,
    },
    /// The next write of the file reports success and lands elsewhere in it.
    MisdirectWrite {
        /// The file.
        path: PathBuf,
        /// The block at which it lands instead.
        to_block: u64,
    },
}

/// What a fault makes of an operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Struck {
    /// Nothing.
    Spared,
    /// It fails, without effect.
    Failed,
    /// It fails, and what was pending is dropped.
    FailedAndDropped,
    /// It fails after an unknown part.
    FailedInPart,
    /// It seems to succeed.
    Lost,
    /// It seems to succeed, and happens at this block.
    Misdirected(u64),
}

/// The faults that wait for their operation, in the order of their injection.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn heal(&mut self) {
        self.0.clear();
    }

    /// What becomes of `operation`. The first fault that fits decides.
    pub(crate) fn strike(&mut self, operation: &Operation) -> Struck {
        if self.0.is_empty() {
            return Struck::Spared;
        }
        let Some(path) = operation.file().map(|file| file.path.as_path()) else { return Struck::Spared };
        let Some(index) = self.0.iter().position(|fault| fault.fits(path, operation)) else {
            return Struck::Spared;
        };
        let fault = match &self.0[index] {
            Fault::FailReads { .. } => return Struck::Failed,
            _ => self.0.remove(index),
        };
        match fault {
            Fault::FailReads { .. } => Struck::Failed,
            Fault::FailSync { .. } => Struck::FailedAndDropped,
            Fault::FailWrite { .. } => Struck::FailedInPart,
            Fault::LoseWrite { .. } => Struck::Lost,
            Fault::MisdirectWrite { to_block, .. } => Struck::Misdirected(to_block),
        }
    }
}

impl Fault {
    fn fits(&self, path: &Path, operation: &Operation) -> bool {
        let is_write = matches!(operation, Operation::Write { .. } | Operation::WriteDurable { .. });
        let is_sync = matches!(operation, Operation::Sync { .. } | Operation::WriteDurable { .. });
        match (self, operation) {
            (Self::FailReads { path: at, range }, &Operation::Read { position, len, .. }) => {
                at == path && position < range.end && position + len as u64 > range.start
            }
            (Self::FailSync { path: at }, _) => at == path && is_sync,
            (
                Self::FailWrite { path: at }
                | Self::LoseWrite { path: at }
                | Self::MisdirectWrite { path: at, .. },
                _,
            ) => at == path && is_write,
            _ => false,
        }
    }
}

/// What the kernel says of a medium that fails.
pub(crate) fn eio() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}

const EIO: i32 = 5;
