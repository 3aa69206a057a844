//! What can be asked of a disk, from submission to completion.

use super::{Disk, inode::Page, volume::Volume};
use crate::{
    OpenOptions,
    fs::{DirEntry, Space},
};
use bytes::Bytes;
use std::{
    cell::RefCell,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// An operation with its arguments. It keeps the file open that it works on, as the kernel does, even if whoever
/// asked has stopped waiting.
pub(crate) enum Operation {
    Open { path: PathBuf, options: OpenOptions },
    Len { file: Rc<Handle> },
    Close { file: Rc<Handle> },
    Read { file: Rc<Handle>, position: u64, len: usize },
    Write { file: Rc<Handle>, first: u64, pages: Vec<Page>, len: u64 },
    WriteDurable { file: Rc<Handle>, first: u64, pages: Vec<Page> },
    Sync { file: Rc<Handle> },
    Allocate { file: Rc<Handle>, position: u64, len: u64 },
    SetLen { file: Rc<Handle>, len: u64 },
    CreateDirs { path: PathBuf },
    List { path: PathBuf },
    Exists { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    RemoveFile { path: PathBuf },
    RemoveDirs { path: PathBuf },
    SyncDir { path: PathBuf },
    Space,
    Lock { path: PathBuf },
}

/// What a completed operation gives.
pub(crate) enum Outcome {
    Done,
    Opened(Rc<Handle>),
    Len(u64),
    Bytes(Bytes),
    Entries(Vec<DirEntry>),
    Exists(bool),
    Space(Space),
    Locked(LockGuard),
}

/// Which latency an operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Read,
    Write,
    Sync,
    Meta,
}

impl Operation {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Read { .. } => Class::Read,
            Self::Write { .. } => Class::Write,
            Self::WriteDurable { .. } | Self::Sync { .. } | Self::SyncDir { .. } => Class::Sync,
            _ => Class::Meta,
        }
    }

    /// Whether it changes the disk or makes something durable: the steps at which a crash makes a difference.
    pub(crate) fn is_step(&self) -> bool {
        match self {
            Self::Open { options, .. } => options.create || options.create_new,
            Self::Len { .. }
            | Self::Close { .. }
            | Self::Read { .. }
            | Self::List { .. }
            | Self::Exists { .. }
            | Self::Space => false,
            _ => true,
        }
    }

    /// The file it writes or syncs, reads or resizes.
    pub(crate) fn file(&self) -> Option<&Rc<Handle>> {
        match self {
            Self::Len { file }
            | Self::Close { file }
            | Self::Read { file, .. }
            | Self::Write { file, .. }
            | Self::WriteDurable { file, .. }
            | Self::Sync { file }
            | Self::Allocate { file, .. }
            | Self::SetLen { file, .. } => Some(file),
            _ => None,
        }
    }

    /// A digest for the trace: the kind, the file or path, and the numbers and bytes.
    pub(crate) fn digest(&self) -> [u64; 3] {
        let path = |path: &PathBuf| u64::from(crc32c::crc32c(path.as_os_str().as_encoded_bytes()));
        let bytes =
            |pages: &[Page]| u64::from(pages.iter().fold(0, |crc, page| crc32c::crc32c_append(crc, page)));
        match self {
            Self::Open { path: at, .. } => [1, path(at), 0],
            Self::Len { file } => [2, file.file, 0],
            Self::Close { file } => [3, file.file, 0],
            Self::Read { file, position, len } => [4, file.file ^ (position << 16), *len as u64],
            Self::Write { file, first, pages, .. } => [5, file.file ^ (first << 16), bytes(pages)],
            Self::WriteDurable { file, first, pages } => [6, file.file ^ (first << 16), bytes(pages)],
            Self::Sync { file } => [7, file.file, 0],
            Self::Allocate { file, position, len } => [8, file.file ^ (position << 16), *len],
            Self::SetLen { file, len } => [9, file.file, *len],
            Self::CreateDirs { path: at } => [10, path(at), 0],
            Self::List { path: at } => [11, path(at), 0],
            Self::Exists { path: at } => [12, path(at), 0],
            Self::Rename { from, to } => [13, path(from), path(to)],
            Self::RemoveFile { path: at } => [14, path(at), 0],
            Self::RemoveDirs { path: at } => [15, path(at), 0],
            Self::SyncDir { path: at } => [16, path(at), 0],
            Self::Space => [17, 0, 0],
            Self::Lock { path: at } => [18, path(at), 0],
        }
    }

    /// Does it. `as_of` is the volume's sequence when the operation was submitted: what a sync covers.
    pub(crate) fn apply(&self, disk: &Rc<Disk>, volume: &mut Volume, as_of: u64) -> io::Result<Outcome> {
        match self {
            Self::Open { path, options } => {
                let file = volume.open(path, *options)?;
                return Ok(Outcome::Opened(Rc::new(Handle::new(disk, file, path.clone(), options.write))));
            }
            Self::Lock { path } => {
                let (holder, life) = (disk.next_holder(), disk.life());
                let file = volume.lock(path, holder)?;
                return Ok(Outcome::Locked(LockGuard { disk: Rc::clone(disk), file, holder, life }));
            }
            Self::Len { file } => return Ok(Outcome::Len(volume.inode(file.file).len())),
            Self::Read { file, position, len } => {
                return Ok(Outcome::Bytes(volume.inode(file.file).read(*position, *len).into()));
            }
            Self::List { path } => return volume.list(path).map(Outcome::Entries),
            Self::Exists { path } => return Ok(Outcome::Exists(volume.tree().find(path)?.is_some())),
            Self::Space => return Ok(Outcome::Space(volume.space())),
            Self::Close { .. } => {}
            Self::Write { file, first, pages, len } => {
                volume.write(file.file, *first, pages, *len)?;
            }
            Self::WriteDurable { file, first, pages } => {
                volume.write_durable(file.file, *first, pages, as_of)?;
            }
            Self::Sync { file } => volume.sync(file.file, as_of),
            Self::Allocate { file, position, len } => volume.allocate(file.file, *position, *len)?,
            Self::SetLen { file, len } => volume.set_len(file.file, *len)?,
            Self::CreateDirs { path } => volume.create_dirs(path)?,
            Self::Rename { from, to } => volume.rename(from, to)?,
            Self::RemoveFile { path } => volume.remove_file(path)?,
            Self::RemoveDirs { path } => volume.remove_dirs(path)?,
            Self::SyncDir { path } => volume.sync_dir(path, as_of)?,
        }
        Ok(Outcome::Done)
    }
}

