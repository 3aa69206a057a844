//! Why an attempt of a job ended: which operator, at which record, and what happened.
//!
//! User code runs inside a task's call. A panic there, or a record that can't be processed at all, unwinds to the
//! worker, which drops the attempt and reports a [`Failure`]; other jobs and the shard go on.

use crate::epoch::{Attempt, JobId};
use millrace_record::{Offset, PartitionIndex, TopicId};
use millrace_runtime::ShardId;
use std::{any::Any, fmt};

/// What ended an attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// User code panicked.
    #[error("panicked: {0}")]
    Panic(String),
    /// A value has no archived form.
    #[error("a value can't be archived: {0}")]
    NotArchivable(String),
    /// Bytes that should be an archived value are not.
    #[error("a value is not a valid `{ty}`: {reason}")]
    InvalidValue {
        /// The type that it should be.
        ty: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A batch of a source can't be read.
    #[error("a batch of the topic can't be read: {0}")]
    InvalidBatch(String),
    /// One record's processing produced more than the spill budget holds.
    #[error("the results of one input overran the spill budget of {limit} bytes")]
    SpillExceeded {
        /// The budget.
        limit: usize,
    },
    /// A record for a topic is larger than the topic takes.
    #[error("a record for topic {topic} has {len} bytes in its batch, the topic takes {max}")]
    RecordTooLarge {
        /// The topic.
        topic: String,
        /// What the record needs.
        len: usize,
        /// What the topic takes.
        max: usize,
    },
    /// Saved state can't be read.
    #[error("state can't be restored: {0}")]
    Restore(String),
}

/// Where in its input an operator was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPlace {
    /// At a record of a topic.
    Source {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The record.
        offset: Offset,
    },
    /// At a record of an exchange: the nth that the task has taken in this attempt, from 0.
    Ordinal(u64),
}

/// The end of an attempt on this shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
    /// Where it happened.
    pub shard: ShardId,
    /// The operator's name.
    pub operator: String,
    /// What it was working on; nothing if it was not at a record.
    pub record: Option<RecordPlace>,
    /// What happened.
    pub cause: Cause,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} attempt {}: operator `{}`", self.job, self.attempt, self.operator)?;
        match self.record {
            Some(RecordPlace::Source { topic, partition, offset }) => {
                write!(f, " at offset {offset} of partition {partition} of topic {topic}")?;
            }
            Some(RecordPlace::Ordinal(ordinal)) => write!(f, " at record {ordinal} of its input")?,
            None => {}
        }
        write!(f, " on shard {}: {}", self.shard, self.cause)
    }
}

impl std::error::Error for Failure {}

/// Ends the attempt from anywhere inside a task's call.
#[cold]
pub(crate) fn fail(cause: Cause) -> ! {
    // Not a panic: nothing is printed, the worker reports it.
    std::panic::resume_unwind(Box::new(cause))
}

/// What an unwinding call was stopped by.
pub(crate) fn cause_of(payload: Box<dyn Any + Send>) -> Cause {
    match payload.downcast::<Cause>() {
        Ok(cause) => *cause,
        Err(payload) => {
            let message = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned());
            Cause::Panic(message.unwrap_or_else(|| "a payload that is no text".to_owned()))
        }
    }
}
