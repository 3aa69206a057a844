//! What a partition knows of its idempotent producers: enough to tell a repeated batch from a new one and from a gap.
//!
//! The rules are Kafka's (`ProducerStateManager`): the last five batches of each producer are remembered, which is
//! how many a client may have in flight. A repeated one is answered with the offset of the first time; a batch that
//! neither repeats nor follows is refused; so is one of an older epoch. A producer that is not known may begin with any
//! number: its records may have been deleted.

mod snapshot;

pub(crate) use snapshot::{ProducerSnapshot, SNAPSHOT_FILE};

use millrace_record::{BatchHeader, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use std::collections::{BTreeMap, VecDeque};

/// Batches remembered of each producer: Kafka's clients have at most five in flight.
pub(crate) const REMEMBERED: usize = 5;

/// A batch of a producer that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) base_sequence: Sequence,
    pub(crate) last_offset_delta: u32,
    pub(crate) base_offset: Offset,
}

impl Remembered {
    /// Numbers wrap from `i32::MAX` to 0.
    const fn last_sequence(&self) -> Sequence {
        self.base_sequence.wrapping_add(self.last_offset_delta as i32) & i32::MAX
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: ProducerEpoch,
    /// The largest timestamp of its last batch: how long it has been silent.
    pub(crate) last_timestamp: Timestamp,
    /// Oldest first; empty if only control batches were seen of its epoch.
    pub(crate) batches: VecDeque<Remembered>,
}

/// What a batch is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be appended.
    New,
    /// It is in the log already.
    Duplicate(Remembered),
}

/// Why a producer's batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// Neither a repetition nor the next: records in between are missing, or it is older than what is remembered.
    #[error("producer {producer} sent sequence {sent}, and the last was {last}")]
    OutOfOrder {
        /// The producer.
        producer: ProducerId,
        /// The batch's first number.
        sent: Sequence,
        /// The last number that is in the log; -1 if the epoch is new, which starts at 0.
        last: Sequence,
    },
    /// The producer has a newer incarnation.
    #[error("producer {producer} is at epoch {current}, the batch at {sent}")]
    Fenced {
        /// The producer.
        producer: ProducerId,
        /// The batch's epoch.
        sent: ProducerEpoch,
        /// The newest known epoch.
        current: ProducerEpoch,
    },
}

/// The producers of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerTable(BTreeMap<ProducerId, Producer>);

impl ProducerTable {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What `batch` is to the log. Nothing changes.
    ///
    /// # Errors
    /// [`SequenceError`].
    pub(crate) fn check(&self, batch: &BatchHeader) -> Result<Verdict, SequenceError> {
        let Some(known) = self.0.get(&batch.producer_id) else { return Ok(Verdict::New) };
        let producer = batch.producer_id;
        if batch.producer_epoch < known.epoch {
            return Err(SequenceError::Fenced { producer, sent: batch.producer_epoch, current: known.epoch });
        }
        let sent = batch.base_sequence;
        if sent < 0 {
            return Ok(Verdict::New);
        }
        if batch.producer_epoch > known.epoch {
            return match sent {
                0 => Ok(Verdict::New),
                _ => Err(SequenceError::OutOfOrder { producer, sent, last: -1 }),
            };
        }
        let same = |seen: &&Remembered| {
            seen.base_sequence == sent && seen.last_offset_delta == batch.last_offset_delta
        };
        if let Some(seen) = known.batches.iter().find(same) {
            return Ok(Verdict::Duplicate(*seen));
        }
        match known.batches.back().map(Remembered::last_sequence) {
            None => Ok(Verdict::New),
            Some(last) if sent == (last.wrapping_add(1) & i32::MAX) => Ok(Verdict::New),
            Some(last) => Err(SequenceError::OutOfOrder { producer, sent, last }),
        }
    }

    /// Notes a batch that is in the log now.
    pub(crate) fn note(&mut self, batch: &BatchHeader) {
        if !batch.has_producer() {
            return;
        }
        let fresh = || Producer { epoch: batch.producer_epoch, last_timestamp: 0, batches: VecDeque::new() };
        let producer = self.0.entry(batch.producer_id).or_insert_with(fresh);
        if batch.producer_epoch > producer.epoch {
            *producer = fresh();
        }
        producer.last_timestamp = batch.max_timestamp;
        if batch.base_sequence < 0 {
            return;
        }
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            base_sequence: batch.base_sequence,
            last_offset_delta: batch.last_offset_delta,
            base_offset: batch.base_offset,
        });
    }

    /// Forgets producers whose last batch is older than `timestamp`.
    pub(crate) fn expire(&mut self, timestamp: Timestamp) {
        self.0.retain(|_, producer| producer.last_timestamp >= timestamp);
    }
}

#[cfg(test)]
mod tests;
