//! What everything in a world shares: clock, events, tasks, randomness, trace. And the loop's one step.

use super::{
    NodeId, ShardContext, WorldOptions,
    bell::{Bell, Signals},
    disk::Crash,
    net::{NetEvent, Network},
    node::Node,
    random::Random,
    task::{Taken, Tasks},
    trace::{Trace, What},
};
use crate::context;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Something that happens at a point of virtual time.
pub(crate) enum Event {
    /// A timer's deadline.
    Timer(Waker),
    /// A rung bell is heard.
    Bell(Bell),
    /// A disk operation of a node takes effect and completes.
    Disk { node: u16, operation: u64 },
    /// Something arrives over the network.
    Net(NetEvent),
}

/// When an event is due, and its number, which orders those due together.
pub(crate) type EventKey = (u64, u64);

/// What one step of the world did.
pub(crate) enum Turn {
    /// An event was handled or a task polled, or time passed.
    Worked,
    /// This task is ready, and its future is held by the caller of `World::block_on`.
    Foreground { task: u64, waker: Waker },
    /// The next event lies beyond the horizon: the clock stands at the horizon.
    Horizon,
    /// Nothing is ready and nothing will ever happen.
    Idle,
}

pub(crate) struct Kernel {
    pub(crate) seed: u64,
    pub(crate) options: WorldOptions,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) signals: Arc<Signals>,
    pub(crate) tasks: Tasks,
    pub(crate) network: Network,
    now: Cell<u64>,
    polls: Cell<u64>,
    numbers: Cell<u64>,
    events: RefCell<BTreeMap<EventKey, Event>>,
    nodes: RefCell<Vec<Rc<Node>>>,
    shards: RefCell<BTreeMap<u64, Rc<ShardContext>>>,
}

impl Kernel {
    pub(crate) fn new(seed: u64, options: WorldOptions) -> Self {
        Self {
            seed,
            random: Random::new(seed),
            trace: Trace::new(options.trace),
            options,
            signals: Arc::default(),
            tasks: Tasks::default(),
            network: Network::default(),
            now: Cell::new(0),
            polls: Cell::new(0),
            numbers: Cell::new(0),
            events: RefCell::default(),
            nodes: RefCell::default(),
            shards: RefCell::default(),
        }
    }

    /// Virtual nanoseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// A number that the world has not given out before.
    pub(crate) fn number(&self) -> u64 {
        let number = self.numbers.get();
        self.numbers.set(number + 1);
        number
    }

    pub(crate) fn note(&self, what: What, numbers: [u64; 4]) {
        self.trace.note(self.now.get(), what, numbers);
    }

    /// Has `event` happen `delay` nanoseconds from now.
    pub(crate) fn after(&self, delay: u64, event: Event) -> EventKey {
        self.at(self.now.get().saturating_add(delay), event)
    }

    /// Has `event` happen at `time`.
    pub(crate) fn at(&self, time: u64, event: Event) -> EventKey {
        let key = (time, self.number());
        self.events.borrow_mut().insert(key, event);
        key
    }

    /// Takes an event back that has not happened.
    pub(crate) fn cancel(&self, key: EventKey) -> Option<Event> {
        self.events.borrow_mut().remove(&key)
    }

    pub(crate) fn add_node(&self, build: impl FnOnce(u16) -> Node) -> NodeId {
        let mut nodes = self.nodes.borrow_mut();
        let id = u16::try_from(nodes.len()).expect("a world has at most 65,536 nodes");
        nodes.push(Rc::new(build(id)));
        NodeId(id)
    }

    pub(crate) fn node(&self, id: u16) -> Rc<Node> {
        Rc::clone(&self.nodes.borrow()[usize::from(id)])
    }

    /// Whether there is a node of that number.
    pub(crate) fn has_node(&self, id: u16) -> bool {
        usize::from(id) < self.nodes.borrow().len()
    }

    pub(crate) fn node_count(&self) -> u16 {
        self.nodes.borrow().len() as u16
    }

    pub(crate) fn add_shard(&self, shard: &Rc<ShardContext>) {
        self.shards.borrow_mut().insert(shard.key, Rc::clone(shard));
    }

    /// One step: an event that is due, else a ready task, else time passes to the next event up to `horizon`.
    pub(crate) fn turn(self: &Rc<Self>, horizon: u64) -> Turn {
        self.send_off_bells();
        if let Some(event) = self.pop_due() {
            self.handle(event);
            return Turn::Worked;
        }
        let ready = {
            let mut ready = self.signals.ready();
            (!ready.is_empty()).then(|| {
                let pick = self.random.index(ready.len());
                ready.swap_remove(pick)
            })
        };
        if let Some(task) = ready {
            return self.poll(task);
        }
        let next = self.events.borrow().first_key_value().map(|(&(time, _), _)| time);
        match next {
            Some(time) if time <= horizon => {
                self.now.set(time);
                Turn::Worked
            }
            Some(_) => {
                self.pass_to(horizon);
                Turn::Horizon
            }
            None => Turn::Idle,
        }
    }

    /// Moves the clock forward to `time`, never back.
    pub(crate) fn pass_to(&self, time: u64) {
        self.now.set(self.now.get().max(time));
    }

