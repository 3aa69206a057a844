//! What passes between a worker and the rest of its server. Everything here can cross threads.

use crate::{
    epoch::{Attempt, Changelog, Epoch, JobId, Mark, SourcePosition, TaskId},
    exchange::{Frame, Route},
    failure::Failure,
    sink::StagedAppend,
    source::{Demand, SourceData, SplitSpec},
};
use bytes::Bytes;
use millrace_runtime::ShardId;

/// From worker to worker, on the rings between shards.
#[derive(Debug)]
pub enum ShardMessage {
    /// Records and marks of a channel.
    Frame(Frame),
    /// A frame was consumed: its credit, and its buffer.
    Credit(Credit),
}

/// The credit of a channel, on its way back.
#[derive(Debug)]
pub struct Credit {
    /// The channel, as its frames name it: the credit goes to [`Route::from`].
    pub route: Route,
    pub(crate) buffer: Vec<u8>,
}

/// What a worker is told: [`Worker::deliver`](super::Worker::deliver).
#[derive(Debug)]
pub enum Inbound {
    /// From another shard's worker.
    Shard(ShardMessage),
    /// Batches for a source.
    Source(SourceData),
    /// Batches of a sink were staged: their credits.
    Appended {
        /// Their mark.
        mark: Mark,
        /// The sink, as in [`StagedAppend::output`].
        output: u32,
        /// How many batches.
        batches: u32,
    },
    /// Sources put a barrier behind what they have read.
    Barrier {
        /// The job.
        job: JobId,
        /// Its attempt.
        attempt: Attempt,
        /// The epoch that ends.
        epoch: Epoch,
    },
    /// An epoch is committed, and those before it.
    Committed {
        /// The job.
        job: JobId,
        /// The epoch.
        epoch: Epoch,
    },
    /// Goes back to a committed epoch, in a new attempt.
    Rollback(Rollback),
    /// A run of a committed changelog, while the job is restored. In the order of epochs, from all shards.
    Restore {
        /// The job.
        job: JobId,
        /// The attempt that is being started.
        attempt: Attempt,
        /// The task that wrote it.
        task: TaskId,
        /// The run.
        run: Bytes,
    },
    /// All changelogs were handed over: the job goes on.
    Restored {
        /// The job.
        job: JobId,
        /// The attempt that is being started.
        attempt: Attempt,
    },
    /// Partitions are to be read in addition, from the next barrier on.
    Splits {
        /// The job.
        job: JobId,
        /// The partitions.
        splits: Vec<SplitSpec>,
    },
    /// An attempt is over, whether it has begun here or not, and so are those before it: everything of them is dropped, also
    /// what is still on its way.
    Stop {
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: Attempt,
    },
}

/// Back to a committed epoch, in a new attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The job.
    pub job: JobId,
    /// The new attempt.
    pub attempt: Attempt,
    /// The last committed epoch. At most [`UNRESOLVED_MAX`](crate::table::UNRESOLVED_MAX) epochs back.
    pub to: Epoch,
    /// Where sources go on.
    pub positions: Vec<SourcePosition>,
}

/// What a worker has to say: [`Worker::drain_outbox`](super::Worker::drain_outbox).
#[derive(Debug)]
pub enum Outbound {
    /// For another shard's worker.
    Shard {
        /// The shard.
        to: ShardId,
        /// The message.
        message: ShardMessage,
    },
    /// A source wants records.
    Demand(Demand),
    /// A job has done something that is to be committed. Said once per epoch.
    Worked {
        /// The job.
        job: JobId,
        /// Its attempt.
        attempt: Attempt,
    },
    /// A batch for the owner of a partition to stage. All batches of a task and epoch come before its `Sealed`.
    Append(StagedAppend),
    /// A task has passed a barrier: what it leaves behind.
    Sealed(Sealed),
    /// All tasks of a job on this shard have passed a barrier.
    Passed(Passed),
    /// An attempt ended. Nothing of it is left on this shard.
    Failed(Failure),
}

/// What a task leaves behind at a barrier.
#[derive(Debug)]
pub struct Sealed {
    /// Job, attempt, epoch and task.
    pub mark: Mark,
    /// How far its sources have read, and what changed in its tables. May be empty.
    pub changelog: Changelog,
    /// How many batches for topics it has handed over before this.
    pub appends: u32,
    /// Whether all input of the task had ended before the barrier, so that nothing can follow from it.
    pub is_last: bool,
}

/// All tasks of a job on a shard have passed a barrier: every piece of theirs was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
    /// The epoch.
    pub epoch: Epoch,
    /// Whether nothing can follow: every source has ended, and all of it went through.
    pub is_drained: bool,
}

/// Messages cross threads.
const _: () = {
    const fn send<T: Send>() {}
    send::<Inbound>();
    send::<Outbound>();
};
