//! The fixed part of a batch of message format 2: 61 bytes, big-endian.

use crate::{
    error::BatchError,
    header::{Attributes, BatchHeader, Codec, Encoding},
    ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp},
};

/// Bytes of a batch before its records.
pub const KAFKA_HEADER_LEN: usize = 61;
/// The message format that is stored and served; Kafka's "magic".
pub const FORMAT: i8 = 2;

/// Base offset and length, which a batch's own length does not count.
pub(crate) const OVERHEAD_LEN: usize = 12;
/// The shortest that a batch's length field can say.
pub(crate) const LENGTH_MIN: i32 = (KAFKA_HEADER_LEN - OVERHEAD_LEN) as i32;
/// What the CRC covers starts here, and ends with the batch.
pub(crate) const CHECKED_START: usize = 21;

const FORMAT_AT: usize = 16;
/// The lower byte of the attributes, which has all that have a meaning.
const ATTRIBUTES_AT: usize = 22;
const CODEC_MASK: u16 = 0b111;

/// The fields as they stand, believed in nothing but their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) base_offset: Offset,
    pub(crate) length: i32,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) crc: u32,
    pub(crate) attributes: u16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: Timestamp,
    pub(crate) max_timestamp: Timestamp,
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: ProducerEpoch,
    pub(crate) base_sequence: Sequence,
    pub(crate) record_count: i32,
}

/// The message format of the first batch or message in `bytes`, at the same place in all formats; `None` if they end
/// before it.
#[must_use]
pub fn format_of(bytes: &[u8]) -> Option<i8> {
    bytes.get(FORMAT_AT).map(|&byte| byte as i8)
}

/// Whether the first batch in `bytes`, unchecked as it is, says that it belongs to a transaction. Older formats know
/// none.
#[must_use]
pub fn claims_transaction(bytes: &[u8]) -> bool {
    format_of(bytes) == Some(FORMAT)
        && bytes.get(ATTRIBUTES_AT).is_some_and(|bits| bits & Attributes::TRANSACTIONAL.bits() != 0)
}

impl Fields {
    /// Reads the fields at the front of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        match format_of(bytes) {
            Some(FORMAT) => {}
            Some(other) => return Err(BatchError::Format(other)),
            None => return Err(BatchError::Truncated { need: KAFKA_HEADER_LEN, have: bytes.len() }),
        }
        let Some(bytes) = bytes.first_chunk::<KAFKA_HEADER_LEN>() else {
            return Err(BatchError::Truncated { need: KAFKA_HEADER_LEN, have: bytes.len() });
        };
        Ok(Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            length: i32::from_be_bytes(field(bytes, 8)),
            leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: u16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        })
    }

    /// The fields' bytes.
    pub(crate) fn pack(&self) -> [u8; KAFKA_HEADER_LEN] {
        let mut bytes = [0; KAFKA_HEADER_LEN];
        bytes[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.leader_epoch.to_be_bytes());
        bytes[FORMAT_AT] = FORMAT as u8;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }

    /// The fields of the batch that `header` describes, in Kafka's encoding.
    pub(crate) fn of(header: &BatchHeader) -> Self {
        Self {
            base_offset: header.base_offset,
            length: header.kafka_len.wrapping_sub(OVERHEAD_LEN as u32) as i32,
            leader_epoch: header.leader_epoch,
            crc: header.payload_checksum,
            attributes: u16::from(header.attributes.bits()) | header.codec as u16,
            last_offset_delta: header.last_offset_delta as i32,
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            record_count: header.record_count as i32,
        }
    }

    /// Codec and flags out of Kafka's attributes.
    pub(crate) fn codec_and_flags(&self) -> Result<(Codec, Attributes), BatchError> {
        let codec = (self.attributes & CODEC_MASK) as u8;
        let codec = Codec::from_number(codec).ok_or(BatchError::Codec(codec))?;
        let flags = u8::try_from(self.attributes & !CODEC_MASK).ok().and_then(Attributes::from_bits);
        Ok((codec, flags.ok_or(BatchError::Attributes(self.attributes))?))
    }

    /// The batch header for these fields, which its caller has checked: no number but the offset may be negative where
    /// the header has none.
    pub(crate) fn header(&self, codec: Codec, attributes: Attributes) -> BatchHeader {
        let len = (self.length + OVERHEAD_LEN as i32) as u32;
        BatchHeader {
            encoding: Encoding::Kafka,
            codec,
            attributes,
            producer_epoch: self.producer_epoch,
            base_offset: self.base_offset,
            last_offset_delta: self.last_offset_delta as u32,
            record_count: self.record_count as u32,
            leader_epoch: self.leader_epoch,
            payload_len: len,
            kafka_len: len,
            schema_id: 0,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            base_sequence: self.base_sequence,
            payload_checksum: self.crc,
        }
    }
}

/// Writes offset and leader epoch, which lie outside the CRC, into a batch.
///
/// # Panics
/// If `batch` is shorter than Kafka's header; likewise in the others below.
#[inline]
pub(crate) fn set_offset_and_epoch(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Writes the time of the append into a batch, which takes a new CRC over all of it. Returns the CRC.
pub(crate) fn set_append_time(batch: &mut [u8], append_time: Timestamp) -> u32 {
    batch[ATTRIBUTES_AT] |= Attributes::LOG_APPEND_TIME.bits();
    batch[35..43].copy_from_slice(&append_time.to_be_bytes());
    let crc = crate::checksum::crc32c(&batch[CHECKED_START..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    crc
}

#[inline]
fn field<const N: usize>(bytes: &[u8; KAFKA_HEADER_LEN], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("every field lies within the header")
}