/// An open file, shared by all clones of one `File` and the operations in flight on it.
pub(crate) struct Handle {
    disk: Rc<Disk>,
    pub(crate) file: u64,
    /// As it was opened, for faults that are aimed at a path.
    pub(crate) path: PathBuf,
    pub(crate) writable: bool,
    life: u64,
}

impl Handle {
    fn new(disk: &Rc<Disk>, file: u64, path: PathBuf, writable: bool) -> Self {
        Self { disk: Rc::clone(disk), file, path, writable, life: disk.life() }
    }

    /// The life of the node in which it was opened.
    pub(crate) fn life(&self) -> u64 {
        self.life
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.disk.release(self.life, |volume| volume.close(self.file));
    }
}

/// Releases a lock.
pub(crate) struct LockGuard {
    disk: Rc<Disk>,
    file: u64,
    holder: u64,
    life: u64,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.disk.release(self.life, |volume| volume.unlock(self.file, self.holder));
    }
}

/// Where an operation's outcome is left for whoever waits.
#[derive(Default)]
pub(crate) struct Slot(RefCell<SlotState>);

#[derive(Default)]
struct SlotState {
    outcome: Option<io::Result<Outcome>>,
    waiting: Option<Waker>,
}

impl Slot {
    pub(crate) fn fill(&self, outcome: io::Result<Outcome>) {
        let waiting = {
            let mut state = self.0.borrow_mut();
            state.outcome = Some(outcome);
            state.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

/// Waits for an operation. Dropping it does not take the operation back.
pub(crate) struct Completion(pub(crate) Rc<Slot>);

impl Future for Completion {
    type Output = io::Result<Outcome>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Outcome>> {
        let mut state = self.0.0.borrow_mut();
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
