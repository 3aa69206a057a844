//! The batch header: 80 bytes, little-endian, written and read by hand.
//!
//! The first and the last fields (magic, version, payload length, checksum) keep their places in every version to
//! come, so that a reader tells rot from a newer format: the checksum is looked at before the version.

use crate::{
    checksum::crc32c,
    ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, SchemaId, Sequence, Timestamp},
};

/// Length of a header, in bytes.
pub const HEADER_LEN: usize = 80;
/// The first byte of every batch. Four bits away from zero and eight from [`PADDING`]: no single flipped bit turns a
/// batch into padding or into space never written.
pub const MAGIC: u8 = 0x4d;
/// The byte that fills the rest of a block behind the last batch written in it, from one byte up to all but one.
pub const PADDING: u8 = !MAGIC;
/// The version written, and the only one read.
pub const VERSION: u8 = 1;
/// The longest payload, and the longest batch in Kafka's encoding: Kafka counts in `i32`.
pub const PAYLOAD_LEN_MAX: u32 = i32::MAX as u32;

/// What the header checksum covers: all before it.
const CHECKED_LEN: usize = HEADER_LEN - 4;

/// How the payload is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// The project's columns, read in place.
    Archived = 1,
    /// A batch of Kafka's message format 2, byte for byte as the producer sent it, except for its base offset and
    /// leader epoch.
    Kafka = 2,
}

/// How the records of a batch are compressed; the numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0,
    /// gzip (RFC 1952).
    Gzip = 1,
    /// Snappy, raw or in the framing of Java's library.
    Snappy = 2,
    /// The frame format of LZ4.
    Lz4 = 3,
    /// Zstandard (RFC 8878).
    Zstd = 4,
}

impl Codec {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of this number, if Kafka has given it to one.
    #[inline]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Kafka's name for it, as in `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Who set the timestamps of a batch's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer: each record has its own.
    #[default]
    CreateTime,
    /// The log, on append: all records have the batch's maximum.
    LogAppendTime,
}

/// Flags of a batch, at the bits where Kafka's attributes have them (the codec, Kafka's lowest three bits, is apart).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attributes(u8);

impl Attributes {
    /// No flag set.
    pub const NONE: Self = Self(0);
    /// Timestamps are the log's: see [`TimestampType`].
    pub const LOG_APPEND_TIME: Self = Self(1 << 3);
    /// The batch belongs to a transaction of its producer.
    pub const TRANSACTIONAL: Self = Self(1 << 4);
    /// The batch holds a control record, which no consumer is shown.
    pub const CONTROL: Self = Self(1 << 5);
    /// The base timestamp is the time after which compaction may drop this batch's tombstones and markers.
    pub const DELETE_HORIZON: Self = Self(1 << 6);

    const KNOWN: u8 =
        Self::LOG_APPEND_TIME.0 | Self::TRANSACTIONAL.0 | Self::CONTROL.0 | Self::DELETE_HORIZON.0;

    /// The flags of these bits, if all are known.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::KNOWN == 0 { Some(Self(bits)) } else { None }
    }

    /// The bits.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// These flags and `other`'s.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags without `other`'s.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other`'s flags are set.
    #[inline]
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Who set the timestamps.
    #[inline]
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        if self.contains(Self::LOG_APPEND_TIME) {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[inline]
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.contains(Self::TRANSACTIONAL)
    }

    /// Whether the batch holds a control record.
    #[inline]
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.contains(Self::CONTROL)
    }
}

