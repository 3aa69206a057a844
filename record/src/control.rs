//! Control batches: records that the log itself writes, in Kafka's own format, which consumers are not shown.
//!
//! A key of two numbers of 16 bits, big-endian: version and type. The end of a transaction has a value of a version
//! (16 bits) and the coordinator's epoch (32 bits). Later versions may append to either; readers take what they know.

use crate::{
    batch::Batch,
    build::BatchMeta,
    compression::{Compressor, Scratch},
    error::BatchError,
    header::{Attributes, BatchHeader, Codec},
    ids::{ProducerEpoch, ProducerId, Timestamp},
    kafka::KafkaBatchBuilder,
    view::{Headers, RecordView},
};

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRecord {
    /// The end of a producer's transaction in this partition.
    EndTransaction(EndTransaction),
    /// A type of a later release or of another part of Kafka (leader changes, snapshots): to be passed over.
    Other(i16),
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTransaction {
    /// Whether its records are visible.
    pub committed: bool,
    /// Epoch of the transaction coordinator that said so.
    pub coordinator_epoch: i32,
}

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 0;
const TYPE_ABORT: i16 = 0;
const TYPE_COMMIT: i16 = 1;

/// Why a record is no control record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The batch does not read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The batch has not the control flag, or holds no record.
    #[error("the batch holds no control record")]
    NotControl,
    /// The key is none, shorter than version and type, or of a negative version.
    #[error("broken key of a control record")]
    Key,
    /// The value is none, shorter than version and epoch, or of a negative version.
    #[error("broken value of a control record")]
    Value,
}

impl EndTransaction {
    /// The longest such batch.
    const BATCH_LEN_MAX: usize = 128;

    /// The marker's batch in Kafka's encoding, and its header, with neither offset nor leader epoch assigned.
    #[must_use]
    pub fn encode(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        timestamp: Timestamp,
    ) -> (BatchHeader, Vec<u8>) {
        let kind = if self.committed { TYPE_COMMIT } else { TYPE_ABORT };
        let [key_high, key_low] = KEY_VERSION.to_be_bytes();
        let [type_high, type_low] = kind.to_be_bytes();
        let mut value = [0; 6];
        value[..2].copy_from_slice(&VALUE_VERSION.to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let meta = BatchMeta {
            attributes: Attributes::TRANSACTIONAL.with(Attributes::CONTROL),
            producer_id,
            producer_epoch,
            ..BatchMeta::PLAIN
        };
        let mut builder = KafkaBatchBuilder::new(Self::BATCH_LEN_MAX);
        builder
            .push(timestamp, Some(&[key_high, key_low, type_high, type_low]), Some(&value), Headers::EMPTY)
            .expect("a marker is far shorter than the limit");
        let mut batch = Vec::new();
        let header = builder.finish(&meta, Codec::None, &mut Compressor::new(), &mut batch);
        (header.expect("there is a record"), batch)
    }
}

impl ControlRecord {
    /// What the control batch `batch` says. It holds one record.
    ///
    /// # Errors
    /// [`ControlError`] if it is none.
    pub fn of(batch: &Batch<'_>, scratch: &mut Scratch) -> Result<Self, ControlError> {
        if !batch.header().attributes.is_control() {
            return Err(ControlError::NotControl);
        }
        let record = batch.records(scratch)?.next().ok_or(ControlError::NotControl)??;
        Self::parse(&record)
    }

    /// What one record of a control batch says.
    ///
    /// # Errors
    /// [`ControlError::Key`] or [`ControlError::Value`] if it does not parse.
    pub fn parse(record: &RecordView<'_>) -> Result<Self, ControlError> {
        let key = record.key.and_then(|key| key.first_chunk::<4>()).ok_or(ControlError::Key)?;
        if i16::from_be_bytes([key[0], key[1]]) < 0 {
            return Err(ControlError::Key);
        }
        let committed = match i16::from_be_bytes([key[2], key[3]]) {
            TYPE_ABORT => false,
            TYPE_COMMIT => true,
            other => return Ok(Self::Other(other)),
        };
        let value = record.value.and_then(|value| value.first_chunk::<6>()).ok_or(ControlError::Value)?;
        if i16::from_be_bytes([value[0], value[1]]) < 0 {
            return Err(ControlError::Value);
        }
        let coordinator_epoch = i32::from_be_bytes([value[2], value[3], value[4], value[5]]);
        Ok(Self::EndTransaction(EndTransaction { committed, coordinator_epoch }))
    }
}

#[cfg(test)]
mod tests;
