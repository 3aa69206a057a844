//! Directories and small files: control work, never on the hot path.

use crate::context::{Backend, current};
use bytes::Bytes;
use std::{
    io,
    path::{Path, PathBuf},
};

macro_rules! on_backend {
    ($function:ident($($arg:expr),*)) => {
        match current() {
            Backend::Native => crate::native::fs::$function($($arg),*).await,
            #[cfg(feature = "sim")]
            Backend::Sim(shard) => shard.disk().$function($($arg),*).await,
        }
    };
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The entry's name, without its directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Space of the file system that holds a path, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Its size.
    pub total: u64,
    /// What is free to an unprivileged user.
    pub available: u64,
}

/// Creates `path` and its missing parents. Their entries are durable only after [`sync_dir`] of each parent.
///
/// # Errors
/// The operating system's.
pub async fn create_dir_all(path: &Path) -> io::Result<()> {
    on_backend!(create_dir_all(path))
}

/// The entries of `path`, sorted by name. Names that are not UTF-8 are an error of kind `InvalidData`.
///
/// # Errors
/// The operating system's.
pub async fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    on_backend!(read_dir(path))
}

/// Whether `path` exists.
///
/// # Errors
/// The operating system's, other than that it does not.
pub async fn exists(path: &Path) -> io::Result<bool> {
    on_backend!(exists(path))
}

/// Gives `from` the name `to`, replacing what was there. Durable only after [`sync_dir`] of both directories.
///
/// # Errors
/// The operating system's.
pub async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    on_backend!(rename(from, to))
}

/// Removes a file. Durable only after [`sync_dir`].
///
/// # Errors
/// The operating system's.
pub async fn remove_file(path: &Path) -> io::Result<()> {
    on_backend!(remove_file(path))
}

/// Removes a directory and everything below it.
///
/// # Errors
/// The operating system's.
pub async fn remove_dir_all(path: &Path) -> io::Result<()> {
    on_backend!(remove_dir_all(path))
}

/// Makes the entries of `path` (creations, renames, removals so far) durable.
///
/// # Errors
/// The operating system's; never to be retried, unless [`is_out_of_files`]: then `path` could not be opened, and no sync
/// was tried.
pub async fn sync_dir(path: &Path) -> io::Result<()> {
    on_backend!(sync_dir(path))
}

/// Whether something could not be opened because the process, or the whole system, has as many files open as it may. It
/// may be opened later. No read, write or sync of an open file gives such an error.
#[must_use]
pub fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The whole of a small file.
///
/// # Errors
/// The operating system's.
pub async fn read(path: &Path) -> io::Result<Bytes> {
    on_backend!(read(path))
}

/// Replaces `path` by a file that holds `contents`, durably and all or nothing: a temporary file beside it is written,
/// synced and renamed over it, and the directory synced.
///
/// # Errors
/// The operating system's. After an error the old file may or may not still be there, whole.
pub async fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    on_backend!(write_atomically(path, contents))
}

/// Space on the file system that holds `path`.
///
/// # Errors
/// The operating system's.
pub async fn space(path: &Path) -> io::Result<Space> {
    on_backend!(space(path))
}

/// Takes the exclusive lock of a file, which is created if need be, for the life of the returned guard (or the
/// process). A simulated crash releases it.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if another process, or another holder in this one, has it.
pub async fn lock(path: &Path) -> io::Result<Lock> {
    on_backend!(lock(path))
}

/// Holds a lock of [`lock`] until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// Dropped to release: the native backend's descriptor, or the simulated disk's guard.
    pub(crate) _holder: Box<dyn std::any::Any>,
    /// What is locked, for messages.
    pub(crate) path: PathBuf,
}

impl Lock {
    /// The locked file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
