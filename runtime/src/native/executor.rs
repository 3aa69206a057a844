//! Starting and stopping shards.

use super::{
    bell::Bell,
    driver::{drive, watch},
    shard::{Queues, Shard as NativeShard},
};
use crate::{
    LaunchError, LaunchOptions, Pinning, Queue, Shard, ShardId, ShardPanic,
    bell::{Bell as AnyBell, Doorbells},
    machine::{LOCKED_MEMORY_MIN, locked_memory_cure, ring_cure},
};
use core_affinity::CoreId;
use glommio::{Latency, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement, Shares, timer::Timer};
use rustix::process::{Resource, getrlimit};
use std::{
    any::Any,
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::{Arc, mpsc},
    task::{Poll, Waker},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Locked memory of each of glommio's three rings. The least it takes, because nothing reads or writes through them:
/// files go through the shard's own ring.
const GLOMMIO_IO_MEMORY: usize = 64 << 10;

/// Entries of each of glommio's rings, which carry wake-ups and timers only.
const GLOMMIO_RING_ENTRIES: usize = 64;

/// glommio's own preemption, by a timer that fires while tasks run, is kept from ever happening: a task queue's slice is
/// the shard's business (see `shard`). When glommio finds itself preempted before it has run anything, it takes that for
/// having nothing to run, and may sleep while tasks are ready; on a loaded machine a timer of a millisecond does that
/// within seconds.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The same happens if another thread wakes a task just then, through a waker of glommio's. Nothing here does (bells are
/// rung instead), but a future from elsewhere might: glommio never sleeps longer than this.
const HEARTBEAT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Launched<T> {
    threads: Vec<JoinHandle<()>>,
    outcomes: mpsc::Receiver<(ShardId, Result<T, String>)>,
}

impl<T> Launched<T> {
    pub(crate) fn join(self) -> Result<Vec<T>, ShardPanic> {
        let mut outputs: Vec<Option<T>> = self.threads.iter().map(|_| None).collect();
        for _ in &self.threads {
            let (shard, outcome) =
                self.outcomes.recv().expect("a shard's thread reports its end, whatever it is");
            match outcome {
                Ok(output) => outputs[shard.index()] = Some(output),
                Err(message) => return Err(ShardPanic { shard, message }),
            }
        }
        for (index, thread) in self.threads.into_iter().enumerate() {
            if let Err(panic) = thread.join() {
                return Err(ShardPanic { shard: ShardId(index as u16), message: message_of(&*panic) });
            }
        }
        Ok(outputs.into_iter().map(|output| output.expect("every shard reported its output")).collect())
    }
}

pub(crate) fn launch<T, M, F>(options: &LaunchOptions, main: M) -> Result<Launched<T>, LaunchError>
where
    T: Send + 'static,
    M: Fn(Shard) -> F + Clone + Send + 'static,
    F: Future<Output = T> + 'static,
{
    assert!(options.shards > 0, "a launch has at least one shard");
    let bells = (0..options.shards).map(|_| Bell::new()).collect::<io::Result<Vec<_>>>();
    let bells = bells.map_err(|cause| LaunchError::Thread { shard: ShardId(0), cause })?;
    let doorbells = Arc::new(Doorbells(bells.iter().cloned().map(AnyBell::Native).collect()));
    let cores = cores(options);
    let (started, starts) = mpsc::channel();
    let (finished, outcomes) = mpsc::channel();

    let mut threads = Vec::new();
    let mut gates = Vec::new();
    let mut failure = None;
    for (index, bell) in bells.into_iter().enumerate() {
        let id = ShardId(index as u16);
        let (gate, opened) = mpsc::channel();
        let seat = Seat {
            shard: Shard { id, count: options.shards, doorbells: Arc::clone(&doorbells) },
            bell,
            spin: options.spin,
            core: cores.as_ref().map(|cores| cores[index]),
            main: main.clone(),
            started: started.clone(),
            opened,
            finished: finished.clone(),
        };
        match thread::Builder::new().name(format!("{}-{id}", options.name)).spawn(move || seat.run()) {
            Ok(thread) => threads.push(thread),
            Err(cause) => {
                failure = Some(LaunchError::Thread { shard: id, cause });
                break;
            }
        }
        gates.push(gate);
    }
    drop(started);
    for outcome in starts.iter().take(threads.len()) {
        if let Err(error) = outcome {
            failure.get_or_insert(error);
        }
    }
    if let Some(error) = failure {
        // A closed gate stops the threads that wait at it.
        drop(gates);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a shard panicked while the launch was given up");
            }
        }
        return Err(error);
    }
    for gate in gates {
        gate.send(()).expect("a shard that has started waits at its gate");
    }
    Ok(Launched { threads, outcomes })
}

