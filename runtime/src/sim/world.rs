//! The world as a test holds it.

use super::{
    Crash, DiskHandle, DiskOptions, IoStep, Killed, NetOptions, Running, ShardContext,
    disk::Disk,
    kernel::{Kernel, Turn},
    net::{self, Network},
    node::Node,
    random::as_nanos,
    trace::What,
};
use crate::{Instant, JoinHandle, Shard, ShardId, bell, bell::Doorbells, context};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    net::IpAddr,
    ops::RangeInclusive,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// The environment variable that has [`seeds`] give a single seed.
const SEED_VARIABLE: &str = "MILLRACE_SIM_SEED";

/// The seeds for a test that runs many worlds: `0..count`, or only the one in the environment variable
/// `MILLRACE_SIM_SEED` (decimal, or hexadecimal after `0x`), which is how a world that failed is brought back.
///
/// # Panics
/// If the variable is not a number.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let chosen = std::env::var(SEED_VARIABLE).ok().map(|text| {
        let parsed = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        parsed.unwrap_or_else(|error| panic!("{SEED_VARIABLE} is {text:?}: {error}"))
    });
    chosen.map_or(0..count, |seed| seed..seed + 1)
}

/// A node's number, dense from 0 in the order of [`World::add_node`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a world behaves. All ranges are drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldOptions {
    /// Keep the trace's text, which costs time and memory. Its hash is always kept.
    pub trace: bool,
    /// The virtual time after which a run panics: a world that goes on for ever is a failure too.
    pub time_limit: Duration,
    /// The number of polls after which a run panics: a task that spins hardly lets time pass.
    pub polls_max: u64,
    /// From ringing a shard's bell until the shard looks at its inboxes.
    pub bell_delay: RangeInclusive<Duration>,
    /// How late timers are.
    pub timer_slack: RangeInclusive<Duration>,
    /// The time that one poll of a task takes.
    pub poll_cost: RangeInclusive<Duration>,
    /// How connections behave.
    pub net: NetOptions,
    /// The wall clock when the world begins, in milliseconds since the Unix epoch.
    pub unix_start_ms: i64,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            trace: false,
            time_limit: Duration::from_secs(3600),
            polls_max: 20_000_000,
            bell_delay: Duration::from_nanos(200)..=Duration::from_micros(100),
            timer_slack: Duration::ZERO..=Duration::from_micros(100),
            poll_cost: Duration::from_nanos(100)..=Duration::from_micros(5),
            net: NetOptions::default(),
            unix_start_ms: 1_767_225_600_000,
        }
    }
}

/// What a node is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeOptions {
    /// Its disk.
    pub disk: DiskOptions,
}

