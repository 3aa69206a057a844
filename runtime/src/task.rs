//! Tasks of one shard: futures that never leave their thread.

use crate::context::{Backend, current};
use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// The task queues of a shard. Each gets its share of the core when all are busy; an idle queue's share goes to the
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Coordinators, commits, heartbeats: little work that others wait for.
    Control,
    /// Connections and appends. Where [`spawn`] puts a task.
    Serving,
    /// Steps of dataflow jobs.
    Dataflow,
    /// Write-behind, retention, scans: work that nobody waits for.
    Background,
}

/// A task's handle. Dropping it lets the task run on; [`JoinHandle::cancel`] drops the task at its next poll.
#[derive(Debug)]
pub struct JoinHandle<T>(Rc<RefCell<Shared<T>>>);

#[derive(Debug)]
struct Shared<T> {
    output: Option<T>,
    finished: bool,
    cancelled: bool,
    joiner: Option<Waker>,
    task: Option<Waker>,
}

impl<T> JoinHandle<T> {
    /// Drops the task's future at its next poll, which is requested at once. Joining it afterwards gives `None`
    /// unless it had finished.
    pub fn cancel(&self) {
        let waker = {
            let mut shared = self.0.borrow_mut();
            shared.cancelled = true;
            shared.task.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the task has finished or was cancelled and dropped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.borrow().finished
    }
}

impl<T> Future for JoinHandle<T> {
    /// `None` if the task was cancelled before it finished.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut shared = self.0.borrow_mut();
        if shared.finished {
            return Poll::Ready(shared.output.take());
        }
        shared.joiner = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Starts `future` on the current shard, in [`Queue::Serving`].
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    spawn_into(Queue::Serving, future)
}

/// Starts `future` on the current shard in the named queue.
pub fn spawn_into<F>(queue: Queue, future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    let shared = Rc::new(RefCell::new(Shared {
        output: None,
        finished: false,
        cancelled: false,
        joiner: None,
        task: None,
    }));
    let task = Box::pin(run(Rc::clone(&shared), Box::pin(future)));
    match current() {
        Backend::Native => crate::native::executor::spawn_detached(queue, task),
        #[cfg(feature = "sim")]
        Backend::Sim(shard) => shard.spawn_detached(queue, task),
    }
    JoinHandle(shared)
}

/// Polls `future` until it is ready or cancelled, then tells the joiner.
async fn run<F: Future>(shared: Rc<RefCell<Shared<F::Output>>>, future: Pin<Box<F>>) {
    let mut future = Some(future);
    let output = std::future::poll_fn(|cx| {
        if shared.borrow().cancelled {
            return Poll::Ready(None);
        }
        let Some(running) = future.as_mut() else { return Poll::Ready(None) };
        match running.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                let mut shared = shared.borrow_mut();
                // A task that cancels itself while it runs has no waker registered yet.
                if shared.cancelled {
                    return Poll::Ready(None);
                }
                shared.task = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await;
    // The future may own what its joiner waits for: it is gone before the joiner runs.
    drop(future);
    let joiner = {
        let mut shared = shared.borrow_mut();
        shared.output = output;
        shared.finished = true;
        shared.task = None;
        shared.joiner.take()
    };
    if let Some(joiner) = joiner {
        joiner.wake();
    }
}

/// Lets the shard's other tasks run before this one goes on: those of its queue, and those of other queues according to
/// their shares.
pub async fn yield_now() {
    match current() {
        Backend::Native => crate::native::executor::yield_now().await,
        #[cfg(feature = "sim")]
        Backend::Sim(_) => yield_once().await,
    }
}

/// Goes to the end of the queue.
#[cfg(feature = "sim")]
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
