//! Starting shards: one thread, one executor, one ring each.

use crate::bell::Doorbells;
use std::{fmt, future::Future, sync::Arc, time::Duration};

/// A shard's number, dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The number as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether shards are pinned to cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// Shard n to the nth core that the process may run on, if there are as many; otherwise not at all.
    #[default]
    Auto,
    /// The kernel's scheduler places threads. For tests and demos that share a machine.
    Never,
}

/// How [`launch`] starts shards.
#[derive(Clone, Debug)]
pub struct LaunchOptions {
    /// Number of shards, at least 1.
    pub shards: u16,
    /// Whether to pin threads.
    pub pinning: Pinning,
    /// How long an idle shard polls its rings before it parks in the kernel. Zero parks at once.
    pub spin: Duration,
    /// Threads are called `NAME-0`, `NAME-1`, ...
    pub name: String,
}

impl Default for LaunchOptions {
    fn default() -> Self {
        Self { shards: 1, pinning: Pinning::Auto, spin: Duration::from_micros(50), name: "shard".to_owned() }
    }
}

/// What a shard's main future gets: who it is, and how it reaches the others.
#[derive(Clone, Debug)]
pub struct Shard {
    /// This shard's number.
    pub id: ShardId,
    /// How many shards were launched together.
    pub count: u16,
    pub(crate) doorbells: Arc<Doorbells>,
}

/// Why shards could not be started. The text names the cure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// io_uring is not to be had: disabled by sysctl, forbidden by seccomp, or the kernel is too old.
    #[error("io_uring is not available ({cause}): {cure}")]
    NoIoUring {
        /// What the kernel said.
        cause: std::io::Error,
        /// The command or setting that mends it.
        cure: String,
    },
    /// The limit on locked memory is too small for a ring.
    #[error("locked memory: {cause}: {cure}")]
    LockedMemory {
        /// What was asked for and what the limit is.
        cause: String,
        /// The command or setting that mends it.
        cure: String,
    },
    /// A thread could not be started.
    #[error("cannot start shard {shard}: {cause}")]
    Thread {
        /// Which shard.
        shard: ShardId,
        /// What the operating system said.
        cause: std::io::Error,
    },
}

/// A shard's thread panicked. What it owned is in an unknown state: the process must end.
#[derive(Debug, thiserror::Error)]
#[error("shard {shard} panicked: {message}")]
pub struct ShardPanic {
    /// Which shard.
    pub shard: ShardId,
    /// The panic's message.
    pub message: String,
}

/// Running shards.
#[derive(Debug)]
pub struct Launched<T>(crate::native::executor::Launched<T>);

/// Starts `options.shards` threads, builds one future on each with `main`, and returns when all have started. The
/// futures need not be `Send`: they never leave their thread. A shard stops when its main future is ready; its other
/// tasks are dropped then.
///
/// # Errors
/// [`LaunchError`]; threads that had started are stopped before it returns.
pub fn launch<T, M, F>(options: &LaunchOptions, main: M) -> Result<Launched<T>, LaunchError>
where
    T: Send + 'static,
    M: Fn(Shard) -> F + Clone + Send + 'static,
    F: Future<Output = T> + 'static,
{
    crate::native::executor::launch(options, main).map(Launched)
}

impl<T> Launched<T> {
    /// Waits for every shard's main future and gives their outputs in order of shard. Returns as soon as one has
    /// panicked, while the others may still run: the caller ends the process.
    ///
    /// # Errors
    /// [`ShardPanic`], the first.
    pub fn join(self) -> Result<Vec<T>, ShardPanic> {
        self.0.join()
    }
}
