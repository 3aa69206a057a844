//! Directories and small files: the standard library's calls, on threads that may block.

use super::blocking::run;
use crate::fs::{DirEntry, Lock, Space, is_out_of_files};
use bytes::Bytes;
use rustix::fs::FlockOperation;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

pub(crate) async fn create_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run(move || fs::create_dir_all(path)).await
}

pub(crate) async fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    let path = path.to_owned();
    run(move || {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| {
                io::Error::new(io::ErrorKind::InvalidData, format!("a name that is not UTF-8: {name:?}"))
            })?;
            entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
        }
        entries.sort_unstable();
        Ok(entries)
    })
    .await
}

pub(crate) async fn exists(path: &Path) -> io::Result<bool> {
    let path = path.to_owned();
    run(move || fs::exists(path)).await
}

pub(crate) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    run(move || fs::rename(from, to)).await
}

pub(crate) async fn remove_file(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run(move || fs::remove_file(path)).await
}

pub(crate) async fn remove_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run(move || fs::remove_dir_all(path)).await
}

pub(crate) async fn sync_dir(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run(move || {
        let directory = fs::File::open(path)?;
        directory.sync_all().map_err(|error| {
            // Whatever a file system says of a sync, it must not be taken for a directory that could not be opened.
            if is_out_of_files(&error) { io::Error::other(error) } else { error }
        })
    })
    .await
}

pub(crate) async fn read(path: &Path) -> io::Result<Bytes> {
    let path = path.to_owned();
    run(move || fs::read(path).map(Bytes::from)).await
}

pub(crate) async fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    let (path, contents) = (path.to_owned(), contents.to_vec());
    run(move || {
        let temporary = temporary_name(&path)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&contents)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(parent)?.sync_all()
    })
    .await
}

/// The name under which a file's new contents are written before they take its place.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".tmp");
    Ok(path.with_file_name(name))
}

pub(crate) async fn space(path: &Path) -> io::Result<Space> {
    let path = path.to_owned();
    run(move || {
        let space = rustix::fs::statvfs(&path)?;
        Ok(Space {
            total: space.f_blocks.saturating_mul(space.f_frsize),
            available: space.f_bavail.saturating_mul(space.f_frsize),
        })
    })
    .await
}

pub(crate) async fn lock(path: &Path) -> io::Result<Lock> {
    let path = path.to_owned();
    run(move || {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        // Of the open file, not of the process: another opening in this process is refused too.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok((file, path))
    })
    .await
    .map(|(file, path)| Lock { _holder: Box::new(file), path })
}
