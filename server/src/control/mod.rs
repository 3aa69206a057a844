//! The control thread: what is not the project's purpose and in no hurry. Admin over HTTP, metrics, signals. It runs tokio,
//! owns nothing, and reaches shards through their mailboxes.

mod admin;
mod job_metrics;
mod jobs;
mod metrics;
mod watchdog;

pub use admin::serve;
pub use watchdog::watch;

pub use metrics::{GroupLag, PartitionCounts, RequestCounts, ShardMetrics, TopicCounts, encode};

use crate::shard::Context;
use millrace_runtime::{MailboxClosed, MailboxSender, spawn};
use std::{fmt, future::Future};
use tokio::sync::oneshot;

/// What the control thread asks of a shard.
pub enum Command {
    /// Run this with the shard's context.
    Run(Box<dyn FnOnce(Context) + Send>),
    /// Stop accepting, finish what is under way, write a closing frame, and end.
    Stop,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run(_) => "Run",
            Self::Stop => "Stop",
        })
    }
}

/// Commands that wait at a shard at most. They are rare: a shard that is this far behind has other troubles.
pub const COMMANDS_MAX: usize = 256;

/// A shard did not take or did not answer a command: it is stopping, or far behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {0} does not answer")]
pub struct Unreachable(pub usize);

/// The way to all shards of a server, from any thread.
#[derive(Clone, Debug)]
pub struct Shards(Vec<MailboxSender<Command>>);

impl Shards {
    /// Through these mailboxes, in order of shard.
    #[must_use]
    pub fn new(mailboxes: Vec<MailboxSender<Command>>) -> Self {
        Self(mailboxes)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Runs `work` on a shard and gives its answer.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn on<T, W>(&self, shard: usize, work: W) -> Result<T, Unreachable>
    where
        T: Send + 'static,
        W: FnOnce(Context) -> T + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |context| {
            // Who asked may have gone.
            drop(reply.send(work(context)));
        });
        self.0[shard].send(Command::Run(run)).map_err(|_| Unreachable(shard))?;
        answer.await.map_err(|_| Unreachable(shard))
    }

    /// Runs `work` on a shard, to its end even if nobody waits any more, and gives its answer.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn call<T, F, W>(&self, shard: usize, work: W) -> Result<T, Unreachable>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
        W: FnOnce(Context) -> F + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |context| {
            let running = work(context);
            drop(spawn(async move {
                // Who asked may have gone.
                drop(reply.send(running.await));
            }));
        });
        self.0[shard].send(Command::Run(run)).map_err(|_| Unreachable(shard))?;
        answer.await.map_err(|_| Unreachable(shard))
    }

    /// Runs `work` on every shard and gives their answers in order of shard.
    ///
    /// # Errors
    /// [`Unreachable`], the first.
    pub async fn on_all<T, W>(&self, work: W) -> Result<Vec<T>, Unreachable>
    where
        T: Send + 'static,
        W: Fn(Context) -> T + Clone + Send + 'static,
    {
        let mut answers = Vec::with_capacity(self.count());
        for shard in 0..self.count() {
            answers.push(self.on(shard, work.clone()).await?);
        }
        Ok(answers)
    }

    /// Asks every shard to stop. Those that already have are left alone.
    pub fn stop(&self) {
        for (shard, mailbox) in self.0.iter().enumerate() {
            match mailbox.send(Command::Stop) {
                Ok(()) | Err(MailboxClosed::Closed(_)) => {}
                Err(MailboxClosed::Full(_)) => tracing::error!(shard, "the shard takes no commands"),
            }
        }
    }
}
