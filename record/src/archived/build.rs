//! Writing an archived payload.

use crate::{
    archived::columns::{Columns, NULL},
    build::{BUILT_LEN_MAX, BatchMeta, PushError},
    checksum::crc32c,
    header::{BatchHeader, Codec, Encoding, HEADER_LEN},
    ids::Timestamp,
    kafka::{KAFKA_HEADER_LEN, build::Record},
    view::Headers,
};
use rkyv::{api::low, rancor::Panic, ser::allocator::SubAllocator};

/// Collects records into archived batches; its memory is reused from batch to batch.
#[derive(Debug)]
pub struct ArchivedBatchBuilder {
    columns: Columns,
    /// Length of the batch in Kafka's encoding, which is what limits it.
    kafka_len: usize,
    kafka_len_max: usize,
    /// What timestamps in Kafka's encoding count from; the first record's where it is not set before.
    base_timestamp: Option<Timestamp>,
    max_timestamp: Timestamp,
    last_offset_delta: u32,
}

impl ArchivedBatchBuilder {
    /// Builds batches that have at most `kafka_len_max` bytes when a Kafka client reads them: the `max.message.bytes`
    /// of their topic.
    #[must_use]
    pub fn new(kafka_len_max: usize) -> Self {
        Self {
            columns: Columns::default(),
            kafka_len: KAFKA_HEADER_LEN,
            kafka_len_max: kafka_len_max.min(BUILT_LEN_MAX),
            base_timestamp: None,
            max_timestamp: 0,
            last_offset_delta: 0,
        }
    }

    /// Sets what timestamps in Kafka's encoding count from, where it is not the first record's: the delete horizon of
    /// a compacted batch. To be called before the first record.
    pub fn set_base_timestamp(&mut self, base_timestamp: Timestamp) {
        debug_assert!(self.is_empty(), "the base is set before the first record");
        self.base_timestamp = Some(base_timestamp);
    }

    /// Appends a record, at the offset behind the last.
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
        let offset_delta = if self.is_empty() { 0 } else { self.last_offset_delta + 1 };
        self.append(offset_delta, timestamp, key, value, headers)?;
        if !self.columns.offset_deltas.is_empty() {
            self.columns.offset_deltas.push(offset_delta);
        }
        Ok(())
    }

    /// Appends a record at an offset from the base that leaves a gap, as compaction does.
    ///
    /// # Errors
    /// As [`ArchivedBatchBuilder::push`], and [`PushError::OutOfOrder`] if the offset is not behind the last record's,
    /// or beyond what Kafka's encoding can say.
    pub fn push_at(
        &mut self,
        offset_delta: u32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<(), PushError> {
        let count = self.count();
        let next = if count == 0 { 0 } else { self.last_offset_delta + 1 };
        if offset_delta < next || offset_delta > i32::MAX as u32 {
            return Err(PushError::OutOfOrder);
        }
        self.append(offset_delta, timestamp, key, value, headers)?;
        if offset_delta != count && self.columns.offset_deltas.is_empty() {
            self.columns.offset_deltas.extend(0..count);
        }
        if offset_delta != count || !self.columns.offset_deltas.is_empty() {
            self.columns.offset_deltas.push(offset_delta);
        }
        Ok(())
    }

    #[inline]
    fn append(
        &mut self,
        offset_delta: u32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<(), PushError> {
        let columns = &mut self.columns;
        let base_timestamp = self.base_timestamp.unwrap_or(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let kafka_len = self.kafka_len + Record { timestamp_delta, offset_delta, key, value, headers }.len();
        if kafka_len > self.kafka_len_max {
            return Err(PushError::of(columns.timestamps.len() as u32, kafka_len, self.kafka_len_max));
        }
        if !headers.is_empty() && columns.header_ends.is_empty() {
            // The first headers of the batch: those before have ended with their values.
            columns.header_ends.extend(columns.value_ends.iter().map(|end| end & !NULL));
        }
        let with_headers = !headers.is_empty() || !columns.header_ends.is_empty();
        columns.arena.extend_from_slice(key.unwrap_or_default());
        columns.key_ends.push(end_of(&columns.arena, key));
        columns.arena.extend_from_slice(value.unwrap_or_default());
        columns.value_ends.push(end_of(&columns.arena, value));
        if with_headers {
            columns.arena.extend_from_slice(headers.block());
            columns.header_ends.push(columns.arena.len() as u32);
        }
        self.max_timestamp =
            if columns.timestamps.is_empty() { timestamp } else { self.max_timestamp.max(timestamp) };
        columns.timestamps.push(timestamp);
        self.base_timestamp = Some(base_timestamp);
        self.kafka_len = kafka_len;
        self.last_offset_delta = offset_delta;
        Ok(())
    }

    /// Records so far.
    #[inline]
    #[must_use]
    pub fn count(&self) -> u32 {
        self.columns.timestamps.len() as u32
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.timestamps.is_empty()
    }

    /// Length of the batch so far in Kafka's encoding, in bytes: what the limit counts.
    #[inline]
    #[must_use]
    pub const fn kafka_len(&self) -> usize {
        self.kafka_len
    }

    /// Appends header and payload to `out` and starts the next batch. Returns the header, with neither offset nor
    /// leader epoch assigned; `None` if there is no record.
    pub fn finish(&mut self, meta: &BatchMeta, out: &mut Vec<u8>) -> Option<BatchHeader> {
        if self.is_empty() {
            return None;
        }
        let mut header = meta.header(Encoding::Archived, Codec::None);
        header.record_count = self.count();
        header.last_offset_delta = self.last_offset_delta;
        header.base_timestamp = self.base_timestamp.unwrap_or_default();
        header.max_timestamp = self.max_timestamp;
        header.kafka_len = self.kafka_len as u32;
        let at = out.len();
        out.resize(at + HEADER_LEN, 0);
        // Writing to a Vec does not fail, and columns of numbers need nothing of the allocator.
        let Ok(_) =
            low::to_bytes_in_with_alloc::<_, _, Panic>(&self.columns, &mut *out, SubAllocator::new(&mut []));
        let payload = &out[at + HEADER_LEN..];
        header.payload_len = payload.len() as u32;
        header.payload_checksum = crc32c(payload);
        out[at..at + HEADER_LEN].copy_from_slice(&header.pack());
        self.clear();
        Some(header)
    }

    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        let columns = &mut self.columns;
        columns.timestamps.clear();
        columns.offset_deltas.clear();
        columns.key_ends.clear();
        columns.value_ends.clear();
        columns.header_ends.clear();
        columns.arena.clear();
        self.kafka_len = KAFKA_HEADER_LEN;
        self.base_timestamp = None;
        self.last_offset_delta = 0;
    }
}

#[inline]
fn end_of(arena: &[u8], field: Option<&[u8]>) -> u32 {
    arena.len() as u32 | if field.is_none() { NULL } else { 0 }
}
