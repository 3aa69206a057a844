//! What flows through Millrace: record batches and the views into them. No I/O, no clock, no runtime.
//!
//! A **batch** is a [`BatchHeader`] of 80 bytes and a payload in one of two encodings: *archived*, the project's own
//! columns, and *kafka*, a producer's batch as it came. [`Batch::records`] gives the same [`RecordView`] over both, in
//! place. `docs/formats.md` shows every byte.
//!
//! | module | what |
//! |---|---|
//! | [`ids`] | topic ids and the plain numbers that everything else speaks of |
//! | [`header`] | the batch header and the padding rule |
//! | [`checksum`] | the one checksum of the disk format, and what covers what |
//! | `batch`, `view` | [`Batch`], [`RecordView`] and its [`Headers`] |
//! | `assign` | [`Assignment`]: offset, leader epoch and append time, in place |
//! | `archived` | the archived encoding: [`ArchivedBatchBuilder`], [`ArchivedBatch`] |
//! | [`kafka`] | the kafka encoding: the door for producers' batches, and [`KafkaBatchBuilder`] |
//! | [`convert`] | from one encoding to the other |
//! | [`message_set`] | what producers older than Kafka 0.11 send |
//! | [`control`] | the log's own records: the ends of transactions |
//! | [`compression`] | Kafka's codecs, both ways, with caps |
//!
//! Bytes of a peer and of a disk go through a door once: [`kafka::validate`] and [`message_set::to_batch`] for what
//! producers send, [`Batch::split_first`] and [`Batch::check`] for what a disk holds. Behind the doors nothing is
//! checked twice for its meaning, but every read stays within bounds whatever the bytes: there is no unsafe code here.

#![forbid(unsafe_code)]

mod archived;
mod assign;
mod batch;
mod build;
pub mod checksum;
pub mod compression;
pub mod control;
pub mod convert;
mod error;
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod goldens;
pub mod header;
pub mod ids;
pub mod kafka;
pub mod message_set;
#[cfg(test)]
mod model;
mod varint;
mod view;

pub use archived::{ArchivedBatch, ArchivedBatchBuilder, ArchivedRecords};
pub use assign::Assignment;
pub use batch::{Batch, Records, SharedBatch};
pub use build::{BatchMeta, PushError};
pub use compression::{Compressor, DecompressError, Scratch};
pub use control::{ControlRecord, EndTransaction};
pub use error::{BatchError, RecordFault};
pub use header::{
    Attributes, BatchHeader, Codec, Encoding, HEADER_LEN, HeaderError, MAGIC, PADDING, Start, TimestampType,
};
pub use ids::{
    LeaderEpoch, NO_TIMESTAMP, Offset, PartitionIndex, ProducerEpoch, ProducerId, SchemaId, Sequence,
    Timestamp, TopicId,
};
pub use kafka::{KafkaBatchBuilder, KafkaBatchInfo};
pub use view::{Header, HeaderIter, Headers, HeadersBuf, RecordView};
