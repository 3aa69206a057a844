//! Files, all through the shard's own ring.
//!
//! glommio's files would do for control, but not for reading: what its reads return cannot leave the thread, so that
//! every batch would be copied once more on its way to another shard. One descriptor, one way of using it: direct, unless
//! the file system refuses that; then everything goes through the page cache, never some of it.

use super::{
    blocking,
    fd::{Fd, checked},
    landing::Landing,
    operation::InFlight,
    ring::Memory,
    shard::Shard,
};
use crate::{
    AlignedBuf, BLOCK_SIZE, OpenOptions,
    machine::{WriteCache, write_cache_of},
};
use bytes::Bytes;
use io_uring::{opcode, squeue, types};
use rustix::fs::{AtFlags, StatxFlags};
use std::{
    cell::Cell,
    ffi::CString,
    fmt, io,
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    rc::Rc,
};

/// The most that one operation reads or writes, in bytes: the kernel takes a little more.
const TRANSFER_MAX: usize = 1 << 30;

/// A read of more than this is checked against the file's length before memory is given to it.
const READ_UNCHECKED_MAX: usize = 1 << 20;

/// Of files that are created: written by their owner, read by its group.
const MODE: u32 = 0o640;

#[derive(Clone)]
pub(crate) struct File(Rc<Opened>);

struct Opened {
    shard: Rc<Shard>,
    fd: Rc<Fd>,
    /// Past the page cache: positions and lengths are multiples of the block size.
    direct: bool,
    /// How a durable write is made; found out at the first.
    durably: Cell<Option<Durably>>,
}

/// How a write becomes durable. docs/decisions/0001-runtime.md has the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durably {
    /// In one operation, with RWF_DSYNC: the kernel forces it past the device's cache, or there is no such cache.
    AtOnce,
    /// By a write, then a sync: the file system knows no RWF_DSYNC.
    InTwo,
    /// The device can't force a single write past its cache, so that either way a flush follows the write. In one operation it
    /// is started by a kernel worker that is bound to a core, likely the shard's own: best if that core is free. In two it is
    /// started by this shard, and waited for on whatever core is free: best if the shard is busy.
    AsFits,
}

impl File {
    pub(crate) async fn open(path: &Path, options: OpenOptions) -> io::Result<Self> {
        let shard = Shard::current();
        let mut flags = libc::O_CLOEXEC | if options.write { libc::O_RDWR } else { libc::O_RDONLY };
        if options.create || options.create_new {
            flags |= libc::O_CREAT;
        }
        let exclusive = if options.create_new { libc::O_EXCL } else { 0 };
        let (fd, direct) = match open_at(path, flags | exclusive | libc::O_DIRECT).await {
            Ok(fd) => {
                let direct = takes_direct(&fd)?;
                (fd, direct)
            }
            // The file system has no direct I/O. It may have created the file before it said so.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => (open_at(path, flags).await?, false),
            Err(error) => return Err(error),
        };
        if !direct {
            let flags = rustix::fs::fcntl_getfl(&fd)?;
            rustix::fs::fcntl_setfl(&fd, flags.difference(rustix::fs::OFlags::DIRECT))?;
        }
        let fd = Fd::file(fd, &shard);
        Ok(Self(Rc::new(Opened { shard, fd, direct, durably: Cell::new(None) })))
    }

