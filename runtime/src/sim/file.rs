//! An open file of a simulated process.

use super::{
    ShardContext,
    disk::{DiskSession, Handle, Operation, Outcome, pages},
};
use crate::{AlignedBuf, BLOCK_SIZE, OpenOptions};
use bytes::Bytes;
use std::{fmt, io, path::Path, rc::Rc};

#[derive(Clone)]
pub(crate) struct File {
    session: DiskSession,
    handle: Rc<Handle>,
}

impl File {
    pub(crate) async fn open(shard: &ShardContext, path: &Path, options: OpenOptions) -> io::Result<Self> {
        let session = shard.disk();
        let handle = session.open(path, options).await?;
        Ok(Self { session, handle })
    }

    pub(crate) async fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        match self.session.run(Operation::Read { file: self.handle(), position, len }).await? {
            Outcome::Bytes(bytes) => Ok(bytes),
            _ => unreachable!("reading gives bytes"),
        }
    }

    pub(crate) async fn write_at(&self, position: u64, data: Bytes) -> io::Result<()> {
        assert_aligned(position, &data);
        self.check_writable()?;
        if data.is_empty() {
            return Ok(());
        }
        let len = position.saturating_add(data.len() as u64);
        let (first, pages) = (position / BLOCK_SIZE as u64, pages(&data));
        self.session.run(Operation::Write { file: self.handle(), first, pages, len }).await.map(drop)
    }

    pub(crate) async fn write_durable_at(
        &self,
        position: u64,
        buffer: AlignedBuf,
        len: usize,
    ) -> (io::Result<()>, AlignedBuf) {
        let result = self.write_durable(position, &buffer[..len]).await;
        (result, buffer)
    }

    async fn write_durable(&self, position: u64, data: &[u8]) -> io::Result<()> {
        assert_aligned(position, data);
        self.check_writable()?;
        if data.is_empty() {
            return Ok(());
        }
        let (first, pages) = (position / BLOCK_SIZE as u64, pages(data));
        self.session.run(Operation::WriteDurable { file: self.handle(), first, pages }).await.map(drop)
    }

    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        self.session.run(Operation::Sync { file: self.handle() }).await.map(drop)
    }

    pub(crate) async fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.session.run(Operation::Allocate { file: self.handle(), position, len }).await.map(drop)
    }

    pub(crate) async fn set_len(&self, len: u64) -> io::Result<()> {
        // What ftruncate says of a descriptor that can't write.
        self.check_writable().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.session.run(Operation::SetLen { file: self.handle(), len }).await.map(drop)
    }

    pub(crate) async fn len(&self) -> io::Result<u64> {
        match self.session.run(Operation::Len { file: self.handle() }).await? {
            Outcome::Len(len) => Ok(len),
            _ => unreachable!("asking for a length gives one"),
        }
    }

    pub(crate) async fn close(self) -> io::Result<()> {
        self.session.run(Operation::Close { file: self.handle }).await.map(drop)
    }

    fn handle(&self) -> Rc<Handle> {
        Rc::clone(&self.handle)
    }

    fn check_writable(&self) -> io::Result<()> {
        const EBADF: i32 = 9;
        match self.handle.writable {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(EBADF)),
        }
    }
}

/// What direct I/O demands.
fn assert_aligned(position: u64, data: &[u8]) {
    assert!(
        position.is_multiple_of(BLOCK_SIZE as u64)
            && data.len().is_multiple_of(BLOCK_SIZE)
            && (data.is_empty() || (data.as_ptr() as usize).is_multiple_of(BLOCK_SIZE)),
        "a direct write of {} bytes at {position} from {:p} is not block-aligned",
        data.len(),
        data.as_ptr(),
    );
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({})", self.handle.path.display())
    }
}