    fn send_off_bells(&self) {
        let rung = std::mem::take(&mut *self.signals.rung());
        for bell in rung {
            let delay = self.random.delay_ns(&self.options.bell_delay);
            self.after(delay, Event::Bell(bell));
        }
    }

    fn pop_due(&self) -> Option<Event> {
        let mut events = self.events.borrow_mut();
        let first = events.first_entry()?;
        (first.key().0 <= self.now.get()).then(|| first.remove())
    }

    fn handle(self: &Rc<Self>, event: Event) {
        match event {
            Event::Timer(waker) => {
                self.note(What::Timer, [0; 4]);
                waker.wake();
            }
            Event::Bell(bell) => self.hear(&bell),
            Event::Disk { node, operation } => self.disk_event(node, operation),
            Event::Net(event) => Network::handle(self, event),
        }
    }

    fn hear(&self, bell: &Bell) {
        bell.sound();
        let shard = self.shards.borrow().get(&bell.shard()).map(Rc::clone);
        if let Some(shard) = shard {
            self.note(What::Bell, [u64::from(shard.node.id), bell.shard(), 0, 0]);
            shard.look();
        }
    }

    fn disk_event(self: &Rc<Self>, id: u16, operation: u64) {
        let node = self.node(id);
        if let Some(crash) = node.disk.complete(self, operation) {
            self.kill(&node, crash);
        }
    }

    fn poll(self: &Rc<Self>, task: u64) -> Turn {
        let (shard, waker, mut future) = match self.tasks.take(task) {
            Taken::Gone => return Turn::Worked,
            Taken::Foreground { shard, waker } => {
                self.charge_poll(&shard, task);
                return Turn::Foreground { task, waker };
            }
            Taken::Ready { shard, waker, future } => (shard, waker, future),
        };
        self.charge_poll(&shard, task);
        // A panic drops the future on its way out, and that too is to find its shard.
        let _entered = context::enter(Rc::clone(&shard));
        let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
        match poll {
            Poll::Ready(()) => {
                drop(future);
                self.note(What::Finish, [u64::from(shard.node.id), shard.key, task, 0]);
                drop(self.tasks.remove(task));
                if shard.main_task() == Some(task) {
                    self.stop(&shard);
                }
            }
            Poll::Pending => drop(self.tasks.put_back(task, future)),
        }
        Turn::Worked
    }

    /// Notes the poll and lets the time pass that it costs, so that a task that yields in a loop sees time pass.
    fn charge_poll(&self, shard: &ShardContext, task: u64) {
        self.note(What::Poll, [u64::from(shard.node.id), shard.key, task, 0]);
        let polls = self.polls.get() + 1;
        assert!(
            polls <= self.options.polls_max,
            "the world polled {polls} times (seed {:#018x}): is a task spinning?",
            self.seed
        );
        self.polls.set(polls);
        let cost = self.random.delay_ns(&self.options.poll_cost);
        self.now.set(self.now.get().saturating_add(cost));
    }

    /// Ends one shard whose main future has finished: what it still runs is dropped, as a process that exits does.
    pub(crate) fn stop(&self, shard: &Rc<ShardContext>) {
        shard.die();
        self.drop_tasks(|candidate| candidate.key == shard.key);
        self.bury(shard);
    }

    /// Ends everything that runs on `node` at once, and has its disk and network suffer the crash.
    pub(crate) fn kill(self: &Rc<Self>, node: &Rc<Node>, crash: Crash) {
        self.note(What::Kill, [u64::from(node.id), node.epoch.get(), crash as u64, 0]);
        node.epoch.set(node.epoch.get() + 1);
        let shards: Vec<_> =
            self.shards.borrow().values().filter(|shard| shard.node.id == node.id).map(Rc::clone).collect();
        for shard in &shards {
            shard.die();
        }
        self.drop_tasks(|shard| shard.node.id == node.id);
        for shard in &shards {
            self.bury(shard);
        }
        node.forget_client();
        node.set_power(crash == Crash::Process && node.has_power());
        Network::node_killed(self, node.id, crash);
        node.disk.crash(self, crash);
    }

    /// Drops the chosen tasks, oldest first, each in its shard's context. What a drop spawns is dropped too.
    fn drop_tasks(&self, wanted: impl Fn(&ShardContext) -> bool) {
        for task in self.tasks.of(wanted) {
            let shard = self.tasks.shard(task);
            let future = self.tasks.remove(task);
            let _entered = shard.map(context::enter);
            drop(future);
        }
    }

    fn bury(&self, shard: &Rc<ShardContext>) {
        self.shards.borrow_mut().remove(&shard.key);
        let _entered = context::enter(Rc::clone(shard));
        shard.drop_inboxes();
    }

    /// Ends the world: every node dies, nothing is left to happen.
    pub(crate) fn end(self: &Rc<Self>) {
        for node in 0..self.node_count() {
            self.kill(&self.node(node), Crash::Process);
        }
        let events = std::mem::take(&mut *self.events.borrow_mut());
        drop(events);
        self.signals.ready().clear();
        self.signals.rung().clear();
    }
}
