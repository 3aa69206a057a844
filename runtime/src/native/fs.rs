//! Directories and small files, on blocking threads: control work, which may take its time but must not hold up the shard.

use super::blocking::blocking;
use crate::fs::{DirEntry, Lock, Space};
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock, statvfs};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

pub(crate) async fn create_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || fs::create_dir_all(path)).await
}

pub(crate) async fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    let path = path.to_owned();
    blocking(move || {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            let name = entry.file_name().into_string().map_err(|name| {
                let text = format!("{}: the name {name:?} is not UTF-8", path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            entries.push(DirEntry { name, is_dir });
        }
        entries.sort();
        Ok(entries)
    })
    .await
}

pub(crate) async fn exists(path: &Path) -> io::Result<bool> {
    let path = path.to_owned();
    blocking(move || fs::exists(path)).await
}

pub(crate) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(move || fs::rename(from, to)).await
}

pub(crate) async fn remove_file(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || fs::remove_file(path)).await
}

pub(crate) async fn remove_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || fs::remove_dir_all(path)).await
}

pub(crate) async fn sync_dir(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || File::open(path)?.sync_all()).await
}

pub(crate) async fn read(path: &Path) -> io::Result<Bytes> {
    let path = path.to_owned();
    blocking(move || fs::read(path).map(Bytes::from)).await
}

pub(crate) async fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    let (path, contents) = (path.to_owned(), contents.to_vec());
    blocking(move || replace(&path, &contents)).await
}

/// Beside the file, so that the rename stays within one file system; a leftover of a crash is overwritten.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

pub(crate) async fn space(path: &Path) -> io::Result<Space> {
    let path = path.to_owned();
    blocking(move || {
        let found = statvfs(&path)?;
        Ok(Space {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            available: found.f_bavail.saturating_mul(found.f_frsize),
        })
    })
    .await
}

pub(crate) async fn lock(path: &Path) -> io::Result<Lock> {
    let path = path.to_owned();
    let (file, path) = blocking(move || take_lock(path)).await?;
    Ok(Lock { _holder: Box::new(file), path })
}

/// The lock belongs to the open file: it goes when the file is closed, at the latest with the process.
fn take_lock(path: PathBuf) -> io::Result<(File, PathBuf)> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok((file, path))
}
