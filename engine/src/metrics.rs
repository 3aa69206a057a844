//! What can be seen of a running job, per shard.

use crate::epoch::{Attempt, JobId, TaskId};

/// A job on one shard, since the attempt began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobMetrics {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its attempt.
    pub attempt: Attempt,
    /// Its tasks.
    pub tasks: Vec<TaskMetrics>,
}

/// A task on one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskMetrics {
    /// Its number.
    pub task: TaskId,
    /// The names of its operators.
    pub name: String,
    /// Its operators.
    pub operators: Vec<OperatorMetrics>,
    /// Batches taken.
    pub batches: u64,
    /// Time spent in its calls, in ns. A chain of operators is one loop: they can't be told apart.
    pub busy_ns: u64,
    /// Time during which it could take nothing, for its outputs had no room or its epochs were not resolved, in ns.
    pub blocked_ns: u64,
    /// The smallest watermark of its inputs, or what a source has told; `i64::MIN` before the first.
    pub watermark: i64,
    /// Records that a source could read and has not.
    pub lag: Option<u64>,
    /// Frames waiting to be taken.
    pub queued_frames: usize,
}

/// An operator on one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorMetrics {
    /// Its name.
    pub name: String,
    /// Records taken in.
    pub records_in: u64,
    /// Records handed on; for the last operator of a task, to all edges and topics of the task.
    pub records_out: u64,
    /// Records that came after their window had fired.
    pub late_records: u64,
}

impl TaskMetrics {
    /// The share of `span_ns` during which the task could take nothing: 0 to 1.
    #[must_use]
    pub fn blocked_share(&self, span_ns: u64) -> f64 {
        if span_ns == 0 { 0.0 } else { (self.blocked_ns as f64 / span_ns as f64).min(1.0) }
    }
}
