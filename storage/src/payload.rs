//! Payloads against their headers: checking them, and telling a Kafka batch its offset.
//!
//! Kafka's own checksum leaves out the first 21 bytes of a batch; each of those repeats a field of our header.

use millrace_record::{BatchHeader, Encoding, checksum::crc32c};

/// Bytes of a Kafka batch that its checksum leaves out: base offset, length, leader epoch, magic, checksum.
const KAFKA_PREFIX_LEN: usize = 21;
/// Kafka's length field counts what follows it.
const KAFKA_LENGTH_END: usize = 12;
/// The message format of every Kafka batch in a log.
const KAFKA_MAGIC: u8 = 2;

/// The first bytes that a Kafka batch with this header has.
fn kafka_prefix(header: &BatchHeader) -> [u8; KAFKA_PREFIX_LEN] {
    let mut prefix = [0; KAFKA_PREFIX_LEN];
    prefix[..8].copy_from_slice(&header.base_offset.to_be_bytes());
    let length = header.payload_len.saturating_sub(KAFKA_LENGTH_END as u32);
    prefix[8..12].copy_from_slice(&length.to_be_bytes());
    prefix[12..16].copy_from_slice(&header.leader_epoch.to_be_bytes());
    prefix[16] = KAFKA_MAGIC;
    prefix[17..].copy_from_slice(&header.payload_checksum.to_be_bytes());
    prefix
}

/// A payload is not the one that its header was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload does not match its batch header")]
pub(crate) struct Mismatch;

/// Whether `payload` is what `header` was written with.
pub(crate) fn verify(header: &BatchHeader, payload: &[u8]) -> Result<(), Mismatch> {
    let summed = match header.encoding {
        Encoding::Archived => payload,
        Encoding::Kafka if payload.starts_with(&kafka_prefix(header)) => &payload[KAFKA_PREFIX_LEN..],
        Encoding::Kafka => return Err(Mismatch),
    };
    if payload.len() == header.payload_len as usize && crc32c(summed) == header.payload_checksum {
        Ok(())
    } else {
        Err(Mismatch)
    }
}

/// Writes what of `header` the payload repeats: after an offset or an epoch was given.
///
/// # Panics
/// If a Kafka payload is shorter than Kafka's own header: the door lets none pass.
pub(crate) fn stamp(header: &BatchHeader, payload: &mut [u8]) {
    if header.encoding == Encoding::Kafka {
        payload[..KAFKA_PREFIX_LEN].copy_from_slice(&kafka_prefix(header));
    }
}
