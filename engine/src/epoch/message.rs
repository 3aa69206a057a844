//! What the protocol's machines say to each other. All of it travels by value: nothing here points into anything.

use super::attempt::AttemptRecord;
use super::commit::CommitRecord;
use super::ids::{Attempt, CommitNumber, Epoch, JobId, Mark, SourcePosition};
use millrace_runtime::ShardId;

/// From the coordinator to every shard. A shard gets these in the order in which they were sent; no other message needs any
/// order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// An attempt is durable: its tasks start, from what was committed through its `after_commit`.
    Begin(AttemptRecord),
    /// An epoch ends here: every source of these jobs puts a barrier into its stream.
    Tick {
        /// Which epoch.
        epoch: Epoch,
        /// The jobs that have something to commit, with their attempts.
        jobs: Vec<(JobId, Attempt)>,
    },
    /// A record of the commit log is durable.
    Committed(CommitRecord),
    /// An attempt is over. No record of the commit log after `after_commit` names it or an earlier one.
    End {
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: Attempt,
        /// The last record that may name it.
        after_commit: CommitNumber,
    },
}

/// From a task to every participant: that it has sent there all of an epoch. It may overtake the pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDone {
    /// Which task, in which epoch.
    pub mark: Mark,
    /// How many pieces it has sent to this participant.
    pub pieces: u32,
    /// How far its sources have read: only to the participant on the task's own shard, which watches over them.
    pub positions: Vec<SourcePosition>,
}

/// From a participant to the coordinator: that all its pieces of an epoch are durable and all positions it watches over are at
/// or below their high watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: Attempt,
    /// The epoch.
    pub epoch: Epoch,
    /// Who votes.
    pub shard: ShardId,
    /// If the attempt votes before its pieces are durable: how many these are.
    pub pieces: Option<u32>,
}

/// From a participant to the coordinator: that a job has something to commit since the last tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: Attempt,
}
