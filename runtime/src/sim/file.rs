use crate::{AlignedBuf, OpenOptions};
use bytes::Bytes;
use std::{io, path::Path};
#[derive(Clone, Debug)]
pub(crate) struct File;
impl File {
    pub(crate) async fn open(
        _shard: &super::ShardContext,
        _path: &Path,
        _options: OpenOptions,
    ) -> io::Result<Self> {
        todo!()
    }
    pub(crate) async fn read_at(&self, _position: u64, _len: usize) -> io::Result<Bytes> {
        todo!()
    }
    pub(crate) async fn write_at(&self, _position: u64, _data: Bytes) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn write_durable_at(
        &self,
        _position: u64,
        _buffer: AlignedBuf,
        _len: usize,
    ) -> (io::Result<()>, AlignedBuf) {
        todo!()
    }
    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn allocate(&self, _position: u64, _len: u64) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn set_len(&self, _len: u64) -> io::Result<()> {
        todo!()
    }
    pub(crate) async fn len(&self) -> io::Result<u64> {
        todo!()
    }
    pub(crate) async fn close(self) -> io::Result<()> {
        todo!()
    }
}
