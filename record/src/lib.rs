//! What flows through Millrace: record batches and the views into them. No I/O, no clock, no runtime.
//!
//! A **batch** is a [`BatchHeader`] of 80 bytes and a payload in one of two encodings: *archived*, the project's own
//! columns, and *kafka*, a producer's batch as it came. `docs/formats.md` shows every byte.
//!
//! | module | what |
//! |---|---|
//! | [`ids`] | topic ids and the plain numbers that everything else speaks of |
//! | [`header`] | the batch header, its padding rule and the assignment of offsets in place |
//! | [`checksum`] | the one checksum of the disk format, and what covers what |

#![forbid(unsafe_code)]

pub mod checksum;
pub mod header;
pub mod ids;

pub use header::{
    Attributes, BatchHeader, Codec, Encoding, HEADER_LEN, HeaderError, MAGIC, PADDING, Start, TimestampType,
};
pub use ids::{
    LeaderEpoch, NO_TIMESTAMP, Offset, PartitionIndex, ProducerEpoch, ProducerId, SchemaId, Sequence,
    Timestamp, TopicId,
};