/// What the log knows of a batch without looking at its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Layout of the payload.
    pub encoding: Encoding,
    /// Compression of the payload's records; always none for the archived encoding.
    pub codec: Codec,
    /// Flags.
    pub attributes: Attributes,
    /// The producer's incarnation, or -1.
    pub producer_epoch: ProducerEpoch,
    /// Offset of the batch's first record; 0 until it is assigned.
    pub base_offset: Offset,
    /// Offset of the batch's last record, from the base. Compaction may have removed that record; the offset stays.
    pub last_offset_delta: u32,
    /// Records in the payload; none is left where compaction keeps a batch for its producer's state.
    pub record_count: u32,
    /// Epoch of the leader that appended the batch; -1 until it is assigned.
    pub leader_epoch: LeaderEpoch,
    /// Length of the payload behind this header, in bytes.
    pub payload_len: u32,
    /// Length of the batch as a Kafka client receives it, in bytes: what a fetch counts. Equal to `payload_len` for
    /// the kafka encoding.
    pub kafka_len: u32,
    /// The schema that the records' values were checked against, or 0.
    pub schema_id: SchemaId,
    /// What timestamps in Kafka's encoding count from: the first record's, or the delete horizon.
    pub base_timestamp: Timestamp,
    /// The largest timestamp of the records, or the time of the append.
    pub max_timestamp: Timestamp,
    /// The idempotent producer, or -1.
    pub producer_id: ProducerId,
    /// The producer's number of the first record, or -1.
    pub base_sequence: Sequence,
    /// CRC-32C of the payload; for the kafka encoding Kafka's own, which leaves out the first 21 bytes.
    pub payload_checksum: u32,
}

/// Why bytes are no batch header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("a batch header has {HEADER_LEN} bytes, here are {0}")]
    Truncated(usize),
    /// The first byte is not a batch's.
    #[error("a batch starts with {MAGIC:#04x}, here is {0:#04x}")]
    Magic(u8),
    /// The bytes are not those that were written.
    #[error("batch header checksum is {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// What the header says.
        stored: u32,
        /// What its bytes sum up to.
        computed: u32,
    },
    /// Whole, but written by a later release: nothing here may read, skip or cut it.
    #[error("batch version {0} was written by a later release; this one reads version {VERSION}")]
    Version(u8),
    /// Whole and of a known version, but a field has a value that no release writes.
    #[error("batch header field `{0}` has a value that is never written")]
    Field(&'static str),
}

impl BatchHeader {
    /// The header's bytes, with its checksum.
    #[inline]
    #[must_use]
    pub fn pack(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = MAGIC;
        bytes[1] = VERSION;
        bytes[2] = self.encoding as u8;
        bytes[3] = self.codec as u8;
        bytes[4] = self.attributes.bits();
        bytes[6..8].copy_from_slice(&self.producer_epoch.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.base_offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.last_offset_delta.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.record_count.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.leader_epoch.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.kafka_len.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.schema_id.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.base_timestamp.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.max_timestamp.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.producer_id.to_le_bytes());
        bytes[64..68].copy_from_slice(&self.base_sequence.to_le_bytes());
        bytes[68..72].copy_from_slice(&self.payload_checksum.to_le_bytes());
        let checksum = crc32c(&bytes[..CHECKED_LEN]);
        bytes[CHECKED_LEN..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// [`HeaderError`], in this order: too short, wrong magic, wrong checksum, unknown version, impossible field.
    #[inline]
    pub fn unpack(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(HeaderError::Truncated(bytes.len()));
        };
        if bytes[0] != MAGIC {
            return Err(HeaderError::Magic(bytes[0]));
        }
        let stored = u32::from_le_bytes(field(bytes, CHECKED_LEN));
        let computed = crc32c(&bytes[..CHECKED_LEN]);
        if stored != computed {
            return Err(HeaderError::Checksum { stored, computed });
        }
        if bytes[1] != VERSION {
            return Err(HeaderError::Version(bytes[1]));
        }
        if bytes[5] != 0 || field::<4>(bytes, 72) != [0; 4] {
            return Err(HeaderError::Field("reserved"));
        }
        let header = Self {
            encoding: match bytes[2] {
                1 => Encoding::Archived,
                2 => Encoding::Kafka,
                _ => return Err(HeaderError::Field("encoding")),
            },
            codec: Codec::from_number(bytes[3]).ok_or(HeaderError::Field("codec"))?,
            attributes: Attributes::from_bits(bytes[4]).ok_or(HeaderError::Field("attributes"))?,
            producer_epoch: i16::from_le_bytes(field(bytes, 6)),
            base_offset: i64::from_le_bytes(field(bytes, 8)),
            last_offset_delta: u32::from_le_bytes(field(bytes, 16)),
            record_count: u32::from_le_bytes(field(bytes, 20)),
            leader_epoch: i32::from_le_bytes(field(bytes, 24)),
            payload_len: u32::from_le_bytes(field(bytes, 28)),
            kafka_len: u32::from_le_bytes(field(bytes, 32)),
            schema_id: u32::from_le_bytes(field(bytes, 36)),
            base_timestamp: i64::from_le_bytes(field(bytes, 40)),
            max_timestamp: i64::from_le_bytes(field(bytes, 48)),
            producer_id: i64::from_le_bytes(field(bytes, 56)),
            base_sequence: i32::from_le_bytes(field(bytes, 64)),
            payload_checksum: u32::from_le_bytes(field(bytes, 68)),
        };
        header.check_fields()?;
        Ok(header)
    }

    /// What holds of every header that is ever written, whatever its checksum says.
    ///
    /// # Errors
    /// [`HeaderError::Field`] with the field that breaks the rule.
    #[inline]
    pub fn check_fields(&self) -> Result<(), HeaderError> {
        let rules = [
            (self.encoding == Encoding::Kafka || self.codec == Codec::None, "codec"),
            (self.last_offset_delta <= i32::MAX as u32, "last_offset_delta"),
            (self.record_count.saturating_sub(1) <= self.last_offset_delta, "record_count"),
            (self.base_offset >= 0, "base_offset"),
            (self.base_offset < i64::MAX - i64::from(self.last_offset_delta), "base_offset"),
            (self.payload_len <= PAYLOAD_LEN_MAX, "payload_len"),
            (self.kafka_len <= PAYLOAD_LEN_MAX, "kafka_len"),
            (self.encoding == Encoding::Archived || self.kafka_len == self.payload_len, "kafka_len"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, name)) => Err(HeaderError::Field(name)),
        }
    }