/// The core of each shard, if shards are to be pinned and there are enough cores.
fn cores(options: &LaunchOptions) -> Option<Vec<CoreId>> {
    if options.pinning == Pinning::Never {
        return None;
    }
    let shards = usize::from(options.shards);
    // The first respects the affinity mask, the second also the control group's quota.
    let cores = core_affinity::get_core_ids()?;
    let allowed = thread::available_parallelism().map_or(1, usize::from);
    (cores.len().min(allowed) >= shards).then_some(cores)
}

/// What a shard's thread is started with.
struct Seat<T, M> {
    shard: Shard,
    bell: Bell,
    spin: Duration,
    core: Option<CoreId>,
    main: M,
    started: mpsc::Sender<Result<(), LaunchError>>,
    opened: mpsc::Receiver<()>,
    finished: mpsc::Sender<(ShardId, Result<T, String>)>,
}

impl<T, M, F> Seat<T, M>
where
    T: 'static,
    M: Fn(Shard) -> F + 'static,
    F: Future<Output = T> + 'static,
{
    /// The thread's whole life.
    fn run(self) {
        let id = self.shard.id;
        let made = catch_unwind(AssertUnwindSafe(|| self.make())).unwrap_or_else(|panic| {
            let cause = io::Error::other(message_of(&*panic));
            Err(LaunchError::Thread { shard: id, cause })
        });
        let (executor, native) = match made {
            Ok(made) => made,
            Err(error) => {
                NativeShard::discard();
                // Nobody hears it only if the launch has failed already.
                self.started.send(Err(error)).ok();
                return;
            }
        };
        self.started.send(Ok(())).ok();
        if self.opened.recv().is_err() {
            native.close();
            return;
        }
        let (main, shard) = (self.main, self.shard);
        let outcome = catch_unwind(AssertUnwindSafe(|| executor.run(root(native, move || main(shard)))));
        let outcome = match outcome {
            Ok(output) => Ok(output),
            Err(panic) => {
                // The kernel may still write into what the shard had in flight, and destructors would find its state
                // half changed: all of it stays where it is until the process ends.
                std::mem::forget(executor);
                NativeShard::abandon();
                Err(message_of(&*panic))
            }
        };
        // Nobody hears it if the `Launched` was dropped.
        self.finished.send((id, outcome)).ok();
    }

    /// Makes the thread's executor and ring.
    fn make(&self) -> Result<(LocalExecutor, Rc<NativeShard>), LaunchError> {
        let id = self.shard.id;
        let thread = |cause: io::Error| LaunchError::Thread { shard: id, cause };
        let limit = getrlimit(Resource::Memlock).current;
        if limit.is_some_and(|limit| limit < LOCKED_MEMORY_MIN) {
            return Err(locked_memory(limit));
        }
        // Our own ring before glommio's: its errors are plain.
        let native = NativeShard::new(self.bell.clone(), self.spin).map_err(|cause| explain(id, cause))?;
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(GLOMMIO_IO_MEMORY)
            .ring_depth(GLOMMIO_RING_ENTRIES)
            .preempt_timer(NEVER)
            // No threads for blocking calls: their results wake the executor from another thread.
            .blocking_thread_pool_placement(PoolPlacement::Custom(Vec::new()))
            .make()
            .map_err(|error| explain(id, error.into()))?;
        native.ring.allow_workers().map_err(thread)?;
        if let Some(core) = self.core
            && !core_affinity::set_for_current(core)
        {
            return Err(thread(io::Error::other(format!("cannot be pinned to core {}", core.id))));
        }
        Ok((executor, native))
    }
}