    pub(crate) async fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let len = self.readable(position, len)?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let before = (position % BLOCK_SIZE as u64) as usize;
        let first = position - before as u64;
        let needed = before + len;
        let mut landing = Landing::new(needed.next_multiple_of(BLOCK_SIZE))?;
        while landing.filled() < needed {
            let filled = landing.filled();
            if self.0.direct && !filled.is_multiple_of(BLOCK_SIZE) {
                break; // A part of a block is read only where the file ends in it.
            }
            let (spare, room) = landing.spare();
            let entry = opcode::Read::new(self.0.fd.target(), spare, room.min(TRANSFER_MAX) as u32)
                .offset(first + filled as u64)
                .build();
            // SAFETY: the entry points into the landing's memory, which does not move with it.
            let (result, memory) = unsafe { self.submit(entry, Memory::Landing(landing)) }.await;
            let Memory::Landing(back) = memory else { unreachable!("a read gives its memory back") };
            landing = back;
            match retried(result)? {
                None => {}
                Some(0) => break,
                // SAFETY: the kernel filled that many bytes from where `spare` was.
                Some(more) => unsafe { landing.advance(more) },
            }
        }
        let end = landing.filled().min(needed);
        if end <= before {
            return Ok(Bytes::new());
        }
        Ok(Bytes::from_owner(landing).slice(before..end))
    }

    /// How much there can be to read. Whoever asks for much may have it from a damaged length.
    fn readable(&self, position: u64, len: usize) -> io::Result<usize> {
        if len <= READ_UNCHECKED_MAX && position <= i64::MAX as u64 - READ_UNCHECKED_MAX as u64 {
            return Ok(len);
        }
        let left = self.stat_len()?.saturating_sub(position);
        Ok(usize::try_from(left).unwrap_or(usize::MAX).min(len))
    }

    pub(crate) async fn write_at(&self, position: u64, data: Bytes) -> io::Result<()> {
        assert_aligned(position, data.as_ptr(), data.len());
        let mut written = 0;
        while written < data.len() {
            let rest = data.slice(written..);
            let len = rest.len().min(TRANSFER_MAX) as u32;
            let entry = opcode::Write::new(self.0.fd.target(), rest.as_ptr(), len)
                .offset(position + written as u64)
                .build();
            // SAFETY: the bytes are reference-counted, and do not move with the handle.
            let (result, _) = unsafe { self.submit(entry, Memory::Bytes(rest)) }.await;
            written += progress(result)?;
        }
        Ok(())
    }

    pub(crate) async fn write_durable_at(
        &self,
        position: u64,
        mut buffer: AlignedBuf,
        len: usize,
    ) -> (io::Result<()>, AlignedBuf) {
        assert_aligned(position, buffer[..len].as_ptr(), len);
        let _under_way = self.0.shard.syncs.begin();
        let (mut written, mut unsynced) = (0, false);
        while written < len {
            let at_once = self.at_once();
            let flags = if at_once { libc::RWF_DSYNC } else { 0 };
            let entry = self.write_entry(&buffer[written..len], &buffer, position + written as u64, flags);
            // SAFETY: the entry points into the buffer's memory, which does not move with it.
            let (result, memory) = unsafe { self.submit(entry, Memory::Aligned(buffer)) }.await;
            let Memory::Aligned(back) = memory else { unreachable!("a write gives its memory back") };
            buffer = back;
            if result == -libc::EOPNOTSUPP && at_once {
                self.0.durably.set(Some(Durably::InTwo));
                continue;
            }
            match progress(result) {
                Ok(more) => written += more,
                Err(error) => return (Err(error), buffer),
            }
            unsynced |= !at_once;
        }
        let synced = if unsynced { self.sync_data().await } else { Ok(()) };
        (synced, buffer)
    }

    /// Whether a durable write is made in one operation.
    fn at_once(&self) -> bool {
        let durably = self.0.durably.get().unwrap_or_else(|| self.find_durably());
        match durably {
            Durably::AtOnce => true,
            Durably::InTwo => false,
            Durably::AsFits => self.0.shard.syncs.leave_core_free(),
        }
    }

    #[cold]
    fn find_durably(&self) -> Durably {
        // What is read is in the kernel's memory: nothing to wait for.
        let device = rustix::fs::fstat(&*self.0.fd).map(|stat| stat.st_dev);
        let cache = device.map_or(WriteCache::Unknown, write_cache_of);
        let flushes = self.0.direct && cache == WriteCache::Back;
        let durably = if flushes { Durably::AsFits } else { Durably::AtOnce };
        self.0.durably.set(Some(durably));
        durably
    }

    /// A write of `data`, a part of `buffer`.
    fn write_entry(&self, data: &[u8], buffer: &AlignedBuf, position: u64, flags: i32) -> squeue::Entry {
        let (target, len) = (self.0.fd.target(), data.len().min(TRANSFER_MAX) as u32);
        match self.0.shard.registered.index_of(buffer) {
            Some(index) => opcode::WriteFixed::new(target, data.as_ptr(), len, index)
                .offset(position)
                .rw_flags(flags)
                .build(),
            None => opcode::Write::new(target, data.as_ptr(), len).offset(position).rw_flags(flags).build(),
        }
    }

    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        let entry = opcode::Fsync::new(self.0.fd.target()).flags(types::FsyncFlags::DATASYNC).build();
        self.run(entry).await
    }

    pub(crate) async fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.run(opcode::Fallocate::new(self.0.fd.target(), len).offset(position).build()).await
    }

    pub(crate) async fn set_len(&self, len: u64) -> io::Result<()> {
        // A descriptor of its own: the call goes on if its future is dropped.
        let fd = rustix::io::fcntl_dupfd_cloexec(&*self.0.fd, 0)?;
        blocking::run(move || Ok(rustix::fs::ftruncate(fd, len)?)).await
    }

    pub(crate) async fn len(&self) -> io::Result<u64> {
        self.stat_len()
    }

    /// The inode is in memory as long as the file is open: no need to wait.
    fn stat_len(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&*self.0.fd)?.st_size as u64)
    }

    pub(crate) async fn close(self) -> io::Result<()> {
        let Ok(opened) = Rc::try_unwrap(self.0) else { return Ok(()) };
        // An operation whose future was dropped may still be in flight: it closes the descriptor when it is done.
        let Ok(fd) = Rc::try_unwrap(opened.fd) else { return Ok(()) };
        let owned = fd.into_owned();
        blocking::run(move || close(owned)).await
    }

    /// An operation that points to no memory.
    async fn run(&self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the entry points to nothing.
            let (result, _) = unsafe { self.submit(entry.clone(), Memory::None) }.await;
            if retried(result)?.is_some() {
                return Ok(());
            }
        }
    }

    /// # Safety
    /// `entry` is for this file, and points to nothing but what lies behind a pointer in `memory`.
    unsafe fn submit(&self, entry: squeue::Entry, memory: Memory) -> InFlight {
        // SAFETY: the caller's promise.
        unsafe { InFlight::start(entry, Some(Rc::clone(&self.0.fd)), memory) }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({:?}, direct: {})", self.0.fd, self.0.direct)
    }
}

