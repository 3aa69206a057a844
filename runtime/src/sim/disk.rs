//! The simulated disk.
use crate::fs::{DirEntry, Lock, Space};
use bytes::Bytes;
use std::{io, path::Path};
pub(crate) struct Disk;
impl Disk {
    pub(crate) async fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        todo!()
    }
    pub(crate) async fn exists(&self, path: &Path) -> io::Result<bool> {
        todo!()
    }
    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn remove_file(&self, path: &Path) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn read(&self, path: &Path) -> io::Result<Bytes> {
        todo!()
    }
    pub(crate) async fn write_atomically(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn space(&self, path: &Path) -> io::Result<Space> {
        todo!()
    }
    pub(crate) async fn lock(&self, path: &Path) -> io::Result<Lock> {
        todo!()
    }
}
