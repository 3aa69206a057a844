//! Files, read and written past the page cache.

use crate::{
    AlignedBuf,
    context::{Backend, current},
};
use bytes::Bytes;
use std::{io, path::Path};

/// How [`File::open`] opens. Reading is always allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Allow writes.
    pub write: bool,
    /// Create the file if it is not there.
    pub create: bool,
    /// Fail with [`io::ErrorKind::AlreadyExists`] if it is there. Implies `create`.
    pub create_new: bool,
}

impl OpenOptions {
    /// An existing file, read only.
    pub const READ: Self = Self { write: false, create: false, create_new: false };
    /// An existing file, read and written.
    pub const WRITE: Self = Self { write: true, create: false, create_new: false };
    /// A new file, read and written; an error if it exists.
    pub const CREATE_NEW: Self = Self { write: true, create: true, create_new: true };
}

/// An open file of the current shard.
///
/// All writes are direct: positions, lengths and memory are multiples of [`BLOCK_SIZE`](crate::BLOCK_SIZE) (asserted:
/// anything else is a bug of the caller's). A completed write survives the death of the process, not that of the
/// machine; [`File::sync_data`] and [`File::write_durable_at`] survive both.
///
/// Operations of one file may be in flight together; they are not ordered among each other unless awaited.
#[derive(Clone, Debug)]
pub struct File(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Native(crate::native::file::File),
    #[cfg(feature = "sim")]
    Sim(crate::sim::file::File),
}

macro_rules! on {
    ($inner:expr, $file:ident => $call:expr) => {
        match $inner {
            Inner::Native($file) => $call,
            #[cfg(feature = "sim")]
            Inner::Sim($file) => $call,
        }
    };
}

impl File {
    /// Opens `path`. A new file's directory entry is durable only after [`fs::sync_dir`](crate::fs::sync_dir).
    ///
    /// # Errors
    /// The operating system's.
    pub async fn open(path: &Path, options: OpenOptions) -> io::Result<Self> {
        Ok(Self(match current() {
            Backend::Native => Inner::Native(crate::native::file::File::open(path, options).await?),
            #[cfg(feature = "sim")]
            Backend::Sim(shard) => Inner::Sim(crate::sim::file::File::open(&shard, path, options).await?),
        }))
    }

    /// Reads `len` bytes at `position`, neither of which need be aligned. Shorter only at the end of the file.
    ///
    /// # Errors
    /// The operating system's; `EIO` means that the bytes are lost to us, not that they are absent.
    pub async fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        on!(&self.0, file => file.read_at(position, len).await)
    }

    /// Writes all of `data` at `position`: block-aligned in memory, position and length.
    ///
    /// # Errors
    /// The operating system's. After an error the range holds any mixture of old and new blocks.
    pub async fn write_at(&self, position: u64, data: Bytes) -> io::Result<()> {
        on!(&self.0, file => file.write_at(position, data).await)
    }

    /// Writes the first `len` bytes of `buffer` at `position` and returns when they, and what metadata reading them
    /// back needs, are on stable storage (RWF_DSYNC). Covers this write alone: an earlier [`File::write_at`] of the
    /// same file is durable only after its own [`File::sync_data`]. The buffer comes back for reuse.
    ///
    /// # Errors
    /// The operating system's. After an error nothing is known of the range; the caller must not retry and go on
    /// (a failed sync drops pages), but end the process.
    pub async fn write_durable_at(
        &self,
        position: u64,
        buffer: AlignedBuf,
        len: usize,
    ) -> (io::Result<()>, AlignedBuf) {
        on!(&self.0, file => file.write_durable_at(position, buffer, len).await)
    }

    /// Returns when every write of this file that completed before the call is on stable storage (fdatasync).
    ///
    /// # Errors
    /// The operating system's. Never to be retried: see [`File::write_durable_at`].
    pub async fn sync_data(&self) -> io::Result<()> {
        on!(&self.0, file => file.sync_data().await)
    }

    /// Reserves space for `len` bytes at `position` and extends the file to hold them; they read as zeros. So that
    /// `ENOSPC` comes before an acknowledgement and never after.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] above all.
    pub async fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        on!(&self.0, file => file.allocate(position, len).await)
    }

    /// Cuts or extends (sparsely) the file.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        on!(&self.0, file => file.set_len(len).await)
    }

    /// The file's length in bytes.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn len(&self) -> io::Result<u64> {
        on!(&self.0, file => file.len().await)
    }

    /// Closes the descriptor once no operation of any clone is in flight. Dropping does the same, without the error.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn close(self) -> io::Result<()> {
        on!(self.0, file => file.close().await)
    }
}
