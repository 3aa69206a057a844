//! The engine's unit of execution: a type-erased task.
//!
//! A job's plan is a graph of tasks; each shard of the job has one instance of each. Exchange, tables, timers and epochs
//! see bytes, descriptors and key bytes, never a Rust type: the typed builder ([`crate::stream`]) is one producer of
//! tasks, a hand-built [`Task`] is another, a planner will be a third.
//!
//! **The contract**
//! - A task is called by one shard, one call at a time, and never blocks. Where it has more to do than the moment allows
//!   ([`Context::full`]) it returns [`Flow::More`] and is called again with the same arguments, before anything else.
//!   What it did must not be done again then: the cursor is the batch's own, or what is left in a table.
//! - A call that returned `Done` may be repeated for the same watermark, time or end (after a restore); it then finds
//!   nothing to do.
//! - Barriers come between calls that returned `Done`. When [`Task::barrier`] returns, everything that must survive is in
//!   the task's tables; what is not in a table does not survive.
//! - A call may unwind. The attempt ends then, the tables are not used again.

mod batch;
mod context;
mod open;
mod watch;

pub use batch::{Batch, RowBatch, SourceRecords};
pub use context::{Context, SplitStatus};
pub use open::OpenContext;
pub(crate) use open::types_hash;
pub use watch::{Running, Watch};

use crate::{epoch::Epoch, table::Table};

/// Whether a call is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "on `More` the caller must come again before anything else"]
pub enum Flow {
    /// Everything was done.
    Done,
    /// Call again, with the same arguments, before anything else.
    More,
}

impl Flow {
    /// Goes on with `next` if this is done.
    #[inline]
    pub fn then(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Done => next(),
            Self::More => Self::More,
        }
    }
}

/// What one operator of a task has done since the start of the attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorCounters {
    /// Records taken in.
    pub records_in: u64,
    /// Records that came after their window had fired.
    pub late_records: u64,
}

/// A vertex of a plan. See the module's documentation for the contract.
pub trait Task {
    /// Makes the tables. Called once, before anything else.
    fn open(&mut self, _cx: &mut OpenContext<'_>) {}

    /// Takes records of an input, until the batch is empty or [`Context::full`].
    fn batch(&mut self, input: usize, batch: &mut Batch<'_>, cx: &mut Context) -> Flow;

    /// The watermark of an input rose to `watermark`. A task that has outputs says when theirs does:
    /// [`Context::emit_watermark`].
    fn watermark(&mut self, input: usize, watermark: i64, cx: &mut Context) -> Flow;

    /// What came before belongs to `epoch`: leaves everything that must survive in the tables.
    fn barrier(&mut self, epoch: Epoch, cx: &mut Context);

    /// Processing time reached a moment asked for by [`Context::wake_at`].
    fn timer(&mut self, now_ms: i64, cx: &mut Context) -> Flow;

    /// No record follows on an input. Watermarks have said so before, if there were any.
    fn end(&mut self, input: usize, cx: &mut Context) -> Flow;

    /// The tables hold committed state: rebuilds what is derived from it, and drops what is not.
    fn restore(&mut self, cx: &mut Context) -> Flow;

    /// Shows each table, always in the same order.
    fn tables(&mut self, _visit: &mut dyn FnMut(&mut dyn Table)) {}

    /// Shows the counters of each operator, in the order in which the plan names them.
    fn operators(&self, _visit: &mut dyn FnMut(OperatorCounters)) {}

    /// After a call unwound: which operator's code it was.
    fn culprit(&self) -> usize {
        0
    }
}
