//! Space that is kept for a full disk: deletes and commits must work then, or it could never be emptied.
//!
//! Each shard has a file of zeros in each data directory. When something that others wait for gets no space, the file is
//! cut to nothing and the allocation tried again; it grows back once the disk has space. Appends of clients never
//! touch it.

use crate::{
    dirs::{DataDirs, Hex},
    error::IoError,
};
use millrace_runtime::{File, OpenOptions, fs};
use std::{cell::Cell, path::PathBuf};

pub(crate) struct Reserve {
    len: u64,
    dirs: Vec<Kept>,
}

struct Kept {
    path: PathBuf,
    file: File,
    is_released: Cell<bool>,
}

impl Reserve {
    /// Makes the shard's reserves, as far as there is space: a disk that is full already has none.
    ///
    /// # Errors
    /// The operating system's, other than that the disk is full.
    pub(crate) async fn make(dirs: &DataDirs, owner: &[u8; 16], len: u64) -> Result<Self, IoError> {
        let mut kept = Vec::new();
        for index in 0..dirs.partition_dirs() {
            let path = dirs.dir(index).reserves().join(Hex(owner).to_string());
            let options = OpenOptions { write: true, create: true, create_new: false };
            let file = File::open(&path, options).await.map_err(IoError::on("create", &path))?;
            kept.push(Kept { path, file, is_released: Cell::new(true) });
        }
        let reserve = Self { len, dirs: kept };
        for index in 0..reserve.dirs.len() {
            match reserve.restore(index).await {
                Err(error) if !error.is_full() => return Err(error),
                _ => {}
            }
        }
        Ok(reserve)
    }

    /// Gives the reserve of a directory up, for somebody to use.
    pub(crate) async fn release(&self, index: usize) -> Result<(), IoError> {
        let kept = &self.dirs[index];
        if self.len == 0 || kept.is_released.replace(true) {
            return Ok(());
        }
        tracing::warn!(path = %kept.path.display(), "the disk is full; the reserve is given up");
        kept.file.set_len(0).await.map_err(IoError::on("cut", &kept.path))
    }

    /// Takes it back if it was given up. To be tried when the disk seems to have space.
    pub(crate) async fn restore(&self, index: usize) -> Result<(), IoError> {
        let kept = &self.dirs[index];
        if self.len == 0 || !kept.is_released.get() {
            return Ok(());
        }
        kept.file.allocate(0, self.len).await.map_err(IoError::on("allocate", &kept.path))?;
        kept.is_released.set(false);
        Ok(())
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
