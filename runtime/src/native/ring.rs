//! The shard's raw io_uring: operations in flight, and what the kernel may touch while they are.
//!
//! **Ownership.** Whatever an operation points to (its descriptor, its buffers, its message header) moves into the ring
//! when it is submitted, and out again with its completion. A future that is dropped meanwhile leaves all of it there
//! and asks the kernel to cancel; the memory is released when the kernel says that the operation is over, and never
//! before.
//!
//! **Flags.** Set up with SINGLE_ISSUER and DEFER_TASKRUN, so that the kernel finishes operations only inside
//! [`Ring::advance`]. With the default flags, completions interrupt the thread while it sleeps in the executor's own ring,
//! and wake-ups get lost. TASKRUN_FLAG tells, without a system call, whether there is something to finish.
//!
//! **Sleeping.** Polling a ring set up like this does not wake (seen on 6.18: the kernel tells pollers of completions, and
//! those come only when the owner asks for them). What wakes is an eventfd registered with the ring, which the kernel
//! signals when the first operation of a batch is ready to be finished. It is the same eventfd that other threads' bells
//! write, and signalled only between [`Ring::watch`] and [`Ring::unwatch`].

use super::{
    fd::Fd,
    landing::Landing,
    net::{Address, Message},
    parker::Parker,
    slab::{Key, Slab},
};
use crate::AlignedBuf;
use bytes::{Bytes, BytesMut};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ffi::CString,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    rc::Rc,
    sync::atomic::{Ordering, fence},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// Entries of the submission queue: what one system call submits. More than that waits in [`Ring::backlog`].
const SUBMISSION_ENTRIES: u32 = 256;

/// Entries of the completion queue. Multishot operations complete many times for one submission; what does not fit waits
/// in the kernel, at the price of an allocation each.
const COMPLETION_ENTRIES: u32 = 4096;

/// Completions taken from the queue before they are acted upon.
const REAP_BATCH: usize = 256;

/// Workers of the kernel, per shard, for operations that block: on files (syncs, allocation, writes that must wait) ...
const FILE_WORKERS_MAX: u32 = 64;
/// ... and on everything else.
const OTHER_WORKERS_MAX: u32 = 16;

/// The user data of operations whose completion nobody wants. No [`Key`] has it: it would be the four-thousand-millionth
/// place of the slab.
const UNWANTED: u64 = u64::MAX;

/// What an operation keeps alive while it is in flight, and gives back.
#[derive(Debug)]
#[expect(dead_code, reason = "some is only kept alive, and nobody wants it back")]
pub(super) enum Memory {
    /// It points to no memory, or to none that could move or go away.
    None,
    /// Written to a file from.
    Bytes(Bytes),
    /// Written to a file from.
    Aligned(AlignedBuf),
    /// Read into, from a file.
    Landing(Landing),
    /// Received into.
    Spare(BytesMut),
    /// The name of a file to open.
    Path(CString),
    /// Connected to.
    Address(Address),
    /// Sent.
    Message(Box<Message>),
}

/// Gets the completions of a multishot operation, one after the other, in order.
pub(super) trait Sink {
    /// One completion. `more` is false with the last: the operation is over.
    fn complete(&self, result: i32, flags: u32, more: bool);
}

enum Operation {
    /// Completes once; a future waits for it.
    Single { state: Single, memory: Memory, _fd: Option<Rc<Fd>> },
    /// Completes any number of times.
    Multi { sink: Rc<dyn Sink>, _fd: Option<Rc<Fd>> },
}

enum Single {
    Waiting(Option<Waker>),
    Done(i32),
    /// The future is gone. The operation's memory stays until it is over.
    Abandoned,
}

pub(super) struct Ring {
    uring: RefCell<IoUring>,
    operations: RefCell<Slab<Operation>>,
    /// Operations that the kernel is not done with.
    in_flight: Cell<usize>,
    /// What did not fit into the submission queue, in order. Bounded by what the shard's tasks have in flight.
    backlog: RefCell<VecDeque<squeue::Entry>>,
    reaped: RefCell<Vec<cqueue::Entry>>,
    /// The last entry into the kernel finished something, and may have left more.
    more: Cell<bool>,
    /// Who submits what is pushed: awake, or to be woken.
    parker: Rc<Parker>,
}

