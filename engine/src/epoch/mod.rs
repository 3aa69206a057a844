//! Epochs: the protocol that makes state and output appear exactly once, as pure state machines.
//!
//! An epoch is a cut through everything that a job does. Before it, a task has read its sources up to some positions, changed
//! its tables and made output; all of that becomes visible together, or none of it. Epochs belong to the server: one tick
//! carries the barriers of all jobs that have something to commit.
//!
//! # The way of an epoch
//!
//! 1. The [`Coordinator`] starts it: a [`Tick`](Control::Tick) goes to every shard. Sources put barriers into their streams.
//! 2. A task that has aligned its inputs **stages** pieces: its output to the owners of the target partitions, the delta of its
//!    tables and its source positions ([`Changelog`]) on its own shard. Each piece is [marked](Mark) (job, attempt, epoch, task).
//!    Then it [announces](TaskDone) to every participant how many it sent there.
//! 3. A [`Participant`] that has all announcements, and all announced pieces durable, [votes](Vote): for it the epoch is
//!    **prepared**. It also sees to it that source positions are at or below their high watermarks.
//! 4. When all participants have voted, the coordinator writes a [`CommitRecord`]. When that is durable, the epoch is
//!    **committed**. Anything that is not in the commit log is aborted.
//! 5. The commit number is published. Each shard's [`Applier`] splices its pieces onto their targets, in the order of the log,
//!    before it answers the next read.
//!
//! # Laws
//!
//! - Uncommitted output has no offset and is in no partition: nothing is ever cut, and nobody waits for a job.
//! - An attempt is durable before its tasks start. Pieces, announcements and votes of older attempts are refused.
//! - Epochs of a job are committed in their order; those of different jobs don't wait for each other.
//! - At most K epochs are unresolved; then sources stop.
//! - A splice marker needs no sync: if a crash takes it, no later append to that partition was acknowledged, and [`recover`]
//!   splices again, in the same order, to the same offsets.
//! - Messages of the coordinator reach a shard in their order. Everything else may be late and overtake anything.
//!
//! Nothing here does I/O or looks at a clock: machines take what has happened and say what is to be done. A simulation in this
//! module's tests lets them exchange messages in random order, kills everything at any point, keeps what was durable, and
//! compares what readers see with a sequential oracle.

mod applier;
mod attempt;
mod clock;
mod codec;
mod commit;
mod coordinator;
mod ids;
mod message;
mod participant;
mod piece;
mod recovery;

pub use applier::{Applier, ApplierAction, Behind};
pub use attempt::AttemptRecord;
pub use clock::EpochOptions;
pub use codec::FormatError;
pub use commit::{CommitEntry, CommitRecord};
pub use coordinator::{AttemptPlan, Coordinator, CoordinatorAction, CoordinatorStart, StartError};
pub use ids::{Attempt, CommitNumber, Epoch, JobId, Mark, PieceId, SourceId, SourcePosition, Target, TaskId};
pub use message::{Control, TaskDone, Vote, Work};
pub use participant::{Participant, ParticipantAction, Refused};
pub use piece::{Changelog, ChangelogError, PieceHeader};
pub use recovery::{FoundPiece, Positions, Recovery, RecoveryError, recover};

#[cfg(test)]
mod tests;
