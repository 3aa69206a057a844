//! Space that is kept for a full disk: deletes, commits and the next start must work then, or it could never be emptied.
//!
//! Each shard has a file of zeros in each data directory. When something that others wait for gets no space, the file is
//! cut by so much, and the allocation tried again; it grows back once the disk has space. Appends of clients never touch
//! it. What the next start needs for its journal stays in it: that start begins with removing the file.

use crate::{
    dirs::{DataDirs, Hex},
    error::IoError,
    options::StoreOptions,
};
use millrace_runtime::{BLOCK_SIZE, File, OpenOptions, fs};
use std::{cell::Cell, path::PathBuf};

pub(crate) struct Reserve(Vec<Kept>);

/// The reserve in one data directory.
struct Kept {
    path: PathBuf,
    file: File,
    /// What the next start needs here, in bytes.
    for_start: Cell<u64>,
    /// What is to be kept here beside that.
    for_logs: u64,
    /// What is.
    held: Cell<u64>,
}

impl Reserve {
    /// Makes the shard's reserves, and takes into them what the next start needs, as far as there is space: a disk that is
    /// full already has none. `journals` is the directory of the shard's journal; a start needs `journal_len` there.
    ///
    /// # Errors
    /// The operating system's, other than that the disk is full.
    pub(crate) async fn make(
        dirs: &DataDirs,
        owner: &[u8; 16],
        options: &StoreOptions,
        journals: usize,
        journal_len: u64,
    ) -> Result<Self, IoError> {
        let mut reserves = Vec::new();
        for (index, dir) in dirs.all().iter().enumerate() {
            let path = dir.reserves().join(Hex(owner).to_string());
            let file_options = OpenOptions { write: true, create: true, create_new: false };
            let file = File::open(&path, file_options).await.map_err(IoError::on("create", &path))?;
            let for_start = if index == journals && options.reserve_bytes > 0 { journal_len } else { 0 };
            let for_logs = if index < dirs.partition_dirs() { options.reserve_bytes } else { 0 };
            fs::sync_dir(&dir.reserves()).await.map_err(IoError::on("sync", &dir.reserves()))?;
            let kept = Kept { path, file, for_start: Cell::new(for_start), for_logs, held: Cell::new(0) };
            reserves.push(kept);
        }
        let reserve = Self(reserves);
        for kept in &reserve.0 {
            unless_full(kept.take(kept.for_start.get()).await)?;
        }
        Ok(reserve)
    }

    /// More logs are there: the next start will need `journal_len` for its journal.
    pub(crate) fn expect(&self, journal_len: u64) {
        for kept in self.0.iter().filter(|kept| kept.for_start.get() > 0) {
            kept.for_start.set(kept.for_start.get().max(journal_len));
        }
    }

    /// Gives up to `len` bytes of a directory's reserve up, for somebody to use, but not what the next start needs. Tells
    /// whether there were any.
    pub(crate) async fn release(&self, index: usize, len: u64) -> Result<bool, IoError> {
        let kept = &self.0[index];
        let (held, for_start) = (kept.held.get(), kept.for_start.get());
        if held == for_start + kept.for_logs {
            tracing::warn!(path = %kept.path.display(), "the disk is full; the reserve is used");
        }
        kept.give(held.saturating_sub(len.next_multiple_of(BLOCK_SIZE as u64)).max(for_start)).await
    }

    /// Takes it back if it was given up. To be tried when the disk seems to have space.
    pub(crate) async fn restore(&self, index: usize) -> Result<(), IoError> {
        let kept = &self.0[index];
        kept.take(kept.for_start.get()).await?;
        kept.take(kept.for_start.get() + kept.for_logs).await
    }

    /// Takes back what was given up in any directory, as far as there is space.
    pub(crate) async fn restore_all(&self) -> Result<(), IoError> {
        for index in 0..self.0.len() {
            unless_full(self.restore(index).await)?;
        }
        Ok(())
    }

    /// Gives everything up, for this start. Tells whether there was anything.
    pub(crate) async fn give_up_all(&self) -> Result<bool, IoError> {
        let mut has_given = false;
        for kept in &self.0 {
            has_given |= kept.give(0).await?;
        }
        Ok(has_given)
    }
}

impl Kept {
    async fn take(&self, len: u64) -> Result<(), IoError> {
        let held = self.held.get();
        if held < len {
            self.file.allocate(held, len - held).await.map_err(IoError::on("allocate", &self.path))?;
            self.file.sync_data().await.map_err(IoError::on("sync", &self.path))?;
            self.held.set(self.held.get().max(len));
        }
        Ok(())
    }

    async fn give(&self, len: u64) -> Result<bool, IoError> {
        let gives = self.held.get() > len;
        if gives {
            self.held.set(len);
            self.file.set_len(len).await.map_err(IoError::on("cut", &self.path))?;
        }
        Ok(gives)
    }
}

fn unless_full(result: Result<(), IoError>) -> Result<(), IoError> {
    match result {
        Err(error) if error.is_full() => Ok(()),
        other => other,
    }
}

/// Removes the reserves of earlier starts, whose space is needed for this one.
pub(crate) async fn remove_old(dirs: &DataDirs) -> Result<(), IoError> {
    for dir in dirs.all() {
        let folder = dir.reserves();
        for entry in fs::read_dir(&folder).await.map_err(IoError::on("list", &folder))? {
            let path = folder.join(entry.name);
            fs::remove_file(&path).await.map_err(IoError::on("remove", &path))?;
        }
    }
    Ok(())
}