    /// Offset of the batch's last record.
    #[inline]
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        self.base_offset + self.last_offset_delta as i64
    }

    /// Offset of the record behind this batch.
    #[inline]
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.last_offset() + 1
    }

    /// Sequence number of the batch's last record, or -1 if it has none. Numbers wrap from `i32::MAX` to 0.
    #[inline]
    #[must_use]
    pub const fn last_sequence(&self) -> Sequence {
        if self.base_sequence < 0 {
            return -1;
        }
        (self.base_sequence.wrapping_add(self.last_offset_delta as i32)) & i32::MAX
    }

    /// Length of header and payload, in bytes.
    #[inline]
    #[must_use]
    pub const fn total_len(&self) -> usize {
        HEADER_LEN + self.payload_len as usize
    }

    /// Whether an idempotent producer sent the batch.
    #[inline]
    #[must_use]
    pub const fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }
}

#[inline]
fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("every field lies within the header")
}

/// What begins at a position of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A batch, or what was one: its header tells.
    Batch,
    /// Padding up to the end of the block.
    Padding,
    /// Space that was never written.
    Unwritten,
    /// Nothing that is ever written: damage.
    Unknown(u8),
}

impl Start {
    /// What a first byte announces.
    #[inline]
    #[must_use]
    pub const fn of(first: u8) -> Self {
        match first {
            MAGIC => Self::Batch,
            PADDING => Self::Padding,
            0 => Self::Unwritten,
            other => Self::Unknown(other),
        }
    }
}

/// How many bytes of padding fill the block that `position` lies in: none at the start of a block.
///
/// # Panics
/// If `block_size` is zero.
#[inline]
#[must_use]
pub const fn padding_len(position: u64, block_size: u64) -> u64 {
    (block_size - position % block_size) % block_size
}

/// Whether `bytes`, the rest of a block, are padding and nothing else. The empty rest is.
#[must_use]
pub fn is_padding(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == PADDING)
}

#[cfg(test)]
mod tests;
