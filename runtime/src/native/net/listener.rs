//! Accepting connections.

use super::{socket, stream::Stream};
use crate::{
    ListenOptions,
    native::{fd::Fd, ring::Sink, shard::Shard, slab::Key},
};
use io_uring::opcode;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{FromRawFd, OwnedFd},
    rc::Rc,
    task::{Poll, Waker},
};

/// Accepted connections that may wait for the accepting task; the rest waits in the kernel's backlog.
const WAITING_MAX: usize = 64;

/// A listening socket.
pub(crate) struct Listener {
    shard: Rc<Shard>,
    socket: Rc<Fd>,
    local: SocketAddr,
    accepted: Rc<Accepted>,
}

/// Connections that were accepted and not taken.
#[derive(Default)]
struct Accepted {
    waiting: RefCell<VecDeque<io::Result<OwnedFd>>>,
    armed: Cell<Option<Key>>,
    ending: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        let socket = socket::listening(address, options)?;
        let local = socket::local(&*socket)?;
        Ok(Self { shard: Shard::current(), socket, local, accepted: Rc::default() })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        loop {
            let socket = poll_fn(|cx| {
                if let Some(accepted) = self.accepted.waiting.borrow_mut().pop_front() {
                    return Poll::Ready(accepted);
                }
                *self.accepted.waker.borrow_mut() = Some(cx.waker().clone());
                if self.accepted.armed.get().is_none() {
                    self.arm();
                }
                Poll::Pending
            })
            .await?;
            // A peer that has gone again before we looked is no news.
            if let Ok(stream) = Stream::accepted(&self.shard, socket) {
                return Ok(stream);
            }
        }
    }

    fn arm(&self) {
        self.accepted.ending.set(false);
        let entry = opcode::AcceptMulti::new(self.socket.target()).flags(libc::SOCK_CLOEXEC).build();
        let sink = Rc::clone(&self.accepted) as Rc<dyn Sink>;
        // SAFETY: it points to nothing; the socket is held by the operation.
        let key = unsafe { self.shard.ring.submit_multi(entry, Some(Rc::clone(&self.socket)), sink) };
        self.accepted.armed.set(Some(key));
    }
}

impl Accepted {
    fn stop(&self, shard: &Shard) {
        if let Some(key) = self.armed.get()
            && !self.ending.replace(true)
        {
            shard.ring.cancel(key);
        }
    }
}

impl Sink for Accepted {
    fn complete(&self, result: i32, _flags: u32, more: bool) {
        if !more {
            self.armed.set(None);
        }
        let accepted = match result {
            // SAFETY: the kernel just made this descriptor for us.
            fd if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            error if -error == libc::ECANCELED => {
                // What was waiting may have been taken before this came, and who took it waits for more, which needs a new
                // operation.
                if let Some(waker) = self.waker.take() {
                    waker.wake();
                }
                return;
            }
            error => Err(io::Error::from_raw_os_error(-error)),
        };
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back(accepted);
        if waiting.len() >= WAITING_MAX {
            drop(waiting);
            self.stop(&Shard::current());
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepted.stop(&self.shard);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Accepting was told to pause, all that waited was taken before the pause began, and the taker waits for more.
    #[test]
    fn who_waits_when_accepting_ends_is_told() {
        let woken = Arc::new(Woken::default());
        let accepted = Accepted::default();
        *accepted.waker.borrow_mut() = Some(Waker::from(Arc::clone(&woken)));
        accepted.complete(-libc::ECANCELED, 0, false);
        assert!(woken.0.load(Ordering::Relaxed), "it has to begin anew");
        assert!(accepted.waiting.borrow().is_empty(), "the end is nothing to be taken");
    }
}