impl Ring {
    /// Makes the ring of the running thread, which alone may use it from now on.
    ///
    /// # Errors
    /// The kernel's: `EINVAL` if it is older than 6.1, `EPERM` or `ENOSYS` if io_uring is forbidden or absent.
    pub(super) fn new(eventfd: RawFd, parker: Rc<Parker>) -> io::Result<Self> {
        let mut uring = build()?;
        uring.completion().disable_eventfd();
        uring.submitter().register_eventfd(eventfd)?;
        Ok(Self {
            uring: RefCell::new(uring),
            operations: RefCell::new(Slab::default()),
            in_flight: Cell::new(0),
            backlog: RefCell::new(VecDeque::new()),
            reaped: RefCell::new(Vec::with_capacity(REAP_BATCH)),
            more: Cell::new(false),
            parker,
        })
    }

    /// Lets the kernel use more than a few workers for this thread's blocking operations. Their number is a property of
    /// the thread, fixed by the first ring that it makes: a small one caps all others.
    pub(super) fn allow_workers(&self) -> io::Result<()> {
        self.uring.borrow().submitter().register_iowq_max_workers(&mut [FILE_WORKERS_MAX, OTHER_WORKERS_MAX])
    }

    /// From here on the kernel signals the eventfd when there is something to finish. What was there before is not
    /// signalled: [`Ring::advance`] comes between this and sleep, then [`Ring::is_quiet`].
    pub(super) fn watch(&self) {
        self.uring.borrow_mut().completion().enable_eventfd();
        // Against the kernel's "add the work, then look at the flag": see `bell`, of whose argument this is a copy.
        fence(Ordering::SeqCst);
    }

    pub(super) fn unwatch(&self) {
        self.uring.borrow_mut().completion().disable_eventfd();
    }

