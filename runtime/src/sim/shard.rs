//! A shard of a simulated process: what the crate's free functions find when one of its tasks is polled.

use super::{
    bell::Bell,
    disk::DiskSession,
    kernel::{Event, EventKey, Kernel},
    net::Loans,
    node::Node,
    task::TaskFuture,
    trace::What,
};
use crate::{Instant, Queue, bell::Inbox};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

/// One shard of one process of a node. Every launch makes new ones.
pub(crate) struct ShardContext {
    pub(crate) kernel: Rc<Kernel>,
    pub(crate) node: Rc<Node>,
    /// Its number in the world, never used again.
    pub(crate) key: u64,
    pub(crate) bell: Bell,
    pub(crate) loans: Arc<Loans>,
    main: Cell<Option<u64>>,
    dead: Cell<bool>,
    inboxes: RefCell<Vec<Rc<dyn Inbox>>>,
}

impl ShardContext {
    pub(crate) fn new(kernel: &Rc<Kernel>, node: &Rc<Node>) -> Rc<Self> {
        let key = kernel.number();
        node.set_power(true);
        let shard = Rc::new(Self {
            kernel: Rc::clone(kernel),
            node: Rc::clone(node),
            key,
            bell: Bell::new(key, kernel.signals.clone()),
            loans: Arc::default(),
            main: Cell::new(None),
            dead: Cell::new(false),
            inboxes: RefCell::default(),
        });
        kernel.add_shard(&shard);
        shard
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.kernel.now()
    }

    pub(crate) fn unix_millis(&self) -> i64 {
        let since_start = (self.kernel.now() / 1_000_000) as i64;
        self.kernel.options.unix_start_ms + since_start + self.node.clock_offset_ms.get()
    }

    pub(crate) fn random_u64(&self) -> u64 {
        self.kernel.random.next_u64()
    }

    /// Ready once `deadline` has passed; a little late, as real timers are.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { kernel: Rc::clone(&self.kernel), deadline: deadline.as_nanos(), event: None }
    }

    /// The disk, for the rest of this process's life.
    pub(crate) fn disk(&self) -> DiskSession {
        DiskSession::new(&self.kernel, &self.node)
    }

    pub(crate) fn register_inbox(&self, inbox: Rc<dyn Inbox>) {
        if !self.dead.get() {
            self.inboxes.borrow_mut().push(inbox);
            // What was sent before is found without another ring.
            self.bell.ring();
        }
    }

    /// The queues' shares mean nothing here: tasks are picked at random, which covers every order that they allow.
    pub(crate) fn spawn_detached(self: Rc<Self>, _queue: Queue, task: TaskFuture) {
        if !self.dead.get() {
            self.spawn(Some(task));
        }
    }

    /// Adds a task; without a future its body is held by the caller of `World::block_on`.
    pub(crate) fn spawn(self: &Rc<Self>, future: Option<TaskFuture>) -> u64 {
        let task = self.kernel.tasks.add(Rc::clone(self), &self.kernel.signals, future);
        self.kernel.note(What::Spawn, [u64::from(self.node.id), self.key, task, 0]);
        task
    }

    /// Starts the main future: the shard ends with it.
    pub(crate) fn start(self: &Rc<Self>, main: TaskFuture) {
        self.main.set(Some(self.spawn(Some(main))));
    }

    pub(crate) fn main_task(&self) -> Option<u64> {
        self.main.get()
    }

    /// Wakes the receivers of inboxes that have something.
    pub(crate) fn look(&self) {
        // Waking runs no foreign code, so the borrow is safe.
        for inbox in self.inboxes.borrow().iter() {
            inbox.look();
        }
    }

    /// From now on nothing can be started here.
    pub(crate) fn die(&self) {
        self.dead.set(true);
    }

    pub(crate) fn drop_inboxes(&self) {
        let inboxes = std::mem::take(&mut *self.inboxes.borrow_mut());
        drop(inboxes);
    }
}

/// The future of [`ShardContext::sleep_until`].
pub(crate) struct Sleep {
    kernel: Rc<Kernel>,
    deadline: u64,
    event: Option<EventKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The event's time includes the slack, and a poll for another reason keeps it.
        let time = match self.event.take() {
            Some(key) => {
                self.kernel.cancel(key);
                key.0
            }
            None => {
                let slack = self.kernel.random.delay_ns(&self.kernel.options.timer_slack);
                self.deadline.saturating_add(slack)
            }
        };
        if self.kernel.now() >= self.deadline {
            return Poll::Ready(());
        }
        let key = self.kernel.at(time, Event::Timer(cx.waker().clone()));
        self.event = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.event {
            self.kernel.cancel(key);
        }
    }
}
