use crate::fs::{DirEntry, Lock, Space};
use bytes::Bytes;
use std::{io, path::Path};
pub(crate) async fn create_dir_all(path: &Path) -> io::Result<()> {
    todo!()
}
pub(crate) async fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    todo!()
}
pub(crate) async fn exists(path: &Path) -> io::Result<bool> {
    todo!()
}
pub(crate) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    todo!()
}
pub(crate) async fn remove_file(path: &Path) -> io::Result<()> {
    todo!()
}
pub(crate) async fn remove_dir_all(path: &Path) -> io::Result<()> {
    todo!()
}
pub(crate) async fn sync_dir(path: &Path) -> io::Result<()> {
    todo!()
}
pub(crate) async fn read(path: &Path) -> io::Result<Bytes> {
    todo!()
}
pub(crate) async fn write_atomically(path: &Path, contents: &[u8]) -> io::Result<()> {
    todo!()
}
pub(crate) async fn space(path: &Path) -> io::Result<Space> {
    todo!()
}
pub(crate) async fn lock(path: &Path) -> io::Result<Lock> {
    todo!()
}
