//! Descriptors that close themselves when the last operation on them is done.

use super::shard::Shard;
use io_uring::{opcode, squeue, types};
use std::{
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd},
    rc::{Rc, Weak},
};

/// An owned descriptor, shared by its user and the operations in flight on it: the last of them closes it, so that
/// neither the number nor the file can be reused under an operation.
#[derive(Debug)]
pub(super) struct Fd {
    owned: ManuallyDrop<OwnedFd>,
    close: Close,
}

/// How a descriptor is closed.
#[derive(Debug)]
enum Close {
    /// By the system call, here and now. For sockets, whose close does not wait.
    Now,
    /// By a worker of the ring: the last close of a removed file frees its blocks, which can take long.
    InBackground(Weak<Shard>),
}

impl Fd {
    pub(super) fn socket(owned: OwnedFd) -> Rc<Self> {
        Rc::new(Self { owned: ManuallyDrop::new(owned), close: Close::Now })
    }

    pub(super) fn file(owned: OwnedFd, shard: &Rc<Shard>) -> Rc<Self> {
        Rc::new(Self { owned: ManuallyDrop::new(owned), close: Close::InBackground(Rc::downgrade(shard)) })
    }

    /// For building an operation. Whoever submits it holds the `Fd` until it is done.
    pub(super) fn target(&self) -> types::Fd {
        types::Fd(self.owned.as_raw_fd())
    }

    /// Takes the descriptor out, to be closed by hand.
    pub(super) fn into_owned(mut self) -> OwnedFd {
        // SAFETY: `self` is forgotten at once, so nobody uses or drops `owned` again.
        let owned = unsafe { ManuallyDrop::take(&mut self.owned) };
        // What `forget` would leak of `close` is released here.
        self.close = Close::Now;
        std::mem::forget(self);
        owned
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.owned.as_fd()
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: `drop` runs once, and nobody uses `owned` after it.
        let owned = unsafe { ManuallyDrop::take(&mut self.owned) };
        if let Close::InBackground(shard) = &self.close
            && let Some(shard) = shard.upgrade()
        {
            shard.close_in_background(owned);
        }
    }
}

/// The entry that closes `owned`, which it consumes.
pub(super) fn close_entry(owned: OwnedFd) -> squeue::Entry {
    opcode::Close::new(types::Fd(owned.into_raw_fd())).build().flags(squeue::Flags::ASYNC)
}

/// The result of a completion: a count, or the operating system's error.
pub(super) fn checked(result: i32) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.wrapping_neg()))
}
