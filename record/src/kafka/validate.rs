//! The door for batches of message format 2: what a batch must be before a byte of it is stored.

use crate::{
    checksum::crc32c,
    compression::Scratch,
    error::{BatchError, RecordFault},
    header::{Attributes, BatchHeader, Codec},
    kafka::{
        fields::{CHECKED_START, Fields, KAFKA_HEADER_LEN, LENGTH_MIN, OVERHEAD_LEN},
        records::{KafkaRecords, RECORD_LEN_MIN},
    },
};

/// Who a batch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer: offsets are still to be given, all records are there, nothing is the log's own.
    Producer,
    /// A log: another broker's, or a part of this one that writes control records. Offsets are assigned, compaction
    /// may have left gaps.
    Log,
}

/// What a door admits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest batch, in bytes, as sent: `max.message.bytes`.
    pub batch_len_max: usize,
    /// Who sends.
    pub origin: Origin,
}

/// What is known of a batch that passed the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KafkaBatchInfo {
    /// The header to store before it. From a producer, offset and leader epoch are still unassigned (0 and -1). The
    /// largest timestamp is that of the records if they were walked, and what the producer claims otherwise.
    pub header: BatchHeader,
    /// Whether some record has no key, which a compacted topic refuses; `None` if the records were not walked.
    pub has_null_key: Option<bool>,
}

/// Checks that `batch` is one whole batch which may be appended. Uncompressed records are walked; compressed ones are
/// covered by the checksum, and checked when they are read.
///
/// # Errors
/// [`BatchError`], with the size and the message format judged before the checksum, and all else behind it.
pub fn validate(batch: &[u8], limits: &Limits) -> Result<KafkaBatchInfo, BatchError> {
    let (header, records) = check_fields(batch, limits)?;
    match header.codec {
        Codec::None => walk(header, records, limits.origin),
        _ => Ok(KafkaBatchInfo { header, has_null_key: None }),
    }
}

/// As [`validate`], and walks compressed records too: for topics whose records must be known, such as compacted ones.
///
/// # Errors
/// As [`validate`].
pub fn validate_deep(
    batch: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<KafkaBatchInfo, BatchError> {
    let (header, records) = check_fields(batch, limits)?;
    match header.codec {
        Codec::None => walk(header, records, limits.origin),
        codec => walk(header, scratch.decompress(codec, records)?, limits.origin),
    }
}

fn check_fields<'a>(batch: &'a [u8], limits: &Limits) -> Result<(BatchHeader, &'a [u8]), BatchError> {
    let fields = Fields::parse(batch)?;
    if fields.length < LENGTH_MIN {
        return Err(BatchError::Length(fields.length));
    }
    let len = fields.length as usize + OVERHEAD_LEN;
    if len > limits.batch_len_max {
        return Err(BatchError::TooLarge { len, max: limits.batch_len_max });
    }
    if len > batch.len() {
        return Err(BatchError::Truncated { need: len, have: batch.len() });
    }
    if len < batch.len() {
        return Err(BatchError::Excess { need: len, have: batch.len() });
    }
    let computed = crc32c(&batch[CHECKED_START..]);
    if computed != fields.crc {
        return Err(BatchError::Checksum { stored: fields.crc, computed });
    }
    let (codec, flags) = fields.codec_and_flags()?;
    check_flags(flags, &fields, limits.origin)?;
    check_counts(&fields, limits.origin)?;
    check_producer(&fields, flags, limits.origin)?;
    // Offsets are the log's to give: a producer numbers its records from 0.
    if limits.origin == Origin::Producer && fields.base_offset != 0 {
        return Err(BatchError::Field("base_offset"));
    }
    let records = &batch[KAFKA_HEADER_LEN..];
    if codec == Codec::None && fields.record_count as usize > records.len() / RECORD_LEN_MIN {
        return Err(count_error(&fields));
    }
    let mut header = fields.header(codec, flags);
    match limits.origin {
        Origin::Producer => {
            header.base_offset = 0;
            header.leader_epoch = -1;
        }
        Origin::Log => header.check_fields()?,
    }
    Ok((header, records))
}

fn check_flags(flags: Attributes, fields: &Fields, origin: Origin) -> Result<(), BatchError> {
    if origin == Origin::Log {
        return Ok(());
    }
    if flags.is_control() {
        return Err(BatchError::Control);
    }
    if flags.contains(Attributes::LOG_APPEND_TIME) {
        return Err(BatchError::TimestampType);
    }
    if flags.contains(Attributes::DELETE_HORIZON) {
        return Err(BatchError::Attributes(fields.attributes));
    }
    Ok(())
}

fn count_error(fields: &Fields) -> BatchError {
    BatchError::RecordCount { count: fields.record_count, last_offset_delta: fields.last_offset_delta }
}

fn check_counts(fields: &Fields, origin: Origin) -> Result<(), BatchError> {
    let (count, offsets) = (i64::from(fields.record_count), i64::from(fields.last_offset_delta) + 1);
    let sound = offsets > 0
        && match origin {
            Origin::Producer => count == offsets,
            Origin::Log => count >= 0 && count <= offsets,
        };
    if sound { Ok(()) } else { Err(count_error(fields)) }
}

fn check_producer(fields: &Fields, flags: Attributes, origin: Origin) -> Result<(), BatchError> {
    let idempotent = fields.producer_id >= 0;
    if fields.producer_id < -1 || (flags.is_transactional() && !idempotent) {
        return Err(BatchError::Field("producer_id"));
    }
    if idempotent && fields.producer_epoch < 0 {
        return Err(BatchError::Field("producer_epoch"));
    }
    // Control batches have a producer, but no sequence.
    if idempotent && fields.base_sequence < 0 && origin == Origin::Producer {
        return Err(BatchError::Field("base_sequence"));
    }
    Ok(())
}

/// Reads every record once: whether it parses, its offset, its timestamp and whether it has a key.
fn walk(mut header: BatchHeader, records: &[u8], origin: Origin) -> Result<KafkaBatchInfo, BatchError> {
    let mut has_null_key = false;
    let mut max_timestamp = None;
    for (index, record) in (0u32..).zip(KafkaRecords::new(&header, records)) {
        let record = record?;
        if origin == Origin::Producer && record.offset != header.base_offset + i64::from(index) {
            return Err(BatchError::Record { index, fault: RecordFault::OffsetDelta });
        }
        has_null_key |= record.key.is_none();
        max_timestamp = max_timestamp.max(Some(record.timestamp));
    }
    header.max_timestamp = max_timestamp.unwrap_or(header.max_timestamp);
    Ok(KafkaBatchInfo { header, has_null_key: Some(has_null_key) })
}
