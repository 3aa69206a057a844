//! What one shard has: its ring, timers, tasks and inboxes, and the turn that looks at them all.

use super::{
    bell::Bell,
    blocking::Blocking,
    fd::close_entry,
    net::Buffers,
    parker::Parker,
    registered::RegisteredBuffers,
    ring::Ring,
    syncs::Syncs,
    tasks::Tasks,
    time::{Timers, monotonic_ns},
};
use crate::{Queue, bell::Inbox};
use glommio::TaskQueueHandle;
use std::{
    cell::{Cell, OnceCell, RefCell},
    future::Future,
    io, mem,
    os::fd::OwnedFd,
    pin::pin,
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

/// How long one task queue runs, at most, before the others get their shares.
const SLICE: Duration = Duration::from_micros(500);

/// While the shard is busy, its rings and inboxes are looked at this often, between two polls of tasks.
const TURN_INTERVAL: Duration = Duration::from_micros(20);

/// How long a stopping shard waits for the kernel to be done with its operations.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    static CURRENT: RefCell<Option<Rc<Shard>>> = const { RefCell::new(None) };
}

pub(crate) struct Shard {
    pub(super) ring: Ring,
    pub(super) timers: Timers,
    pub(super) tasks: Tasks,
    pub(super) parker: Rc<Parker>,
    pub(super) bell: Bell,
    pub(super) registered: RegisteredBuffers,
    pub(super) blocking: Rc<Blocking>,
    pub(super) syncs: Syncs,
    pub(super) spin: Duration,
    queues: OnceCell<Queues>,
    inboxes: RefCell<Vec<Rc<dyn Inbox>>>,
    /// What connections receive into, made with the first of them. Behind `ring`: it is dropped after it.
    buffers: OnceCell<Rc<Buffers>>,
    /// The queue that runs, and since when.
    slice: Cell<(Queue, u64)>,
    last_turn_ns: Cell<u64>,
    /// When something last came from outside: a completion or a message.
    last_traffic_ns: Cell<u64>,
}

/// glommio's names of the shard's task queues.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) control: TaskQueueHandle,
    pub(super) serving: TaskQueueHandle,
    pub(super) dataflow: TaskQueueHandle,
    pub(super) background: TaskQueueHandle,
    /// The driver's.
    pub(super) idle: TaskQueueHandle,
}

impl Shard {
    /// The running thread's shard.
    ///
    /// # Panics
    /// On a thread that is no shard.
    pub(super) fn current() -> Rc<Self> {
        Self::try_current().expect("called on a thread that is no shard: see millrace_runtime::launch")
    }

    /// The running thread's shard, if it is one.
    pub(super) fn try_current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Makes the running thread a shard.
    pub(super) fn new(bell: Bell, spin: Duration) -> io::Result<Rc<Self>> {
        let parker = Rc::new(Parker::default());
        let shard = Rc::new(Self {
            ring: Ring::new(bell.raw_fd(), Rc::clone(&parker))?,
            timers: Timers::new(Rc::clone(&parker)),
            tasks: Tasks::default(),
            parker,
            bell,
            registered: RegisteredBuffers::default(),
            blocking: Rc::new(Blocking::default()),
            syncs: Syncs::default(),
            spin,
            queues: OnceCell::new(),
            inboxes: RefCell::default(),
            buffers: OnceCell::new(),
            slice: Cell::new((Queue::Serving, 0)),
            last_turn_ns: Cell::new(0),
            last_traffic_ns: Cell::new(0),
        });
        shard.register_inbox(Rc::clone(&shard.blocking) as Rc<dyn Inbox>);
        CURRENT.set(Some(Rc::clone(&shard)));
        Ok(shard)
    }

    pub(super) fn set_queues(&self, queues: Queues) {
        self.queues.set(queues).expect("a shard's queues are made once");
    }

    pub(super) fn queues(&self) -> &Queues {
        self.queues.get().expect("a shard's queues are made before its first task")
    }

    pub(super) fn queue(&self, queue: Queue) -> TaskQueueHandle {
        let queues = self.queues();
        match queue {
            Queue::Control => queues.control,
            Queue::Serving => queues.serving,
            Queue::Dataflow => queues.dataflow,
            Queue::Background => queues.background,
        }
    }