async fn open_at(path: &Path, flags: i32) -> io::Result<OwnedFd> {
    loop {
        let name = CString::new(path.as_os_str().as_bytes())?;
        let entry =
            opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), name.as_ptr()).flags(flags).mode(MODE).build();
        // SAFETY: the name's bytes are on the heap, and do not move with it.
        let (result, _) = unsafe { InFlight::start(entry, None, Memory::Path(name)) }.await;
        if let Some(fd) = retried(result)? {
            // SAFETY: the kernel has just opened it for us.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) });
        }
    }
}

/// Whether direct I/O works on this file, in blocks of ours.
fn takes_direct(fd: &OwnedFd) -> io::Result<bool> {
    let asked = StatxFlags::from_bits_retain(libc::STATX_DIOALIGN);
    // An old kernel does not know, a seccomp profile may forbid to ask. That the file could be opened for direct I/O says
    // the same, less exactly.
    let Ok(stat) = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, asked) else { return Ok(true) };
    if stat.stx_mask & libc::STATX_DIOALIGN == 0 {
        return Ok(true);
    }
    let block = stat.stx_dio_offset_align.max(stat.stx_dio_mem_align) as usize;
    if block > BLOCK_SIZE {
        let problem =
            format!("direct I/O needs blocks of {block} bytes here, which is more than {BLOCK_SIZE}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
    }
    Ok(block > 0)
}

fn close(owned: OwnedFd) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    // SAFETY: the descriptor is owned, and given up with the call, whatever it returns.
    if unsafe { libc::close(owned.into_raw_fd()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn assert_aligned(position: u64, start: *const u8, len: usize) {
    let aligned = position.is_multiple_of(BLOCK_SIZE as u64)
        && (start as usize).is_multiple_of(BLOCK_SIZE)
        && len.is_multiple_of(BLOCK_SIZE);
    assert!(
        aligned || (len == 0 && position.is_multiple_of(BLOCK_SIZE as u64)),
        "a write of {len} bytes from {start:?} to {position} is not aligned to blocks"
    );
}

/// The result of an operation, or `None` if it is to be tried again.
fn retried(result: i32) -> io::Result<Option<usize>> {
    match result {
        _ if result == -libc::EINTR || result == -libc::EAGAIN => Ok(None),
        _ => checked(result).map(|count| Some(count as usize)),
    }
}

/// How far a write has come.
fn progress(result: i32) -> io::Result<usize> {
    match retried(result)? {
        None => Ok(0),
        Some(0) => Err(io::ErrorKind::WriteZero.into()),
        Some(more) => Ok(more),
    }
}
