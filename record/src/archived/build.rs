//! Writing an archived payload.

use crate::{
    archived::columns::{Columns, NULL, Written},
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
    /// Room for the header, then the arena; the columns follow when the batch is finished.
    image: Vec<u8>,
    columns: Columns,
    /// Length of the batch in Kafka's encoding, which is what limits it.
    kafka_len: usize,
    kafka_len_max: usize,
    /// What timestamps in Kafka's encoding count from; the first record's where it is not set before.
    base_timestamp: Option<Timestamp>,
    max_timestamp: Timestamp,
    /// The least offset delta that the next record may have.
    next_offset_delta: u32,
}

impl ArchivedBatchBuilder {
    /// Builds batches that have at most `kafka_len_max` bytes when a Kafka client reads them: the `max.message.bytes`
    /// of their topic.
    #[must_use]
    pub fn new(kafka_len_max: usize) -> Self {
        Self {
            image: vec![0; HEADER_LEN],
            columns: Columns::default(),
            kafka_len: KAFKA_HEADER_LEN,
            kafka_len_max: kafka_len_max.min(BUILT_LEN_MAX),
            base_timestamp: None,
            max_timestamp: Timestamp::MIN,
            next_offset_delta: 0,
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
        self.append(self.next_offset_delta, timestamp, key, value, headers)
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
        if offset_delta < self.next_offset_delta || offset_delta > i32::MAX as u32 {
            return Err(PushError::OutOfOrder);
        }
        self.append(offset_delta, timestamp, key, value, headers)
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
        let base_timestamp = self.base_timestamp.unwrap_or(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let record = Record { timestamp_delta, offset_delta, key, value, headers };
        let kafka_len = self.kafka_len + record.len();
        if kafka_len > self.kafka_len_max {
            return Err(PushError::of(self.count(), kafka_len, self.kafka_len_max));
        }
        self.image.extend_from_slice(key.unwrap_or_default());
        self.columns.key_ends.push(self.arena_end() | null_bit(key));
        self.image.extend_from_slice(value.unwrap_or_default());
        self.columns.value_ends.push(self.arena_end() | null_bit(value));
        self.columns.timestamps.push(timestamp);
        if !headers.is_empty() || !self.columns.header_ends.is_empty() {
            self.append_headers(headers);
        }
        if offset_delta + 1 != self.count() || !self.columns.offset_deltas.is_empty() {
            self.append_offset(offset_delta);
        }
        self.kafka_len = kafka_len;
        self.base_timestamp = Some(base_timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.next_offset_delta = offset_delta + 1;
        Ok(())
    }

    /// The headers of a record whose other columns are written.
    fn append_headers(&mut self, headers: Headers<'_>) {
        if self.columns.header_ends.is_empty() {
            // The first headers of the batch: the records before have ended with their values.
            let before = self.columns.value_ends.len() - 1;
            self.columns.header_ends.extend(self.columns.value_ends[..before].iter().map(|end| end & !NULL));
        }
        self.image.extend_from_slice(headers.block());
        self.columns.header_ends.push(self.arena_end());
    }

    /// The offset of a record whose other columns are written.
    fn append_offset(&mut self, offset_delta: u32) {
        if self.columns.offset_deltas.is_empty() {
            // The first gap of the batch: there was none before.
            self.columns.offset_deltas.extend(0..self.count() - 1);
        }
        self.columns.offset_deltas.push(offset_delta);
    }

    #[inline]
    fn arena_end(&self) -> u32 {
        (self.image.len() - HEADER_LEN) as u32
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

    /// Puts header and payload into `out` and starts the next batch. Records are not copied again: `out` is replaced
    /// by the memory they were pushed into, and what it held before becomes the memory of the next batch.
    ///
    /// Returns the header, with neither offset nor leader epoch assigned; `None` if there is no record.
    pub fn finish(&mut self, meta: &BatchMeta, out: &mut Vec<u8>) -> Option<BatchHeader> {
        let last_offset_delta = self.next_offset_delta.checked_sub(1)?;
        let mut header = meta.header(Encoding::Archived, Codec::None);
        header.record_count = self.count();
        header.last_offset_delta = last_offset_delta;
        header.base_timestamp = self.base_timestamp.unwrap_or_default();
        header.max_timestamp = self.max_timestamp;
        header.kafka_len = self.kafka_len as u32;
        self.columns.arena = Written { at: HEADER_LEN, len: self.image.len() - HEADER_LEN };
        // Writing to a Vec does not fail, and columns of numbers need nothing of the allocator.
        let Ok(_) = low::to_bytes_in_with_alloc::<_, _, Panic>(
            &self.columns,
            &mut self.image,
            SubAllocator::new(&mut []),
        );
        let payload = &self.image[HEADER_LEN..];
        header.payload_len = payload.len() as u32;
        header.payload_checksum = crc32c(payload);
        self.image[..HEADER_LEN].copy_from_slice(&header.pack());
        std::mem::swap(&mut self.image, out);
        self.clear();
        Some(header)
    }

    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        self.image.clear();
        self.image.resize(HEADER_LEN, 0);
        self.columns.timestamps.clear();
        self.columns.offset_deltas.clear();
        self.columns.key_ends.clear();
        self.columns.value_ends.clear();
        self.columns.header_ends.clear();
        self.kafka_len = KAFKA_HEADER_LEN;
        self.base_timestamp = None;
        self.max_timestamp = Timestamp::MIN;
        self.next_offset_delta = 0;
    }
}

#[inline]
fn null_bit(field: Option<&[u8]>) -> u32 {
    if field.is_none() { NULL } else { 0 }
}