    /// The buffers that connections receive into.
    ///
    /// # Errors
    /// The kernel's, when they are made.
    pub(super) fn buffers(&self) -> io::Result<Rc<Buffers>> {
        if let Some(buffers) = self.buffers.get() {
            return Ok(Rc::clone(buffers));
        }
        let buffers = Buffers::new(&self.ring)?;
        Ok(Rc::clone(self.buffers.get_or_init(|| buffers)))
    }

    pub(super) fn register_inbox(&self, inbox: Rc<dyn Inbox>) {
        self.inboxes.borrow_mut().push(inbox);
    }

    /// Submits, reaps, looks at the inboxes and the clock. Enters the kernel only if there is reason to, or if `always`.
    /// Tells whether anything happened that could have woken a task.
    pub(super) fn turn(&self, always: bool) -> bool {
        let now = monotonic_ns();
        self.last_turn_ns.set(now);
        let completed = self.ring.advance(always);
        let called = self.look_at_inboxes();
        if completed || called {
            self.last_traffic_ns.set(now);
        }
        self.timers.fire(now) | completed | called
    }

    /// What is due between two polls of tasks of `queue`: a turn, if the last one was long ago, and the end of the queue's
    /// slice.
    #[inline]
    pub(super) fn after_poll(&self, queue: Queue) {
        let now = monotonic_ns();
        if now.wrapping_sub(self.last_turn_ns.get()) >= TURN_INTERVAL.as_nanos() as u64 {
            self.turn(false);
        }
        let (running, since) = self.slice.get();
        if running != queue {
            self.slice.set((queue, now));
        } else if now.wrapping_sub(since) >= SLICE.as_nanos() as u64 {
            self.slice.set((queue, now));
            end_slice();
        }
    }

    /// Takes turns until something happens, or the last traffic is longer ago than `spin` and no durable write is worth waiting
    /// for awake. Tells which.
    pub(super) fn spin(&self) -> bool {
        let traffic = self.last_traffic_ns.get().saturating_add(self.spin.as_nanos() as u64);
        let limit = traffic.max(self.syncs.awake_until());
        let began = self.last_turn_ns.get();
        let mut happened = false;
        while !happened && self.last_turn_ns.get() < limit {
            if self.syncs.are_under_way() {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
            happened = self.turn(false);
        }
        self.syncs.idled(self.last_turn_ns.get() - began);
        happened
    }

    /// Wakes the receivers for whom something has arrived. Tells whether there was one.
    fn look_at_inboxes(&self) -> bool {
        let mut called = false;
        let mut gone = false;
        for inbox in &*self.inboxes.borrow() {
            called |= inbox.look();
            gone |= Rc::strong_count(inbox) == 1;
        }
        if gone {
            self.forget_inboxes();
        }
        called
    }

    /// Forgets the inboxes that nobody else holds.
    #[cold]
    fn forget_inboxes(&self) {
        let mut inboxes = self.inboxes.borrow_mut();
        let (held, gone): (Vec<_>, Vec<_>) = inboxes.drain(..).partition(|inbox| Rc::strong_count(inbox) > 1);
        *inboxes = held;
        drop(inboxes);
        // What lies in them may do anything when it is dropped.
        drop(gone);
    }

    /// Closes a descriptor without waiting for it.
    pub(super) fn close_in_background(&self, owned: OwnedFd) {
        self.ring.submit_unwanted(close_entry(owned));
    }

    /// Drops what the shard holds, once its tasks are gone. Whatever the kernel does not give back in time is leaked.
    pub(super) fn close(self: Rc<Self>) {
        self.blocking.close();
        drop(self.inboxes.take());
        let drained = self.ring.drain(DRAIN_LIMIT);
        CURRENT.set(None);
        if !drained {
            tracing::error!("the kernel holds on to operations of a stopping shard; their memory is leaked");
            mem::forget(self);
        }
    }

    /// The running thread will not become a shard after all.
    pub(super) fn discard() {
        drop(CURRENT.take());
    }

    /// The thread's shard is in an unknown state: nothing of it runs or is dropped any more.
    pub(super) fn abandon() {
        mem::forget(CURRENT.take());
    }
}

/// Has glommio go to the next task queue after the poll that is under way.
#[cold]
fn end_slice() {
    // The future marks the queue at its first poll; whether anybody polls it again does not matter.
    let executor = glommio::executor();
    let mut marking = pin!(executor.yield_task_queue_now());
    let marked = marking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    debug_assert!(marked.is_pending());
}