/// Everything that runs in a shard's executor.
async fn root<T: 'static, F: Future<Output = T> + 'static>(
    shard: Rc<NativeShard>,
    main: impl FnOnce() -> F + 'static,
) -> T {
    let executor = glommio::executor();
    let queue = |name: &str, shares: usize| {
        executor.create_task_queue(Shares::Static(shares), Latency::NotImportant, name)
    };
    shard.set_queues(Queues {
        control: queue("control", 1000),
        serving: queue("serving", 800),
        dataflow: queue("dataflow", 400),
        background: queue("background", 50),
        idle: queue("idle", 1),
    });
    let idle = shard.queues().idle;
    let just_made = "the queue was just made";
    let driver = glommio::spawn_local_into(drive(Rc::clone(&shard)), idle).expect(just_made);
    let watcher = glommio::spawn_local_into(watch(Rc::clone(&shard)), idle).expect(just_made);
    let heartbeat = glommio::spawn_local_into(beat(), idle).expect(just_made);

    let ended = Rc::new(RefCell::new((None, None::<Waker>)));
    let reports = Rc::clone(&ended);
    // Built on the task, so that whatever it spawns finds the shard running.
    let body = async move {
        let output = main().await;
        let waiting = {
            let mut ended = reports.borrow_mut();
            ended.0 = Some(output);
            ended.1.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    };
    spawn_detached(Queue::Serving, Box::pin(body));
    let output = poll_fn(|cx| {
        let mut ended = ended.borrow_mut();
        match ended.0.take() {
            Some(output) => Poll::Ready(output),
            None => {
                ended.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await;

    shard.tasks.stop().await;
    driver.cancel().await;
    watcher.cancel().await;
    heartbeat.cancel().await;
    shard.close();
    output
}

async fn beat() {
    loop {
        Timer::new(HEARTBEAT).await;
    }
}

pub(crate) fn spawn_detached(queue: Queue, task: Pin<Box<dyn Future<Output = ()>>>) {
    let shard = NativeShard::current();
    if let Some(running) = shard.tasks.admit(&shard, queue, task) {
        glommio::spawn_local_into(running, shard.queue(queue))
            .expect("a shard's queues live as long as it")
            .detach();
    }
}

/// Lets the shard's other tasks run, those of other queues included.
pub(crate) async fn yield_now() {
    glommio::executor().yield_task_queue_now().await;
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

/// Why a ring could not be made, and what mends it.
fn explain(shard: ShardId, cause: io::Error) -> LaunchError {
    match (cause.raw_os_error(), ring_cure(&cause)) {
        (Some(libc::ENOMEM), _) => locked_memory(None),
        (Some(libc::EMFILE), _) | (_, None) => LaunchError::Thread { shard, cause },
        (_, Some(cure)) => LaunchError::NoIoUring { cause, cure },
    }
}

fn locked_memory(limit: Option<u64>) -> LaunchError {
    let cause = match limit {
        Some(limit) => {
            format!("the limit is {} KiB, and a shard needs {} KiB", limit >> 10, LOCKED_MEMORY_MIN >> 10)
        }
        None => {
            "the kernel refused memory for a ring: other processes of this user may hold theirs".to_owned()
        }
    };
    LaunchError::LockedMemory { cause, cure: locked_memory_cure() }
}
