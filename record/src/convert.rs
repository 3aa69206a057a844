//! From one encoding to the other.

use crate::{
    archived::{ArchivedBatch, ArchivedBatchBuilder},
    batch::Batch,
    build::{BatchMeta, PushError},
    compression::Scratch,
    error::BatchError,
    header::{BatchHeader, Codec, Encoding, HEADER_LEN},
    kafka::{
        KAFKA_HEADER_LEN,
        build::{Record, seal},
    },
};

/// Appends an archived batch in Kafka's encoding, uncompressed, to `out`: what a Kafka client is served. The same batch
/// always gives the same bytes, so that a client which fetches twice cannot tell. Returns the header of the batch that
/// was written.
///
/// # Errors
/// [`BatchError`] if the batch is not archived, does not read, or has another length in Kafka's encoding than its
/// header says; `out` is as before then.
pub fn to_kafka(batch: &Batch<'_>, out: &mut Vec<u8>) -> Result<BatchHeader, BatchError> {
    let at = out.len();
    let converted = append_kafka(batch, out);
    if converted.is_err() {
        out.truncate(at);
    }
    converted
}

/// A record's fields are written with this much room behind them, in bytes, which is taken back.
const ROOM_BEHIND: usize = 64;

fn append_kafka(batch: &Batch<'_>, out: &mut Vec<u8>) -> Result<BatchHeader, BatchError> {
    let header = batch.header();
    let archived = ArchivedBatch::open(header, batch.payload())?;
    // The header says how long it will be. It is believed as far as the payload bears it out: a record's overhead is at
    // most 32 bytes in Kafka's encoding, and 16 in its columns.
    let at = out.len();
    let len = header.kafka_len as usize;
    if len > KAFKA_HEADER_LEN + 2 * batch.payload().len() {
        return Err(BatchError::Mismatch("kafka_len"));
    }
    out.reserve(len + ROOM_BEHIND);
    out.resize(at + KAFKA_HEADER_LEN, 0);
    // Deltas count from the producer's timestamps, whoever sets those that readers see, as Kafka has it.
    for (record, timestamp) in archived.records().zip(archived.timestamps()) {
        let record = record?;
        let offset_delta = record.offset.wrapping_sub(header.base_offset) as u32;
        let timestamp_delta = timestamp.to_native().wrapping_sub(header.base_timestamp);
        let (key, value, headers) = (record.key, record.value, record.headers);
        Record { timestamp_delta, offset_delta, key, value, headers }.put(out);
    }
    if out.len() != at + len {
        return Err(BatchError::Mismatch("kafka_len"));
    }
    let mut kafka = BatchHeader { encoding: Encoding::Kafka, codec: Codec::None, ..*header };
    seal(&mut out[at..], &mut kafka);
    Ok(kafka)
}

/// Why a batch cannot be archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The batch does not read.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its records do not fit the builder: uncompressed they pass its limit, or their offsets do not rise.
    #[error(transparent)]
    Push(#[from] PushError),
}

/// Puts a batch of either encoding as an archived one, header and payload, into `out`, as
/// [`ArchivedBatchBuilder::finish`] does: same records, offsets and producer. Returns its header; `None` for a batch
/// without records. What `builder` held is dropped.
///
/// # Errors
/// [`ArchiveError`] if the batch does not read, or is too large for the builder; `out` is as before then.
pub fn to_archived(
    batch: &Batch<'_>,
    scratch: &mut Scratch,
    builder: &mut ArchivedBatchBuilder,
    out: &mut Vec<u8>,
) -> Result<Option<BatchHeader>, ArchiveError> {
    let source = *batch.header();
    builder.clear();
    builder.set_base_timestamp(source.base_timestamp);
    for record in batch.records(scratch)? {
        let record = record?;
        let offset_delta = u32::try_from(record.offset.wrapping_sub(source.base_offset));
        let in_range = offset_delta.ok().filter(|delta| *delta <= source.last_offset_delta);
        let offset_delta = in_range.ok_or(PushError::OutOfOrder)?;
        builder.push_at(offset_delta, record.timestamp, record.key, record.value, record.headers)?;
    }
    let meta = BatchMeta {
        attributes: source.attributes,
        producer_id: source.producer_id,
        producer_epoch: source.producer_epoch,
        base_sequence: source.base_sequence,
        schema_id: source.schema_id,
    };
    let Some(mut header) = builder.finish(&meta, out) else { return Ok(None) };
    header.base_offset = source.base_offset;
    header.leader_epoch = source.leader_epoch;
    header.last_offset_delta = source.last_offset_delta;
    header.max_timestamp = source.max_timestamp;
    out[..HEADER_LEN].copy_from_slice(&header.pack());
    Ok(Some(header))
}

#[cfg(test)]
mod tests;