    /// Whether the kernel has nothing to finish for this ring. One call of [`Ring::advance`] may leave something: the
    /// kernel finishes a few dozen operations at a time.
    pub(super) fn is_quiet(&self) -> bool {
        let uring = self.uring.borrow();
        // SAFETY: the descriptor is the ring's, which lives across the call.
        let ring = unsafe { BorrowedFd::borrow_raw(uring.as_raw_fd()) };
        let mut polled = [PollFd::from_borrowed_fd(ring, PollFlags::IN)];
        // An error (a signal) is a reason to look again.
        matches!(rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    /// The ring itself, to register buffers.
    pub(super) fn with_uring<R>(&self, act: impl FnOnce(&IoUring) -> R) -> R {
        act(&self.uring.borrow())
    }

    /// Starts an operation that completes once.
    ///
    /// # Safety
    /// All that `entry` points to lies behind a pointer in `memory` (so that it does not move when `memory` does), or
    /// lives as long as the ring; its descriptor is `fd`'s, or lives as long as the ring.
    pub(super) unsafe fn submit(&self, entry: squeue::Entry, fd: Option<Rc<Fd>>, memory: Memory) -> Key {
        self.start(entry, Operation::Single { state: Single::Waiting(None), memory, _fd: fd })
    }

    /// Starts an operation that completes any number of times.
    ///
    /// # Safety
    /// As [`Ring::submit`]: what `entry` points to, and its descriptor, live until its last completion, held by `fd` or by
    /// `sink`.
    pub(super) unsafe fn submit_multi(
        &self,
        entry: squeue::Entry,
        fd: Option<Rc<Fd>>,
        sink: Rc<dyn Sink>,
    ) -> Key {
        self.start(entry, Operation::Multi { sink, _fd: fd })
    }

    fn start(&self, entry: squeue::Entry, operation: Operation) -> Key {
        let key = self.operations.borrow_mut().insert(operation);
        self.in_flight.set(self.in_flight.get() + 1);
        self.push(entry.user_data(key.to_word()));
        key
    }

    /// Starts an operation whose completion nobody wants. It points to nothing, and owns its descriptor.
    pub(super) fn submit_unwanted(&self, entry: squeue::Entry) {
        self.in_flight.set(self.in_flight.get() + 1);
        self.push(entry.user_data(UNWANTED));
    }

    /// Asks the kernel to end an operation. It still completes, with `ECANCELED` or as if nothing had happened.
    pub(super) fn cancel(&self, key: Key) {
        self.submit_unwanted(opcode::AsyncCancel::new(key.to_word()).build());
    }

    /// What became of an operation that completes once.
    pub(super) fn poll(&self, key: Key, waker: &Waker) -> Poll<(i32, Memory)> {
        let mut operations = self.operations.borrow_mut();
        let Some(Operation::Single { state, .. }) = operations.get_mut(key) else {
            unreachable!("a future polls its own operation until it is done");
        };
        match state {
            Single::Done(result) => {
                let result = *result;
                let Some(Operation::Single { memory, .. }) = operations.remove(key) else {
                    unreachable!("it was there a moment ago");
                };
                Poll::Ready((result, memory))
            }
            Single::Waiting(waiting) => {
                if !waiting.as_ref().is_some_and(|old| old.will_wake(waker)) {
                    *waiting = Some(waker.clone());
                }
                Poll::Pending
            }
            Single::Abandoned => unreachable!("an abandoned operation has no future"),
        }
    }

    /// The future of an operation is gone.
    pub(super) fn abandon(&self, key: Key) {
        let mut operations = self.operations.borrow_mut();
        if let Some(Operation::Single { state: state @ Single::Waiting(_), .. }) = operations.get_mut(key) {
            *state = Single::Abandoned;
            drop(operations);
            self.cancel(key);
        } else {
            let over = operations.remove(key);
            drop(operations);
            if let Some(Operation::Single { state: Single::Done(result), memory, .. }) = over {
                release(memory, result);
            }
        }
    }

    fn push(&self, entry: squeue::Entry) {
        let mut backlog = self.backlog.borrow_mut();
        let mut uring = self.uring.borrow_mut();
        // SAFETY: whoever built the entry promised that what it points to lives until its completion.
        if !backlog.is_empty() || unsafe { uring.submission().push(&entry) }.is_err() {
            backlog.push_back(entry);
        }
        self.parker.rouse();
    }

    /// Whether entering the kernel would do anything.
    #[inline]
    fn has_work(&self) -> bool {
        if self.more.get() {
            return true;
        }
        let mut uring = self.uring.borrow_mut();
        let queue = uring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    /// Whether something has yet to be submitted.
    pub(super) fn has_unsubmitted(&self) -> bool {
        !self.uring.borrow_mut().submission().is_empty()
    }

    /// Submits what is queued and acts upon what has completed, without waiting. Enters the kernel only if there is reason
    /// to, or if `always`. Tells whether anything completed.
    pub(super) fn advance(&self, always: bool) -> bool {
        if !always && !self.has_work() {
            return false;
        }
        let mut completed = false;
        loop {
            self.enter(0, None);
            let reaped = self.reap();
            completed |= reaped;
            // Completions start operations of their own (a multishot receive again); those go out at once.
            let again = self.refill() || reaped && self.has_unsubmitted();
            if !again {
                self.more.set(completed);
                return completed;
            }
        }
    }

    /// One system call: submits, runs what the kernel deferred, and waits for `want` completions or the time limit.
    fn enter(&self, want: u32, limit: Option<Duration>) {
        let mut uring = self.uring.borrow_mut();
        let submit = uring.submission().len() as u32;
        let submitter = uring.submitter();
        let flags = EnterFlags::GETEVENTS;
        let entered = match limit {
            // SAFETY: no extended argument is passed, and the flags do not ask for one.
            None => unsafe { submitter.enter::<libc::sigset_t>(submit, want, flags.bits(), None) },
            Some(limit) => {
                let limit = io_uring::types::Timespec::from(limit);
                let arguments = io_uring::types::SubmitArgs::new().timespec(&limit);
                let flags = flags | EnterFlags::EXT_ARG;
                // SAFETY: EXT_ARG goes with exactly this structure, which lives across the call.
                unsafe { submitter.enter(submit, want, flags.bits(), Some(&arguments)) }
            }
        };
        let Err(error) = entered else { return };
        match error.raw_os_error() {
            // A signal, the time limit, no memory for a request just now, or completions to be reaped first: what
            // was not submitted stays queued for the next turn.
            Some(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => {}
            _ => panic!("io_uring_enter: {error}"),
        }
    }

    /// Moves entries from the backlog into the queue. Tells whether there were any.
    fn refill(&self) -> bool {
        let mut backlog = self.backlog.borrow_mut();
        if backlog.is_empty() {
            return false;
        }
        let mut uring = self.uring.borrow_mut();
        let mut queue = uring.submission();
        while let Some(entry) = backlog.front() {
            // SAFETY: as in `push`.
            if unsafe { queue.push(entry) }.is_err() {
                break;
            }
            backlog.pop_front();
        }
        true
    }

    /// Acts upon all completions. Tells whether there were any.
    fn reap(&self) -> bool {
        let mut any = false;
        let mut reaped = mem::take(&mut *self.reaped.borrow_mut());
        loop {
            reaped.extend(self.uring.borrow_mut().completion().take(REAP_BATCH));
            if reaped.is_empty() {
                break;
            }
            any = true;
            for entry in reaped.drain(..) {
                self.complete(&entry);
            }
        }
        *self.reaped.borrow_mut() = reaped;
        any
    }

    fn complete(&self, entry: &cqueue::Entry) {
        let more = cqueue::more(entry.flags());
        if !more {
            self.in_flight.set(self.in_flight.get() - 1);
        }
        if entry.user_data() == UNWANTED {
            return;
        }
        let key = Key::from_word(entry.user_data());
        let mut operations = self.operations.borrow_mut();
        let sink = match operations.get_mut(key) {
            None => return,
            Some(Operation::Single { state, .. }) => {
                let waiting = match state {
                    Single::Waiting(waiting) => waiting.take(),
                    Single::Done(_) => unreachable!("an operation that completes once completed twice"),
                    Single::Abandoned => {
                        let over = operations.remove(key);
                        // Closes a descriptor, perhaps, which submits again: not under the borrow.
                        drop(operations);
                        if let Some(Operation::Single { memory, _fd: fd, .. }) = over {
                            release(memory, entry.result());
                            drop(fd);
                        }
                        return;
                    }
                };
                *state = Single::Done(entry.result());
                drop(operations);
                if let Some(waiting) = waiting {
                    waiting.wake();
                }
                return;
            }
            Some(Operation::Multi { sink, .. }) => Rc::clone(sink),
        };
        let over = if more { None } else { operations.remove(key) };
        drop(operations);
        sink.complete(entry.result(), entry.flags(), more);
        drop(over);
    }

    /// Ends all operations in flight and waits for the kernel to be done with them. Tells whether it was within `limit`;
    /// if not, the memory of the rest must never be released.
    pub(super) fn drain(&self, limit: Duration) -> bool {
        let keys: Vec<Key> = self.operations.borrow().keys().collect();
        for key in keys {
            self.cancel(key);
        }
        let start = Instant::now();
        loop {
            self.refill();
            self.enter(0, None);
            self.reap();
            let submitted = !self.has_unsubmitted() && self.backlog.borrow().is_empty();
            if submitted && self.in_flight.get() == 0 {
                return true;
            }
            let Some(left) = limit.checked_sub(start.elapsed()) else { return false };
            if submitted {
                self.enter(1, Some(left));
                self.reap();
            }
        }
    }
}

fn build() -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(COMPLETION_ENTRIES)
        .dontfork()
        .build(SUBMISSION_ENTRIES)
}

/// Whether a ring like a shard's can be made here.
///
/// # Errors
/// As [`Ring::new`].
pub(crate) fn probe() -> io::Result<()> {
    build().map(drop)
}

/// Drops what an operation held that nobody waits for any more, and what it brought.
fn release(memory: Memory, result: i32) {
    if matches!(memory, Memory::Path(_)) && result >= 0 {
        // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
        drop(unsafe { OwnedFd::from_raw_fd(result) });
    }
}
