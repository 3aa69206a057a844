//! Calls that block, on threads of their own: what the kernel offers no better way for. Control work only.

use super::shard::Shard;
use crate::bell::Inbox;
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    task::{Poll, Waker},
    thread::{self, Builder},
};

/// Threads of the process for blocking calls. They wait for disks, not for cores.
const THREADS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The way to the threads; they live as long as the process.
static JOBS: OnceLock<Sender<Job>> = OnceLock::new();

/// Runs `work` on a blocking thread. It runs to its end even if the future is dropped.
///
/// # Errors
/// That of `work`, or that no thread could be started.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let shard = Shard::current();
    let result: Arc<Mutex<Option<thread::Result<io::Result<T>>>>> = Arc::default();
    let finished = Rc::new(Finished { result: Arc::clone(&result), waiting: RefCell::new(None) });
    shard.register_inbox(Rc::clone(&finished) as Rc<dyn Inbox>);
    let bell = shard.bell.clone();
    let job = Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        *lock(&result) = Some(outcome);
        bell.ring();
    });
    jobs()?.send(job).expect("blocking threads live as long as the process");
    let outcome = poll_fn(|cx| match lock(&finished.result).take() {
        Some(outcome) => Poll::Ready(outcome),
        None => {
            *finished.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }
    });
    outcome.await.unwrap_or_else(|panic| resume_unwind(panic))
}

/// What a blocking call gave, once it has.
struct Finished<T> {
    result: Arc<Mutex<Option<T>>>,
    waiting: RefCell<Option<Waker>>,
}

impl<T> Inbox for Finished<T> {
    fn look(&self) -> bool {
        if lock(&self.result).is_none() {
            return false;
        }
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn jobs() -> io::Result<Sender<Job>> {
    if let Some(jobs) = JOBS.get() {
        return Ok(jobs.clone());
    }
    let (sender, receiver) = channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    for number in 0..THREADS {
        let receiver = Arc::clone(&receiver);
        Builder::new().name(format!("blocking-{number}")).spawn(move || work(&receiver))?;
    }
    // Another shard may have been faster; the threads just made then end, since nobody holds their sender.
    Ok(JOBS.get_or_init(|| sender).clone())
}

fn work(receiver: &Mutex<Receiver<Job>>) {
    loop {
        let Ok(job) = lock(receiver).recv() else { return };
        job();
    }
}
