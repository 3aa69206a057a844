//! A process's access to its node's disk: what `fs` and `File` call.

use super::{
    Disk, Handle, Operation, Outcome,
    inode::Page,
    operation::{Completion, LockGuard},
};
use crate::{
    BLOCK_SIZE, OpenOptions,
    fs::{DirEntry, Lock, Space},
    sim::{kernel::Kernel, node::Node},
};
use bytes::Bytes;
use std::{
    io,
    path::{Path, PathBuf},
    rc::Rc,
};

/// Good for one life of the node: when that has ended, every operation fails and changes nothing.
#[derive(Clone)]
pub(crate) struct DiskSession {
    kernel: Rc<Kernel>,
    disk: Rc<Disk>,
    life: u64,
}

impl DiskSession {
    pub(crate) fn new(kernel: &Rc<Kernel>, node: &Node) -> Self {
        Self { kernel: Rc::clone(kernel), disk: Rc::clone(&node.disk), life: node.disk.life() }
    }

    /// Submits an operation and waits for it.
    pub(crate) async fn run(&self, operation: Operation) -> io::Result<Outcome> {
        self.submit(operation)?.await
    }

    fn submit(&self, operation: Operation) -> io::Result<Completion> {
        let of_this_life = operation.file().is_none_or(|file| file.life() == self.life);
        if self.life != self.disk.life() || !of_this_life {
            return Err(io::Error::other("the node that this belonged to was killed"));
        }
        Ok(self.disk.submit(&self.kernel, operation))
    }

    pub(crate) async fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Rc<Handle>> {
        match self.run(Operation::Open { path: path.to_owned(), options }).await? {
            Outcome::Opened(handle) => Ok(handle),
            _ => unreachable!("opening gives a handle"),
        }
    }

    async fn lock_file(&self, path: &Path) -> io::Result<LockGuard> {
        match self.run(Operation::Lock { path: path.to_owned() }).await? {
            Outcome::Locked(guard) => Ok(guard),
            _ => unreachable!("locking gives a guard"),
        }
    }

    pub(crate) async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::CreateDirs { path: path.to_owned() }).await.map(drop)
    }

    pub(crate) async fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        match self.run(Operation::List { path: path.to_owned() }).await? {
            Outcome::Entries(entries) => Ok(entries),
            _ => unreachable!("listing gives entries"),
        }
    }

    pub(crate) async fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.run(Operation::Exists { path: path.to_owned() }).await? {
            Outcome::Exists(exists) => Ok(exists),
            _ => unreachable!("asking for existence gives an answer"),
        }
    }

    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Operation::Rename { from: from.to_owned(), to: to.to_owned() }).await.map(drop)
    }

    pub(crate) async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::RemoveFile { path: path.to_owned() }).await.map(drop)
    }

    pub(crate) async fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::RemoveDirs { path: path.to_owned() }).await.map(drop)
    }

    pub(crate) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.run(Operation::SyncDir { path: path.to_owned() }).await.map(drop)
    }

    pub(crate) async fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = self.open(path, OpenOptions::READ).await?;
        let len = match self.run(Operation::Len { file: Rc::clone(&file) }).await? {
            Outcome::Len(len) => usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?,
            _ => unreachable!("asking for a length gives one"),
        };
        match self.run(Operation::Read { file, position: 0, len }).await? {
            Outcome::Bytes(bytes) => Ok(bytes),
            _ => unreachable!("reading gives bytes"),
        }
    }

    /// The same steps as the native backend takes, so that a crash can come between any two.
    pub(crate) async fn write_atomically(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let temporary = temporary_name(path)?;
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let file =
            self.open(&temporary, OpenOptions { write: true, create: true, create_new: false }).await?;
        // What an earlier attempt left.
        self.run(Operation::SetLen { file: Rc::clone(&file), len: 0 }).await?;
        let (pages, len) = (pages(contents), contents.len() as u64);
        self.run(Operation::Write { file: Rc::clone(&file), first: 0, pages, len }).await?;
        self.run(Operation::Sync { file }).await?;
        self.rename(&temporary, path).await?;
        self.sync_dir(parent).await
    }

    pub(crate) async fn space(&self, path: &Path) -> io::Result<Space> {
        if !self.exists(path).await? {
            return Err(io::ErrorKind::NotFound.into());
        }
        match self.run(Operation::Space).await? {
            Outcome::Space(space) => Ok(space),
            _ => unreachable!("asking for space gives figures"),
        }
    }

    pub(crate) async fn lock(&self, path: &Path) -> io::Result<Lock> {
        let guard = self.lock_file(path).await?;
        Ok(Lock { _holder: Box::new(guard), path: path.to_owned() })
    }
}

/// The name under which a file's new contents are written before they take its place.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".tmp");
    Ok(path.with_file_name(name))
}

/// Copies bytes into pages, the last one padded with zeros.
pub(crate) fn pages(bytes: &[u8]) -> Vec<Page> {
    bytes
        .chunks(BLOCK_SIZE)
        .map(|chunk| {
            if chunk.len() == BLOCK_SIZE {
                return Page::from(chunk);
            }
            let mut page = [0; BLOCK_SIZE];
            page[..chunk.len()].copy_from_slice(chunk);
            Page::from(page.as_slice())
        })
        .collect()
}
