//! What the builders of both encodings share.

use crate::{
    header::{Attributes, BatchHeader, Codec, Encoding},
    ids::{ProducerEpoch, ProducerId, SchemaId, Sequence},
};

/// The longest batch that is ever built, in bytes: far below the 2 GiB that lengths can say, so that neither
/// compression of incompressible records nor the columns of short ones pass that.
pub(crate) const BUILT_LEN_MAX: usize = 1 << 28;

/// What a batch says about its records as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMeta {
    /// Flags.
    pub attributes: Attributes,
    /// The idempotent producer, or -1.
    pub producer_id: ProducerId,
    /// Its incarnation, or -1.
    pub producer_epoch: ProducerEpoch,
    /// Its number of the first record, or -1.
    pub base_sequence: Sequence,
    /// The schema of the records' values, or 0.
    pub schema_id: SchemaId,
}

impl BatchMeta {
    /// No flags, no producer, no schema.
    pub const PLAIN: Self = Self {
        attributes: Attributes::NONE,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        schema_id: 0,
    };

    /// A header that says this, of a batch without records, offset and leader epoch.
    pub(crate) const fn header(&self, encoding: Encoding, codec: Codec) -> BatchHeader {
        BatchHeader {
            encoding,
            codec,
            attributes: self.attributes,
            producer_epoch: self.producer_epoch,
            base_offset: 0,
            last_offset_delta: 0,
            record_count: 0,
            leader_epoch: -1,
            payload_len: 0,
            kafka_len: 0,
            schema_id: self.schema_id,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: self.producer_id,
            base_sequence: self.base_sequence,
            payload_checksum: 0,
        }
    }
}

impl Default for BatchMeta {
    fn default() -> Self {
        Self::PLAIN
    }
}

/// Why a record is not appended to a batch under construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// It fits the next batch: finish this one, then push it again.
    #[error("the batch is full")]
    Full,
    /// It fits no batch.
    #[error("a batch of this record alone has {len} bytes, the limit is {max}")]
    TooLarge {
        /// What the batch would have, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// Its offset is not behind the last record's, or beyond what a batch can span.
    #[error("offsets of a batch rise, by at most 2^31 - 1")]
    OutOfOrder,
}

impl PushError {
    /// For a record that brings a batch of `count` records before it to `len` bytes.
    #[cold]
    pub(crate) const fn of(count: u32, len: usize, max: usize) -> Self {
        if count == 0 { Self::TooLarge { len, max } } else { Self::Full }
    }
}
