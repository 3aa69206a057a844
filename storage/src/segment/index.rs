//! The sparse index of a segment: from offsets and timestamps to positions.
//!
//! An entry stands for every [`SPACING`] bytes. The index is a hint that saves reading: whoever follows it checks the
//! batch header that it finds, and the index is rebuilt from the batches when it is missing, damaged or wrong. It is
//! kept beside the segment in a file that is written when the segment is sealed and replaced whole.

use bytes::{Buf, BufMut};
use millrace_record::{BatchHeader, Offset, Timestamp, checksum::crc32c};

/// Bytes of a segment between two entries: one direct read of the smallest useful size, and a scan of microseconds.
pub(crate) const SPACING: u64 = 16 * 1024;
const MAGIC: [u8; 8] = *b"MILLINDX";
const VERSION: u32 = 1;
/// Length of the file's header, which tells all but the entries, in bytes.
pub(crate) const INDEX_HEADER_LEN: usize = 72;
const ENTRY_LEN: usize = 20;

/// A batch that the index knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Its base offset, from the segment's.
    pub(crate) offset_delta: u32,
    /// Where it starts in the file.
    pub(crate) position: u64,
    /// The largest timestamp of all batches before it in the segment.
    pub(crate) max_timestamp_before: Timestamp,
}

/// The largest timestamp of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxTimestamp {
    pub(crate) timestamp: Timestamp,
    /// Base offset of the first batch that has it.
    pub(crate) batch: Offset,
}

/// The index of one segment, up to [`SegmentIndex::end`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    base: Offset,
    /// Offset behind the last batch that the index has seen.
    end: Offset,
    /// Position behind that batch.
    end_position: u64,
    max: Option<MaxTimestamp>,
    entries: Vec<IndexEntry>,
}

/// Why bytes are no index. The cure is always the same: rebuild it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a whole index")]
pub(crate) struct IndexError;

impl SegmentIndex {
    /// An index that has seen nothing of a segment.
    pub(crate) const fn new(base: Offset, first_position: u64) -> Self {
        Self { base, end: base, end_position: first_position, max: None, entries: Vec::new() }
    }

    /// An index that has seen nothing before `offset`, which lies at `position`.
    pub(crate) fn starting_at(base: Offset, offset: Offset, position: u64) -> Self {
        Self { end: offset, ..Self::new(base, position) }
    }

    /// Puts an index of what lies before this one's first batch in front of it.
    pub(crate) fn prepend(&mut self, earlier: &Self) {
        let known = earlier.max.map_or(Timestamp::MIN, |max| max.timestamp);
        let later = self.entries.iter().map(|entry| IndexEntry {
            max_timestamp_before: entry.max_timestamp_before.max(known),
            ..*entry
        });
        self.entries = earlier.entries.iter().copied().chain(later).collect();
        self.max = match (earlier.max, self.max) {
            (Some(earlier), Some(later)) if later.timestamp > earlier.timestamp => Some(later),
            (None, later) => later,
            (earlier, _) => earlier,
        };
    }

    /// The segment's base offset.
    pub(crate) const fn base(&self) -> Offset {
        self.base
    }

    /// Offset behind the last batch seen.
    pub(crate) const fn end(&self) -> Offset {
        self.end
    }

    /// Position behind the last batch seen.
    pub(crate) const fn end_position(&self) -> u64 {
        self.end_position
    }

