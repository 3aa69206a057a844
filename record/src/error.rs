//! Why a batch is refused.

use crate::{compression::DecompressError, header::HeaderError};

/// Why bytes are no batch, or none that may be appended. Small and `Copy`: it travels in every step of an iterator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("batch of {need} bytes, of which {have} are here")]
    Truncated {
        /// Bytes that the batch says it has, or that any batch has.
        need: usize,
        /// Bytes that are here.
        have: usize,
    },
    /// The batch's length field is too small for a batch.
    #[error("batch length {0} does not fit the batch")]
    Length(i32),
    /// More came than one batch.
    #[error("batch of {need} bytes, of which {have} are here")]
    Excess {
        /// Bytes that the batch says it has.
        need: usize,
        /// Bytes that are here.
        have: usize,
    },
    /// Larger than the topic admits.
    #[error("batch of {len} bytes, the limit is {max}")]
    TooLarge {
        /// Length of the batch, in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// A message format that is not read here.
    #[error("message format {0} is not supported here")]
    Format(i8),
    /// The bytes are not those that were sent or written.
    #[error("batch checksum is {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// What the batch says.
        stored: u32,
        /// What its bytes sum up to.
        computed: u32,
    },
    /// Attributes that nobody has given a meaning, or that a producer may not set.
    #[error("batch attributes {0:#06x} are not allowed here")]
    Attributes(u16),
    /// A codec that nobody has given a meaning, or that the message format does not have.
    #[error("compression codec {0} is unknown")]
    Codec(u8),
    /// The number of records contradicts the offsets, or the bytes.
    #[error("batch of {count} records with last offset delta {last_offset_delta}")]
    RecordCount {
        /// What the batch says it holds.
        count: i32,
        /// The last record's offset, from the base.
        last_offset_delta: i32,
    },
    /// Base offset, producer id, epoch or sequence negative where it may not be.
    #[error("batch field `{0}` is out of range")]
    Field(&'static str),
    /// Control records are the log's own: no producer sends them.
    #[error("a control batch from a producer")]
    Control,
    /// A producer claims that the log set its timestamps.
    #[error("a producer set the timestamp type to log append time")]
    TimestampType,
    /// A record that does not parse.
    #[error("record {index}: {fault}")]
    Record {
        /// Its number in the batch, from 0.
        index: u32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// Bytes behind the last record.
    #[error("bytes behind the last record")]
    Trailing,
    /// The compressed records do not decompress.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// An archived payload that breaks a rule of its layout.
    #[error("archived payload: {0}")]
    Archived(&'static str),
    /// The batch header does not read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Batch header and payload contradict each other.
    #[error("batch header and payload differ in `{0}`")]
    Mismatch(&'static str),
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// It goes on behind the end of the batch, or its fields behind its own.
    #[error("it ends too early")]
    Truncated,
    /// Its own length is negative, or not that of its fields.
    #[error("its length is not that of its fields")]
    Length,
    /// Its offset does not follow the record before, or passes the batch's last.
    #[error("its offset is out of order")]
    OffsetDelta,
    /// Key or value of a negative length other than that of none.
    #[error("its key or value has a negative length")]
    NegativeLength,
    /// Its headers do not parse, or do not fill it.
    #[error("its headers do not parse")]
    Headers,
    /// A message of format 0 or 1 whose checksum is wrong.
    #[error("its checksum is wrong")]
    Checksum,
    /// A message within a compressed message that is compressed again, or of another format.
    #[error("it is nested in a way that no producer writes")]
    Nesting,
}
