//! Message sets of formats 0 and 1, which producers older than Kafka 0.11 send, turned into one batch of format 2.
//!
//! A set is a row of messages: offset (64 bits) and size (32), then checksum (CRC-32 of all behind it), format,
//! attributes, a timestamp in format 1, key and value with their lengths (32 bits, -1 for none); all big-endian. A
//! compressed message's value is a set again, of messages of the same format that are not compressed. Offsets in what
//! a producer sends mean nothing, neither the absolute ones within a wrapper of format 0 nor the relative ones of
//! format 1: records are numbered as they come.

use crate::{
    build::{BatchMeta, PushError},
    compression::{Compressor, Scratch},
    error::{BatchError, RecordFault},
    header::{BatchHeader, Codec},
    ids::{NO_TIMESTAMP, Timestamp},
    kafka::KafkaBatchBuilder,
    view::Headers,
};

/// Offset and size, which a message's size does not count.
const OVERHEAD_LEN: usize = 12;
/// Attributes: the lowest three bits are the codec.
const CODEC_MASK: u8 = 0b111;
/// Attributes: the timestamp is the log's, which a producer may not say.
const LOG_APPEND_TIME: u8 = 1 << 3;

/// Why a message set is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageSetError {
    /// It does not parse, or says what a producer may not say.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// As one batch it passes the limit.
    #[error(transparent)]
    Push(#[from] PushError),
    /// It holds no message.
    #[error("an empty message set")]
    Empty,
}

/// One message, borrowed.
#[derive(Debug, Clone, Copy)]
struct Message<'a> {
    format: i8,
    codec: Codec,
    timestamp: Timestamp,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

/// Turns a message set into one batch of format 2, compressed with the codec of its first compressed message, and puts
/// it into `out` as [`KafkaBatchBuilder::finish`] does. Messages of format 0 have no timestamp. Returns the batch's
/// header, with neither offset nor leader epoch assigned, and whether some record has no key.
///
/// `builder` carries the limit: the longest batch before compression, in bytes. What it held is dropped.
///
/// # Errors
/// [`MessageSetError`]; `out` is as before then.
pub fn to_batch(
    set: &[u8],
    scratch: &mut Scratch,
    builder: &mut KafkaBatchBuilder,
    compressor: &mut Compressor,
    out: &mut Vec<u8>,
) -> Result<(BatchHeader, bool), MessageSetError> {
    builder.clear();
    let mut codec = Codec::None;
    let mut has_null_key = false;
    let mut rest = set;
    while !rest.is_empty() {
        let index = builder.count();
        let message = take_message(&mut rest, index)?;
        if message.codec == Codec::None {
            has_null_key |= push(builder, &message)?;
            continue;
        }
        if codec == Codec::None {
            codec = message.codec;
        }
        let wrapped = message.value.ok_or(fault(index, RecordFault::Nesting))?;
        let mut inner = scratch.decompress(message.codec, wrapped).map_err(BatchError::from)?;
        while !inner.is_empty() {
            let index = builder.count();
            let nested = take_message(&mut inner, index)?;
            if nested.codec != Codec::None || nested.format != message.format {
                return Err(fault(index, RecordFault::Nesting).into());
            }
            has_null_key |= push(builder, &nested)?;
        }
    }
    let header = builder.finish(&BatchMeta::PLAIN, codec, compressor, out).ok_or(MessageSetError::Empty)?;
    Ok((header, has_null_key))
}

/// Appends a message's record. Returns whether it has no key.
fn push(builder: &mut KafkaBatchBuilder, message: &Message<'_>) -> Result<bool, PushError> {
    builder.push(message.timestamp, message.key, message.value, Headers::EMPTY)?;
    Ok(message.key.is_none())
}

const fn fault(index: u32, fault: RecordFault) -> BatchError {
    BatchError::Record { index, fault }
}

fn take_message<'a>(rest: &mut &'a [u8], index: u32) -> Result<Message<'a>, BatchError> {
    let truncated = fault(index, RecordFault::Truncated);
    let overhead = rest.split_off(..OVERHEAD_LEN).ok_or(truncated)?;
    let size = overhead.last_chunk().map_or(0, |size| i32::from_be_bytes(*size));
    let size = usize::try_from(size).map_err(|_| fault(index, RecordFault::Length))?;
    let mut body = rest.split_off(..size).ok_or(truncated)?;
    let checksum = take(&mut body).map(u32::from_be_bytes).ok_or(fault(index, RecordFault::Length))?;
    // The format tells what the rest means, so it is judged before the sum.
    let format = *body.first().ok_or(fault(index, RecordFault::Length))? as i8;
    if !matches!(format, 0 | 1) {
        return Err(BatchError::Format(format));
    }
    if crc32(body) != checksum {
        return Err(fault(index, RecordFault::Checksum));
    }
    take_fields(body, format).ok_or(fault(index, RecordFault::Length))?
}

/// The fields behind the checksum. `None` if they are not as long as the message.
fn take_fields(mut body: &[u8], format: i8) -> Option<Result<Message<'_>, BatchError>> {
    let [_, attributes] = take(&mut body)?;
    let timestamp = if format == 0 { NO_TIMESTAMP } else { i64::from_be_bytes(take(&mut body)?) };
    let key = take_bytes(&mut body)?;
    let value = take_bytes(&mut body)?;
    if !body.is_empty() {
        return None;
    }
    let number = attributes & CODEC_MASK;
    // Zstandard came with format 2.
    let codec = match Codec::from_number(number) {
        Some(codec) if codec != Codec::Zstd => codec,
        _ => return Some(Err(BatchError::Codec(number))),
    };
    if format == 1 && attributes & LOG_APPEND_TIME != 0 {
        return Some(Err(BatchError::TimestampType));
    }
    Some(Ok(Message { format, codec, timestamp, key, value }))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.first_chunk().copied()
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match i32::from_be_bytes(take(bytes)?) {
        -1 => Some(None),
        len => Some(Some(bytes.split_off(..usize::try_from(len).ok()?)?)),
    }
}

/// The checksum of these formats: CRC-32 as gzip has it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests;