    /// The largest timestamp seen.
    pub(crate) const fn max_timestamp(&self) -> Option<MaxTimestamp> {
        self.max
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn heap_len(&self) -> usize {
        self.entries.capacity() * size_of::<IndexEntry>()
    }

    /// Notes a batch at `position`, which lies behind all seen so far.
    pub(crate) fn note(&mut self, header: &BatchHeader, position: u64) {
        if self.entries.last().is_none_or(|last| position >= last.position + SPACING) {
            self.entries.push(IndexEntry {
                offset_delta: (header.base_offset - self.base) as u32,
                position,
                max_timestamp_before: self.max.map_or(Timestamp::MIN, |max| max.timestamp),
            });
        }
        if self.max.is_none_or(|max| header.max_timestamp > max.timestamp) {
            self.max = Some(MaxTimestamp { timestamp: header.max_timestamp, batch: header.base_offset });
        }
        self.end = header.next_offset();
        self.end_position = position + header.total_len() as u64;
    }

    /// Where to start looking for the batch that holds `offset`: offset and position of a batch at or before it.
    pub(crate) fn before_offset(&self, offset: Offset) -> Option<(Offset, u64)> {
        let behind =
            self.entries.partition_point(|entry| self.base + i64::from(entry.offset_delta) <= offset);
        self.place(behind)
    }

    /// Where to start looking for the first record that is not older than `timestamp`. `None` if there is none.
    pub(crate) fn before_timestamp(&self, timestamp: Timestamp) -> Option<(Offset, u64)> {
        if self.max.is_none_or(|max| max.timestamp < timestamp) {
            return None;
        }
        self.place(self.entries.partition_point(|entry| entry.max_timestamp_before < timestamp))
    }

    fn place(&self, behind: usize) -> Option<(Offset, u64)> {
        let entry = self.entries.get(behind.checked_sub(1)?)?;
        Some((self.base + i64::from(entry.offset_delta), entry.position))
    }

    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(INDEX_HEADER_LEN + self.entries.len() * ENTRY_LEN);
        out.put_bytes(0, INDEX_HEADER_LEN);
        for entry in &self.entries {
            out.put_u32_le(entry.offset_delta);
            out.put_u64_le(entry.position);
            out.put_i64_le(entry.max_timestamp_before);
        }
        let (mut header, entries) = out.split_at_mut(INDEX_HEADER_LEN);
        let entries_checksum = crc32c(entries);
        header.put_slice(&MAGIC);
        header.put_u32_le(VERSION);
        header.put_u32_le(self.entries.len() as u32);
        header.put_i64_le(self.base);
        header.put_i64_le(self.end);
        header.put_u64_le(self.end_position);
        header.put_i64_le(self.max.map_or(Timestamp::MIN, |max| max.timestamp));
        header.put_i64_le(self.max.map_or(-1, |max| max.batch));
        header.put_u64_le(0);
        header.put_u32_le(entries_checksum);
        let checksum = crc32c(&out[..INDEX_HEADER_LEN - 4]);
        out[INDEX_HEADER_LEN - 4..INDEX_HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The index of a file's bytes.
    ///
    /// # Errors
    /// [`IndexError`]. Nothing is allocated beyond the length of `bytes`.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let (mut index, count, stored) = Self::decode_header(bytes)?;
        let mut rest = &bytes[INDEX_HEADER_LEN..];
        if stored != crc32c(rest) || rest.len() != count * ENTRY_LEN {
            return Err(IndexError);
        }
        index.entries = (0..count)
            .map(|_| IndexEntry {
                offset_delta: rest.get_u32_le(),
                position: rest.get_u64_le(),
                max_timestamp_before: rest.get_i64_le(),
            })
            .collect();
        if index.is_sound() { Ok(index) } else { Err(IndexError) }
    }

    /// The header of a file's bytes: an index without entries, how many it has, and their checksum.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(crate) fn decode_header(bytes: &[u8]) -> Result<(Self, usize, u32), IndexError> {
        let header = bytes.get(..INDEX_HEADER_LEN).ok_or(IndexError)?;
        let (mut fields, mut stored) = header.split_at(INDEX_HEADER_LEN - 4);
        if !fields.starts_with(&MAGIC) || stored.get_u32_le() != crc32c(fields) {
            return Err(IndexError);
        }
        fields.advance(MAGIC.len());
        let (version, count) = (fields.get_u32_le(), fields.get_u32_le() as usize);
        let (base, end, end_position) = (fields.get_i64_le(), fields.get_i64_le(), fields.get_u64_le());
        let (timestamp, batch) = (fields.get_i64_le(), fields.get_i64_le());
        if version != VERSION || fields.get_u64_le() != 0 {
            return Err(IndexError);
        }
        let max = match batch {
            -1 if timestamp == Timestamp::MIN => None,
            _ => Some(MaxTimestamp { timestamp, batch }),
        };
        Ok((Self { base, end, end_position, max, entries: Vec::new() }, count, fields.get_u32_le()))
    }

    /// Whether everything ascends and lies within what was seen.
    fn is_sound(&self) -> bool {
        let ascend = self.entries.windows(2).all(|pair| {
            pair[0].offset_delta < pair[1].offset_delta
                && pair[0].position < pair[1].position
                && pair[0].max_timestamp_before <= pair[1].max_timestamp_before
        });
        let within = self.entries.last().is_none_or(|last| {
            self.base.checked_add(i64::from(last.offset_delta)).is_some_and(|offset| offset < self.end)
                && last.position < self.end_position
        });
        let max = match self.max {
            None => self.entries.is_empty(),
            Some(max) => self.base <= max.batch && max.batch < self.end && !self.entries.is_empty(),
        };
        self.base >= 0 && self.base <= self.end && ascend && within && max
    }
}

#[cfg(test)]
mod tests;
