//! Calls that block, on threads beside the shard's: directories and small files.
//!
//! A pool of the shard's own, because glommio's announces its results by waking the executor from another thread, which
//! can send it to sleep (see `executor`). Here a result is announced by the shard's bell, like any message.

use super::{bell::Bell, shard::Shard};
use crate::bell::Inbox;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread::{self, JoinHandle},
};

/// Threads per shard, started when they are first needed. Two, so that the removal of a large tree does not hold up
/// everything else.
const THREADS_MAX: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// The shard's side of its pool.
#[derive(Default)]
pub(super) struct Blocking {
    shared: Arc<Shared>,
    threads: RefCell<Vec<JoinHandle<()>>>,
    /// Who waits for which call.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    numbers: Cell<u64>,
}

/// What both sides see.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ready: Condvar,
    /// The numbers of finished calls.
    finished: Mutex<Vec<u64>>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finished(&self) -> MutexGuard<'_, Vec<u64>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life.
    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.state();
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

impl Blocking {
    fn push(&self, job: Job) -> io::Result<()> {
        let mut threads = self.threads.borrow_mut();
        let mut state = self.shared.state();
        if state.jobs.len() >= state.idle && threads.len() < THREADS_MAX {
            let shared = Arc::clone(&self.shared);
            let name =
                thread::current().name().map_or_else(|| "blocking".to_owned(), |name| format!("{name}-fs"));
            let started = thread::Builder::new().name(name).spawn(move || shared.work());
            match started {
                Ok(thread) => threads.push(thread),
                // The threads that there are will come to it.
                Err(_) if !threads.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.shared.ready.notify_one();
        Ok(())
    }

    /// Waits for the calls that were begun, and ends the threads.
    pub(super) fn close(&self) {
        self.shared.state().closed = true;
        self.shared.ready.notify_all();
        for thread in mem::take(&mut *self.threads.borrow_mut()) {
            if thread.join().is_err() {
                tracing::error!("a thread for blocking calls panicked");
            }
        }
    }
}

impl Inbox for Blocking {
    fn look(&self) -> bool {
        if self.waiting.borrow().is_empty() {
            return false;
        }
        let finished = mem::take(&mut *self.shared.finished());
        let mut woke = false;
        for number in finished {
            let waker = self.waiting.borrow_mut().remove(&number);
            if let Some(waker) = waker {
                waker.wake();
                woke = true;
            }
        }
        woke
    }
}

/// Runs `call` on a thread that may block. If the future is dropped, the call goes on, and its result is dropped.
///
/// # Errors
/// The call's own, or that no thread could be started.
pub(super) async fn run<R, F>(call: F) -> io::Result<R>
where
    R: Send + 'static,
    F: FnOnce() -> io::Result<R> + Send + 'static,
{
    let shard = Shard::current();
    let pool = Rc::clone(&shard.blocking);
    let number = pool.numbers.get();
    pool.numbers.set(number + 1);
    let slot = Arc::new(Mutex::new(None));
    let (result, shared, bell): (_, _, Bell) =
        (Arc::clone(&slot), Arc::clone(&pool.shared), shard.bell.clone());
    pool.push(Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(call));
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        // In this order: whoever hears the bell finds the number, and then the result.
        shared.finished().push(number);
        bell.ring();
    }))?;
    let waiting = Waiting { pool, number };
    let outcome = poll_fn(|cx| match slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(outcome) => Poll::Ready(outcome),
        None => {
            let replaced = waiting.pool.waiting.borrow_mut().insert(number, cx.waker().clone());
            drop(replaced);
            Poll::Pending
        }
    })
    .await;
    drop(waiting);
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Takes the waker out if the future is dropped.
struct Waiting {
    pool: Rc<Blocking>,
    number: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let waker = self.pool.waiting.borrow_mut().remove(&self.number);
        drop(waker);
    }
}
