//! A connection's incoming bytes: a multishot receive that fills buffers of the shard's, and who waits for them.

use super::buffers::{Buffers, GROUP, Received};
use crate::native::{fd::Fd, ring::Sink, shard::Shard, slab::Key};
use io_uring::{cqueue, opcode};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Buffers that may wait for the connection's task. Beyond it receiving stops until the task has caught up, so that one
/// slow connection does not take the buffers of all. The kernel fills up to 32 before anybody sees the first, which come on top.
const WAITING_MAX: usize = 8;

/// What has arrived and not been taken.
pub(super) struct Receiver {
    buffers: Rc<Buffers>,
    arrived: RefCell<VecDeque<Received>>,
    /// How many received bytes are copies, because buffers are scarce. At most [`WAITING_MAX`]: a task that keeps what it
    /// received runs out of buffers, not of memory.
    copies: Rc<Cell<usize>>,
    /// The receive that is under way.
    armed: Cell<Option<Key>>,
    /// It was asked to end.
    ending: Cell<bool>,
    /// The end of the stream, or what is wrong with it; said once all that arrived before is taken.
    end: RefCell<Option<End>>,
    waiting: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy)]
enum End {
    Eof,
    Error(i32),
}

impl Receiver {
    pub(super) fn new(buffers: Rc<Buffers>) -> Rc<Self> {
        Rc::new(Self {
            buffers,
            arrived: RefCell::default(),
            copies: Rc::default(),
            armed: Cell::new(None),
            ending: Cell::new(false),
            end: RefCell::new(None),
            waiting: RefCell::new(None),
        })
    }

    /// The next bytes that arrived; empty at the end of the stream.
    pub(super) fn poll_next(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        socket: &Rc<Fd>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Received>> {
        if let Some(received) = self.arrived.borrow_mut().pop_front() {
            return Poll::Ready(Ok(received));
        }
        if let Some(ended) = self.poll_end() {
            return Poll::Ready(ended.map(|()| Received::empty()));
        }
        *self.waiting.borrow_mut() = Some(cx.waker().clone());
        if self.armed.get().is_none() {
            self.arm(shard, socket);
        }
        Poll::Pending
    }

    /// As [`Receiver::poll_next`], but without receiving more into buffers: what is under way is ended, and `None` says
    /// that it is over and nothing is left of it.
    pub(super) fn poll_rest(
        &self,
        shard: &Rc<Shard>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Received>>> {
        if let Some(received) = self.arrived.borrow_mut().pop_front() {
            return Poll::Ready(Some(Ok(received)));
        }
        if let Some(ended) = self.poll_end() {
            return Poll::Ready(Some(ended.map(|()| Received::empty())));
        }
        if self.armed.get().is_none() {
            return Poll::Ready(None);
        }
        *self.waiting.borrow_mut() = Some(cx.waker().clone());
        self.stop(shard);
        Poll::Pending
    }

    /// Puts back what was not used of received bytes: they come first again.
    pub(super) fn put_back(&self, rest: Received) {
        if !rest.is_empty() {
            self.arrived.borrow_mut().push_front(rest);
        }
    }

    /// The stream is at its end, as an operation of another kind found out.
    pub(super) fn note_eof(&self) {
        *self.end.borrow_mut() = Some(End::Eof);
    }

    /// Ends the receive that is under way, if there is one.
    pub(super) fn stop(&self, shard: &Shard) {
        if let Some(key) = self.armed.get()
            && !self.ending.replace(true)
        {
            shard.ring.cancel(key);
        }
    }

    fn poll_end(&self) -> Option<io::Result<()>> {
        match *self.end.borrow() {
            None => None,
            Some(End::Eof) => Some(Ok(())),
            Some(End::Error(code)) => Some(Err(io::Error::from_raw_os_error(code))),
        }
    }

    fn arm(self: &Rc<Self>, shard: &Rc<Shard>, socket: &Rc<Fd>) {
        self.ending.set(false);
        let entry = opcode::RecvMulti::new(socket.target(), GROUP).build();
        let sink = Rc::clone(self) as Rc<dyn Sink>;
        // SAFETY: it writes to the shard's buffers, which live as long as the ring; the socket is held by the operation.
        let key = unsafe { shard.ring.submit_multi(entry, Some(Rc::clone(socket)), sink) };
        self.armed.set(Some(key));
    }

    fn wake(&self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl Sink for Receiver {
    fn complete(&self, result: i32, flags: u32, more: bool) {
        if !more {
            self.armed.set(None);
        }
        if let Some(id) = cqueue::buffer_select(flags) {
            // An error that comes with a buffer gives it back, too.
            let mut received = self.buffers.lend(id, usize::try_from(result).unwrap_or(0));
            if result > 0 {
                if self.waiting.borrow().is_none()
                    && self.buffers.is_scarce()
                    && self.copies.get() < WAITING_MAX
                {
                    received = received.into_copy(&self.copies);
                }
                let mut arrived = self.arrived.borrow_mut();
                arrived.push_back(received);
                if arrived.len() >= WAITING_MAX {
                    drop(arrived);
                    self.stop(&Shard::current());
                }
            }
        }
        match result {
            0 => *self.end.borrow_mut() = Some(End::Eof),
            result if result > 0 => {}
            // All buffers are on loan: whoever returns one wakes the task, which begins anew. The kernel holds the bytes.
            error if -error == libc::ENOBUFS => {
                if let Some(waiting) = self.waiting.take() {
                    self.buffers.wait(&waiting);
                }
                return;
            }
            error if -error == libc::ECANCELED => {}
            error => *self.end.borrow_mut() = Some(End::Error(-error)),
        }
        self.wake();
    }
}
