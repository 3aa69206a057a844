//! A test's hands on a disk, from outside the world: nothing here takes virtual time.

use super::{Disk, DiskLatency, Fault, volume::Volume};
use crate::fs::Space;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    rc::Rc,
};

/// A node's disk, seen from outside. What it shows is what a read would see.
pub struct DiskHandle(pub(crate) Rc<Disk>);

/// A read that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRead {
    /// The file, as it was opened.
    pub path: PathBuf,
    /// Where it begins, in bytes.
    pub position: u64,
    /// Bytes asked for.
    pub len: usize,
}

/// A disk's whole content at one moment, with what of it was durable. Cheap: pages are shared.
#[derive(Clone)]
pub struct DiskSnapshot(Volume);

impl DiskHandle {
    /// The path of every file, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.volume.borrow().tree().files().into_iter().map(|(path, _)| path.into()).collect()
    }

    /// The path of every file that a process has open, sorted.
    #[must_use]
    pub fn open_files(&self) -> Vec<PathBuf> {
        let volume = self.0.volume.borrow();
        let files = volume.tree().files().into_iter();
        files.filter(|(_, file)| volume.is_open(*file)).map(|(path, _)| path.into()).collect()
    }

    /// From now on notes what processes read, until [`DiskHandle::reads`] is asked.
    pub fn note_reads(&self) {
        *self.0.reads.borrow_mut() = Some(Vec::new());
    }

    /// What processes have read of files since [`DiskHandle::note_reads`], in the order in which it was asked for.
    #[must_use]
    pub fn reads(&self) -> Vec<DiskRead> {
        self.0.reads.take().unwrap_or_default()
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_at(path, 0, usize::MAX)
    }

    /// At most `len` bytes of a file from `position` on; fewer at its end.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn read_at(&self, path: &Path, position: u64, len: usize) -> io::Result<Vec<u8>> {
        let volume = self.0.volume.borrow();
        Ok(volume.inode(volume.tree().find_file(path)?).read(position, len))
    }

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn file_len(&self, path: &Path) -> io::Result<u64> {
        let volume = self.0.volume.borrow();
        Ok(volume.inode(volume.tree().find_file(path)?).len())
    }

    /// Changes bytes of a file behind everyone's back, durably, at any position: rot. Extends the file if need be.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn write(&self, path: &Path, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut volume = self.0.volume.borrow_mut();
        let file = volume.tree().find_file(path)?;
        volume.tamper(file, position, bytes);
        Ok(())
    }

    /// Inverts the bits of `mask` in one byte of a file.
    ///
    /// # Errors
    /// If there is no such file, or no such byte in it.
    pub fn flip(&self, path: &Path, position: u64, mask: u8) -> io::Result<()> {
        let mut volume = self.0.volume.borrow_mut();
        let file = volume.tree().find_file(path)?;
        let byte = *volume.inode(file).read(position, 1).first().ok_or(io::ErrorKind::UnexpectedEof)?;
        volume.tamper(file, position, &[byte ^ mask]);
        Ok(())
    }

    /// Has a fault wait for its operation.
    pub fn inject(&self, fault: Fault) {
        self.0.faults.borrow_mut().inject(fault);
    }

    /// Takes back every fault that has not struck, or strikes for ever. Damage that was done stays.
    pub fn heal(&self) {
        self.0.faults.borrow_mut().heal();
    }

    /// From now on operations take this long.
    pub fn set_latency(&self, latency: DiskLatency) {
        *self.0.latency.borrow_mut() = latency;
    }

    /// From now on the disk has this size, in bytes. Less than what is used means that it is full.
    pub fn set_capacity(&self, capacity: u64) {
        self.0.volume.borrow_mut().capacity = capacity;
    }

    /// Its size, and how much of that is free.
    #[must_use]
    pub fn space(&self) -> Space {
        self.0.volume.borrow().space()
    }

    /// Takes all space that is free: from now on there is as much as is given back, until
    /// [`set_capacity`](DiskHandle::set_capacity).
    pub fn fill(&self) {
        let Space { total, available } = self.space();
        self.set_capacity(total - available);
    }

    /// From now on nothing can be opened, be it to sync a directory: it fails with `EMFILE`; or no longer does.
    pub fn set_out_of_files(&self, out_of_files: bool) {
        self.0.volume.borrow_mut().out_of_files = out_of_files;
    }

    /// From now on every change fails with `EROFS`, or no longer does.
    pub fn set_read_only(&self, read_only: bool) {
        self.0.volume.borrow_mut().read_only = read_only;
    }

    /// The disk as it is.
    #[must_use]
    pub fn snapshot(&self) -> DiskSnapshot {
        DiskSnapshot(self.0.volume.borrow().clone())
    }

    /// Makes the disk what it was, or what another one was.
    ///
    /// # Panics
    /// If a file is open: kill the node first.
    pub fn restore(&self, snapshot: &DiskSnapshot) {
        let mut volume = self.0.volume.borrow_mut();
        assert!(
            !volume.is_in_use() && self.0.in_flight.borrow().is_empty(),
            "kill the node before a restore"
        );
        *volume = snapshot.0.clone();
        volume.close_all();
    }
}

impl fmt::Debug for DiskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files()).finish()
    }
}

impl fmt::Debug for DiskSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskSnapshot")
    }
}
