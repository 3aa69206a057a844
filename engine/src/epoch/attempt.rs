//! The durable record of an attempt.

use super::codec::{Fields, FormatError, put_count};
use super::ids::{Attempt, CommitNumber, Epoch, JobId, TaskId};
use millrace_runtime::ShardId;

const FORMAT: u8 = 1;

/// An attempt, as it is written before any of its tasks starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The job.
    pub job: JobId,
    /// Which run of it, counted from 1.
    pub attempt: Attempt,
    /// The hash of the plan that it runs.
    pub plan: u64,
    /// All its epochs are at or above this one.
    pub first_epoch: Epoch,
    /// No record of the commit log after this one names an earlier attempt of the job.
    pub after_commit: CommitNumber,
    /// Whether votes may come before their pieces are durable: see [`CommitEntry::pieces`](super::CommitEntry::pieces). Only
    /// if there is one participant, and it has the commit log.
    pub is_together: bool,
    /// The tasks, each of which announces the end of each epoch to every participant.
    pub tasks: Vec<TaskId>,
    /// The shards that may stage, each of which votes on each epoch. Ascending.
    pub participants: Vec<ShardId>,
}

impl AttemptRecord {
    /// Its bytes, the payload of a record in an internal partition.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, u8::from(self.is_together)];
        for field in [self.job.0, self.attempt.0, self.plan, self.first_epoch.0, self.after_commit.0] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        put_count(&mut out, self.tasks.len());
        self.tasks.iter().for_each(|task| out.extend_from_slice(&task.0.to_le_bytes()));
        put_count(&mut out, self.participants.len());
        self.participants.iter().for_each(|shard| out.extend_from_slice(&shard.0.to_le_bytes()));
        out
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`FormatError`] if the bytes are no such record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new("attempt record", bytes, FORMAT)?;
        let is_together = fields.flag()?;
        let record = Self {
            job: JobId(fields.u64()?),
            attempt: Attempt(fields.u64()?),
            plan: fields.u64()?,
            first_epoch: Epoch(fields.u64()?),
            after_commit: CommitNumber(fields.u64()?),
            is_together,
            tasks: fields.list(size_of::<u32>(), |fields| fields.u32().map(TaskId))?,
            participants: fields.list(size_of::<u16>(), |fields| fields.u16().map(ShardId))?,
        };
        if record.attempt == Attempt(0) {
            return Err(fields.damaged("attempts are counted from 1"));
        }
        if record.participants.is_empty() || !record.participants.is_sorted_by(|a, b| a < b) {
            return Err(fields.damaged("participants are none or not in order"));
        }
        fields.finish()?;
        Ok(record)
    }
}
