//! Records written in Kafka's encoding.

use crate::{
    build::{BUILT_LEN_MAX, BatchMeta, PushError},
    checksum::crc32c,
    compression::Compressor,
    header::{BatchHeader, Codec, Encoding},
    ids::Timestamp,
    kafka::fields::{CHECKED_START, Fields, KAFKA_HEADER_LEN},
    varint::{self, I32_LEN_MAX, I64_LEN_MAX, Short},
    view::Headers,
};

/// A record's fields between its length and its key: attributes, timestamp delta, offset delta, key length.
const PREFIX_CAPACITY: usize = (2 * I32_LEN_MAX + I64_LEN_MAX + 1).next_power_of_two();
/// One length.
const LENGTH_CAPACITY: usize = I32_LEN_MAX.next_power_of_two();

/// One record with its deltas, as it will be written.
pub(crate) struct Record<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: u32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

#[inline]
fn number_of(len: Option<&[u8]>) -> i64 {
    len.map_or(-1, |bytes| bytes.len() as i64)
}

impl Record<'_> {
    /// Length of all behind the length field.
    #[inline]
    fn body_len(&self) -> usize {
        1 + varint::len(self.timestamp_delta)
            + varint::len(i64::from(self.offset_delta))
            + varint::len(number_of(self.key))
            + self.key.map_or(0, <[u8]>::len)
            + varint::len(number_of(self.value))
            + self.value.map_or(0, <[u8]>::len)
            + self.headers.kafka_len()
    }

    /// Length of the whole record, in bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let body_len = self.body_len();
        varint::len(body_len as i64) + body_len
    }

    /// Appends the record to `out`.
    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut prefix = Short::<PREFIX_CAPACITY>::new();
        prefix.byte(0);
        prefix.number(self.timestamp_delta);
        prefix.number(i64::from(self.offset_delta));
        prefix.number(number_of(self.key));
        let mut value_len = Short::<LENGTH_CAPACITY>::new();
        value_len.number(number_of(self.value));
        let (key, value) = (self.key.unwrap_or_default(), self.value.unwrap_or_default());
        let headers = if self.headers.is_empty() { &[0] } else { self.headers.block() };
        let body_len = prefix.len() + key.len() + value_len.len() + value.len() + headers.len();
        let mut length = Short::<LENGTH_CAPACITY>::new();
        length.number(body_len as i64);
        length.put(out);
        prefix.put(out);
        out.extend_from_slice(key);
        value_len.put(out);
        out.extend_from_slice(value);
        out.extend_from_slice(headers);
    }
}

/// Seals `batch`, whose records are written behind the room for Kafka's header: puts that before them, and length and
/// checksum into `header`.
pub(crate) fn seal(batch: &mut [u8], header: &mut BatchHeader) {
    header.payload_len = batch.len() as u32;
    header.kafka_len = header.payload_len;
    batch[..KAFKA_HEADER_LEN].copy_from_slice(&Fields::of(header).pack());
    header.payload_checksum = crc32c(&batch[CHECKED_START..]);
    batch[CHECKED_START - 4..CHECKED_START].copy_from_slice(&header.payload_checksum.to_be_bytes());
}

/// Collects records into batches of message format 2; its memory is reused from batch to batch.
#[derive(Debug)]
pub struct KafkaBatchBuilder {
    /// Room for Kafka's header, then the records.
    batch: Vec<u8>,
    count: u32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    len_max: usize,
}

impl KafkaBatchBuilder {
    /// Builds batches of at most `len_max` bytes before compression.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        let len_max = len_max.min(BUILT_LEN_MAX);
        Self { batch: vec![0; KAFKA_HEADER_LEN], count: 0, base_timestamp: 0, max_timestamp: 0, len_max }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`PushError`]: the record does not fit this batch, or none. Nothing is appended then.
    #[inline]
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<(), PushError> {
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let record = Record { timestamp_delta, offset_delta: self.count, key, value, headers };
        // The bytes alone decide first, so that nothing huge is copied to be refused.
        let at = self.batch.len();
        let bytes_len = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers.kafka_len();
        if at + bytes_len < self.len_max {
            record.put(&mut self.batch);
            if self.batch.len() <= self.len_max {
                self.max_timestamp = self.max_timestamp.max(timestamp);
                self.count += 1;
                return Ok(());
            }
            self.batch.truncate(at);
        }
        Err(PushError::of(self.count, at + record.len(), self.len_max))
    }

    /// Records so far.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Length of the batch so far, before compression, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Puts the batch into `out` and starts the next. What `out` held is lost; uncompressed records are not copied
    /// again, but `out` and the builder exchange their memory.
    ///
    /// Returns the header, with neither offset nor leader epoch assigned; `None` if there is no record.
    pub fn finish(
        &mut self,
        meta: &BatchMeta,
        codec: Codec,
        compressor: &mut Compressor,
        out: &mut Vec<u8>,
    ) -> Option<BatchHeader> {
        let last_offset_delta = self.count.checked_sub(1)?;
        let mut header = meta.header(Encoding::Kafka, codec);
        header.last_offset_delta = last_offset_delta;
        header.record_count = self.count;
        header.base_timestamp = self.base_timestamp;
        header.max_timestamp = self.max_timestamp;
        if codec == Codec::None {
            std::mem::swap(&mut self.batch, out);
        } else {
            out.clear();
            out.resize(KAFKA_HEADER_LEN, 0);
            compressor.compress(codec, &self.batch[KAFKA_HEADER_LEN..], out);
        }
        seal(out, &mut header);
        self.clear();
        Some(header)
    }

    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.batch.resize(KAFKA_HEADER_LEN, 0);
        self.count = 0;
    }
}