/// A simulated world: see the [module](super).
///
/// Nothing happens in it but during a call of [`World::block_on`], [`World::join`] or one of the `run_` methods. A
/// panic in a task comes out of that call, after the seed was printed. Dropping the world kills every node.
pub struct World {
    kernel: Rc<Kernel>,
    running: Cell<bool>,
    seed_printed: Cell<bool>,
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64, options: WorldOptions) -> Self {
        Self {
            kernel: Rc::new(Kernel::new(seed, options)),
            running: Cell::new(false),
            seed_printed: Cell::new(false),
        }
    }

    /// Adds a node with an empty disk and nothing running.
    pub fn add_node(&self, name: &str, options: NodeOptions) -> NodeId {
        self.kernel.add_node(|id| Node::new(id, name.to_owned(), Disk::new(id, &options.disk)))
    }

    /// Starts a process of `shards` shards on `node`, as [`crate::launch`] does natively. A shard ends with its main
    /// future: what it spawned and left is dropped then. A node can run several processes.
    pub fn launch<T, M, F>(&self, node: NodeId, shards: u16, main: M) -> Running<T>
    where
        T: 'static,
        M: Fn(Shard) -> F,
        F: Future<Output = T> + 'static,
    {
        assert!(shards > 0, "a process has at least one shard");
        let node = self.kernel.node(node.0);
        self.kernel.note(What::Launch, [u64::from(node.id), u64::from(shards), 0, 0]);
        let contexts: Vec<_> = (0..shards).map(|_| ShardContext::new(&self.kernel, &node)).collect();
        let bells = contexts.iter().map(|shard| bell::Bell::Sim(shard.bell.clone()));
        let doorbells = Arc::new(Doorbells(bells.collect()));
        let outputs = Rc::new(RefCell::new((0..shards).map(|_| None).collect::<Vec<_>>()));
        for (id, context) in (0..shards).zip(contexts) {
            let shard = Shard { id: ShardId(id), count: shards, doorbells: Arc::clone(&doorbells) };
            let main = {
                let _entered = context::enter(Rc::clone(&context));
                main(shard)
            };
            let outputs = Rc::clone(&outputs);
            context.start(Box::pin(async move {
                let output = main.await;
                outputs.borrow_mut()[usize::from(id)] = Some(output);
            }));
        }
        Running::new(node, outputs)
    }

    /// Runs the world until `running` has finished.
    ///
    /// # Errors
    /// [`Killed`] if its node is killed before.
    ///
    /// # Panics
    /// As [`World::block_on`].
    pub fn join<T>(&self, running: Running<T>) -> Result<Vec<T>, Killed> {
        self.run_until(|| running.is_finished() || running.is_killed());
        running.outputs().map_err(|running| running.killed())
    }

    /// Runs the world until `future` is ready: a task of a shard that the node has for this, outside of any launch. What
    /// the future spawns stays there and runs on whenever the world runs.
    ///
    /// # Panics
    /// With the seed: if the world comes to rest before, passes its limits, a task panics, or the node is killed.
    pub fn block_on<F: Future>(&self, node: NodeId, future: F) -> F::Output {
        self.try_block_on(node, future).expect("a crash that was ordered calls for try_block_on")
    }

    /// As [`World::block_on`], when a crash is ordered.
    ///
    /// # Errors
    /// [`Killed`] if the node is killed before the future is ready.
    ///
    /// # Panics
    /// As [`World::block_on`], but for the kill.
    pub fn try_block_on<F: Future>(&self, node: NodeId, future: F) -> Result<F::Output, Killed> {
        let run = self.begin_run();
        let shard = self.client(node);
        let task = shard.spawn(None);
        let mut foreground = Foreground { kernel: &self.kernel, shard, task, future: Some(Box::pin(future)) };
        loop {
            if !self.kernel.tasks.contains(task) {
                return Err(Killed(node));
            }
            match self.kernel.turn(run.limit) {
                Turn::Worked => {}
                Turn::Foreground { task: ready, waker } => {
                    assert_eq!(ready, task, "a world runs one foreground future at a time");
                    if let Poll::Ready(output) = foreground.poll(&waker) {
                        return Ok(output);
                    }
                }
                Turn::Horizon => run.out_of_time(),
                Turn::Idle => {
                    panic!("the world is at rest and the future not ready (seed {:#018x})", run.seed())
                }
            }
        }
    }

    /// Starts a task where [`World::block_on`] runs its future. It goes on whenever the world runs.
    pub fn spawn<F>(&self, node: NodeId, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        let _entered = context::enter(self.client(node));
        crate::spawn(future)
    }

    /// The shard of the node's that is outside of any launch.
    fn client(&self, node: NodeId) -> Rc<ShardContext> {
        let node = self.kernel.node(node.0);
        node.client(|| ShardContext::new(&self.kernel, &node))
    }

    /// Runs the world for a span of virtual time.
    ///
    /// # Panics
    /// As [`World::block_on`], but for the rest.
    pub fn run_for(&self, span: Duration) {
        let deadline = self.kernel.now().saturating_add(as_nanos(span));
        let run = self.begin_run();
        while self.kernel.now() < deadline {
            match self.kernel.turn(deadline.min(run.limit)) {
                Turn::Worked => {}
                Turn::Foreground { .. } => unreachable!("no foreground future is running"),
                Turn::Horizon if deadline > run.limit => run.out_of_time(),
                Turn::Horizon => {}
                Turn::Idle => self.kernel.pass_to(deadline),
            }
        }
    }

    /// Runs the world until `done` holds; it is asked after every step.
    ///
    /// # Panics
    /// As [`World::block_on`].
    pub fn run_until(&self, mut done: impl FnMut() -> bool) {
        let run = self.begin_run();
        while !done() {
            match self.kernel.turn(run.limit) {
                Turn::Worked => {}
                Turn::Foreground { .. } => unreachable!("no foreground future is running"),
                Turn::Horizon => run.out_of_time(),
                Turn::Idle => {
                    panic!("the world is at rest and the condition false (seed {:#018x})", run.seed())
                }
            }
        }
    }

    /// Runs the world until nothing is ready and nothing will happen any more. A world with a periodic timer never
    /// comes to rest.
    ///
    /// # Panics
    /// As [`World::block_on`], but for the rest.
    pub fn run_until_idle(&self) {
        let run = self.begin_run();
        loop {
            match self.kernel.turn(run.limit) {
                Turn::Worked => {}
                Turn::Foreground { .. } => unreachable!("no foreground future is running"),
                Turn::Horizon => run.out_of_time(),
                Turn::Idle => return,
            }
        }
    }

    /// Kills a node: all that runs on it vanishes at once. Its futures are dropped in the order in which their tasks were
    /// spawned; nothing that a drop does reaches the disk or the network. [`World::launch`] starts it again on
    /// what is left of its disk.
    pub fn kill(&self, node: NodeId, crash: Crash) {
        self.kernel.kill(&self.kernel.node(node.0), crash);
    }

    /// How many steps the node's disk has done: operations that change it or make something durable.
    #[must_use]
    pub fn io_steps(&self, node: NodeId) -> u64 {
        self.kernel.node(node.0).disk.steps()
    }

    /// Has the node crash at a step of its disk, counted from 0 as [`World::io_steps`] does, over the node's whole life.
    /// Replaces what was ordered before. To crash at every step of a workload, run it once to count them.
    pub fn crash_at_io(&self, node: NodeId, step: IoStep, crash: Crash) {
        self.kernel.node(node.0).disk.crash_at(step, crash);
    }

    /// The node's disk, for a test's hands.
    #[must_use]
    pub fn disk(&self, node: NodeId) -> DiskHandle {
        DiskHandle(Rc::clone(&self.kernel.node(node.0).disk))
    }

    /// The node's address. Its loopback addresses are its own.
    #[must_use]
    pub fn ip(&self, node: NodeId) -> IpAddr {
        net::ip(node.0)
    }

    /// Cuts the ways between two nodes: what is sent waits, connecting waits, and who waits too long for an answer to
    /// what it sent gives its connection up.
    pub fn cut(&self, a: NodeId, b: NodeId) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// As [`World::cut`], in one direction only.
    pub fn cut_one_way(&self, from: NodeId, to: NodeId) {
        Network::cut(&self.kernel, from.0, to.0);
    }

    /// Mends the ways between two nodes: what was sent meanwhile arrives, if its sender has not given up.
    pub fn heal(&self, a: NodeId, b: NodeId) {
        Network::heal(&self.kernel, a.0, b.0);
        Network::heal(&self.kernel, b.0, a.0);
    }

    /// Resets every connection between two nodes (or of one with itself): both ends see it at once.
    pub fn reset(&self, a: NodeId, b: NodeId) {
        Network::reset(&self.kernel, a.0, b.0);
    }

    /// From now on the way from `from` to `to` takes this long; `None` is as [`NetOptions`] says.
    pub fn set_latency(&self, from: NodeId, to: NodeId, latency: Option<RangeInclusive<Duration>>) {
        Network::set_latency(&self.kernel, from.0, to.0, latency);
    }

    /// From now on the node's wall clock is wrong by this many milliseconds.
    pub fn set_clock_offset(&self, node: NodeId, offset_ms: i64) {
        self.kernel.node(node.0).clock_offset_ms.set(offset_ms);
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.kernel.seed
    }

    /// A number from the world's generator, for a test's own choices.
    #[must_use]
    pub fn random_u64(&self) -> u64 {
        self.kernel.random.next_u64()
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.kernel.now())
    }

    /// The hash of all that has happened so far.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.kernel.trace.hash()
    }

    /// What has happened so far, a line each: nanoseconds, kind, and numbers. Empty unless [`WorldOptions::trace`].
    #[must_use]
    pub fn trace(&self) -> String {
        self.kernel.trace.text()
    }

    fn begin_run(&self) -> Run<'_> {
        assert!(!self.running.replace(true), "a world is run from outside, by one call at a time");
        Run { world: self, limit: as_nanos(self.kernel.options.time_limit) }
    }

    fn print_seed(&self) {
        if std::thread::panicking() && !self.seed_printed.replace(true) {
            let now = Duration::from_nanos(self.kernel.now());
            let seed = self.kernel.seed;
            eprintln!("the simulated world panicked at {now:?}; {SEED_VARIABLE}={seed:#018x} brings it back");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.print_seed();
        self.kernel.end();
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            (0..self.kernel.node_count()).map(|id| self.kernel.node(id).name.clone()).collect();
        f.debug_struct("World")
            .field("seed", &format_args!("{:#018x}", self.kernel.seed))
            .field("now", &Duration::from_nanos(self.kernel.now()))
            .field("nodes", &names)
            .finish_non_exhaustive()
    }
}

/// A call that drives the world.
struct Run<'a> {
    world: &'a World,
    limit: u64,
}

impl Run<'_> {
    fn seed(&self) -> u64 {
        self.world.kernel.seed
    }

    fn out_of_time(&self) -> ! {
        let limit = self.world.kernel.options.time_limit;
        panic!("the world passed its limit of {limit:?} of virtual time (seed {:#018x})", self.seed());
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.world.running.set(false);
        self.world.print_seed();
    }
}

/// The future of a [`World::block_on`]. However that call ends, the future is dropped in its shard's context.
struct Foreground<'a, F> {
    kernel: &'a Kernel,
    shard: Rc<ShardContext>,
    task: u64,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Foreground<'_, F> {
    fn poll(&mut self, waker: &Waker) -> Poll<F::Output> {
        let _entered = context::enter(Rc::clone(&self.shard));
        let future = self.future.as_mut().expect("only a drop takes the future away");
        future.as_mut().poll(&mut Context::from_waker(waker))
    }
}

impl<F> Drop for Foreground<'_, F> {
    fn drop(&mut self) {
        self.kernel.tasks.remove(self.task);
        let _entered = context::enter(Rc::clone(&self.shard));
        drop(self.future.take());
    }
}
