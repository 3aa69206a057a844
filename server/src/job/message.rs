//! What shards say to each other about epochs, beside what workers do.

use millrace_engine::{
    epoch::{Attempt, Control, JobId, TaskDone, Vote, Work},
    table::UNRESOLVED_MAX,
};

/// Jobs that may run at a time: what the rings between shards are made for.
pub const JOBS_MAX: usize = 64;

/// The capacity of a ring of [`EpochMessage`]s. A job has at most [`UNRESOLVED_MAX`] epochs under way, and of each one
/// announcement, one vote, one tick, one commit, and the word that it is published; besides, it begins, ends, fails and has work.
/// Twice, for an attempt may begin while the last one's messages are still under way.
pub const EPOCH_RING: usize = 2 * JOBS_MAX * (5 * UNRESOLVED_MAX + 4);

/// The capacity of a ring between workers: frames and their credits, of all jobs. The controller starts no job whose
/// frames would not fit, see [`Controller`](super::Controller).
pub const DATAFLOW_RING: usize = 4096;

/// From shard to shard.
#[derive(Debug)]
pub enum EpochMessage {
    /// From the coordinator to every shard.
    Control(Control),
    /// The published commit number has risen: it is read where it is kept.
    Published,
    /// From a shard to every participant: its tasks have all passed a barrier.
    Done(Vec<TaskDone>),
    /// From a participant to the coordinator.
    Vote(Vote),
    /// From a participant to the coordinator.
    Work(Work),
    /// To the coordinator: an attempt can't go on.
    Failed(AttemptFailed),
}

/// Why an attempt of a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptFailed {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: Attempt,
    /// What happened, and where.
    pub reason: String,
}
