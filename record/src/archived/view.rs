//! Reading an archived payload in place.
//!
//! Nothing here trusts bytes. [`ArchivedBatch::open`] checks what every read rests on, in nanoseconds per batch
//! whatever its size: the root and the columns it points to lie in the payload, do not overlap, fill it, and have the
//! lengths that the header says. [`ArchivedBatch::check`] reads every end once, at the door. Reading records slices
//! the arena with bounds checked, so that even a payload which passed no door yields an error and never harm.

use crate::{
    archived::columns::{ArchivedColumns, NULL, ROOT_LEN},
    error::{BatchError, RecordFault},
    header::{BatchHeader, Encoding, TimestampType},
    ids::{Offset, Timestamp},
    view::{Headers, RecordView},
};
use rkyv::{
    api::low,
    rancor::Failure,
    rend::unaligned::{i64_ule, u32_ule},
};
use std::{iter::Zip, slice::Iter};

/// The columns of a batch, found and in the right number.
#[derive(Debug, Clone, Copy)]
pub struct ArchivedBatch<'a> {
    timestamps: &'a [i64_ule],
    offset_deltas: &'a [u32_ule],
    key_ends: &'a [u32_ule],
    value_ends: &'a [u32_ule],
    header_ends: &'a [u32_ule],
    arena: &'a [u8],
    base_offset: Offset,
    last_offset_delta: u32,
    append_time: Option<Timestamp>,
}

impl<'a> ArchivedBatch<'a> {
    /// Finds the columns of `payload`, which `header` describes.
    ///
    /// # Errors
    /// [`BatchError::Archived`] if they are not all there in the right number.
    #[inline]
    pub fn open(header: &BatchHeader, payload: &'a [u8]) -> Result<Self, BatchError> {
        if header.encoding != Encoding::Archived {
            return Err(BatchError::Archived("the batch is in another encoding"));
        }
        let Ok(columns) = low::access::<ArchivedColumns, Failure>(payload) else {
            return Err(BatchError::Archived("a column lies outside the payload"));
        };
        let batch = Self {
            timestamps: columns.timestamps.as_slice(),
            offset_deltas: columns.offset_deltas.as_slice(),
            key_ends: columns.key_ends.as_slice(),
            value_ends: columns.value_ends.as_slice(),
            header_ends: columns.header_ends.as_slice(),
            arena: columns.arena.as_slice(),
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            append_time: match header.attributes.timestamp_type() {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(header.max_timestamp),
            },
        };
        batch.check_shape(header, payload)?;
        Ok(batch)
    }

    #[inline]
    fn check_shape(&self, header: &BatchHeader, payload: &[u8]) -> Result<(), BatchError> {
        let count = header.record_count as usize;
        let optional = |column: &[u32_ule]| column.is_empty() || column.len() == count;
        if self.timestamps.len() != count
            || self.key_ends.len() != count
            || self.value_ends.len() != count
            || !optional(self.header_ends)
            || !optional(self.offset_deltas)
        {
            return Err(BatchError::Archived("a column has not one entry per record"));
        }
        // Columns do not overlap (rkyv's check), so that equal sums mean: every byte belongs to exactly one.
        let columns_len = size_of_val(self.timestamps)
            + size_of_val(self.offset_deltas)
            + size_of_val(self.key_ends)
            + size_of_val(self.value_ends)
            + size_of_val(self.header_ends)
            + self.arena.len();
        if columns_len + ROOT_LEN != payload.len() || self.arena.len() >= NULL as usize {
            return Err(BatchError::Archived("columns do not fill the payload"));
        }
        Ok(())
    }

    /// The door: checks that ends and offsets rise, that nulls take no bytes and that headers parse, so that no record
    /// of this batch is refused later.
    ///
    /// # Errors
    /// [`BatchError::Archived`] or [`BatchError::Record`] with the rule that is broken.
    pub fn check(&self) -> Result<(), BatchError> {
        self.check_offsets()?;
        let end = if self.header_ends.is_empty() {
            check_ends(self.key_ends, self.value_ends, self.value_ends)
        } else {
            check_ends(self.key_ends, self.value_ends, self.header_ends)
        };
        if end != Some(self.arena.len()) {
            return Err(BatchError::Archived("ends of keys and values do not rise to the arena's end"));
        }
        if self.header_ends.is_empty() {
            return Ok(());
        }
        self.records().try_for_each(|record| record.map(drop))
    }

    fn check_offsets(&self) -> Result<(), BatchError> {
        let last = match self.offset_deltas.last() {
            Some(last) => last.to_native(),
            None => (self.timestamps.len() as u32).saturating_sub(1),
        };
        let rise = self.offset_deltas.windows(2).all(|pair| pair[0].to_native() < pair[1].to_native());
        if rise && last <= self.last_offset_delta {
            Ok(())
        } else {
            Err(BatchError::Archived("offsets do not rise to the batch's last"))
        }
    }

    /// How many records there are.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The records' own timestamps, in ms, whoever sets those that readers see.
    #[inline]
    #[must_use]
    pub const fn timestamps(&self) -> &'a [i64_ule] {
        self.timestamps
    }

    /// The records, in the order of their offsets.
    #[inline]
    #[must_use]
    pub fn records(&self) -> ArchivedRecords<'a> {
        ArchivedRecords::new(self)
    }
}

/// Walks the ends of all records. Returns the last, or `None` if they do not rise.
#[inline]
fn check_ends(key_ends: &[u32_ule], value_ends: &[u32_ule], record_ends: &[u32_ule]) -> Option<usize> {
    let mut start = 0;
    let mut broken = false;
    for ((key_end, value_end), record_end) in key_ends.iter().zip(value_ends).zip(record_ends) {
        let (key_end, value_end) = (key_end.to_native(), value_end.to_native());
        let (key_at, value_at) = (key_end & !NULL, value_end & !NULL);
        let record_at = record_end.to_native() & !NULL;
        broken |= key_at < start || value_at < key_at || record_at < value_at;
        broken |= key_end & NULL != 0 && key_at != start;
        broken |= value_end & NULL != 0 && value_at != key_at;
        start = record_at;
    }
    (!broken).then_some(start as usize)
}

/// Iterates over the records of an archived batch. Any payload that [`ArchivedBatch::open`] accepts is safe to iterate
/// over: the first fault is the last item.
///
/// All of it is inlined into its user's loop: one call that takes its address would keep its state, and every record,
/// in memory instead of registers, which costs five times the time.
#[derive(Debug, Clone)]
pub struct ArchivedRecords<'a> {
    /// Timestamps, key ends and value ends: the columns that every batch has, one length compared for all three.
    columns: Columns<'a>,
    /// The arena from the next record on.
    rest: &'a [u8],
    /// Where the next record starts in the arena.
    start: u32,
    index: u32,
    base_offset: Offset,
    /// What few batches have.
    extras: Option<Extras<'a>>,
}

type Columns<'a> = Zip<Iter<'a, i64_ule>, Zip<Iter<'a, u32_ule>, Iter<'a, u32_ule>>>;

/// The columns that a batch may lack, and the time of the append if that is what readers see.
#[derive(Debug, Clone, Copy)]
struct Extras<'a> {
    header_ends: &'a [u32_ule],
    offset_deltas: &'a [u32_ule],
    append_time: Option<Timestamp>,
}

impl<'a> ArchivedRecords<'a> {
    #[inline]
    fn new(batch: &ArchivedBatch<'a>) -> Self {
        let (header_ends, offset_deltas, append_time) =
            (batch.header_ends, batch.offset_deltas, batch.append_time);
        let plain = header_ends.is_empty() && offset_deltas.is_empty() && append_time.is_none();
        Self {
            columns: batch.timestamps.iter().zip(batch.key_ends.iter().zip(batch.value_ends)),
            rest: batch.arena,
            start: 0,
            index: 0,
            base_offset: batch.base_offset,
            extras: (!plain).then_some(Extras { header_ends, offset_deltas, append_time }),
        }
    }

    /// Takes the bytes up to `end` off the arena's rest.
    #[inline]
    fn take_to(&mut self, end: u32) -> Result<&'a [u8], RecordFault> {
        // An end before the start wraps to a length that no arena has.
        let len = end.wrapping_sub(self.start) as usize;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(RecordFault::Truncated)?;
        self.rest = rest;
        self.start = end;
        Ok(taken)
    }

    #[inline]
    fn view(&mut self, timestamp: i64, key_end: u32, value_end: u32) -> Result<RecordView<'a>, RecordFault> {
        let key = self.take_to(key_end & !NULL)?;
        let value = self.take_to(value_end & !NULL)?;
        let mut view = RecordView {
            offset: self.base_offset.wrapping_add(i64::from(self.index)),
            timestamp,
            key: (key_end & NULL == 0).then_some(key),
            value: (value_end & NULL == 0).then_some(value),
            headers: Headers::EMPTY,
        };
        if let Some(extras) = self.extras {
            let entry = |column: &[u32_ule]| column.get(self.index as usize).map(|entry| entry.to_native());
            if let Some(delta) = entry(extras.offset_deltas) {
                view.offset = self.base_offset.wrapping_add(i64::from(delta));
            }
            view.timestamp = extras.append_time.unwrap_or(timestamp);
            if let Some(header_end) = entry(extras.header_ends) {
                let block = self.take_to(header_end)?;
                if !block.is_empty() {
                    view.headers = Headers::parse(block)?;
                }
            }
        }
        Ok(view)
    }
}

impl<'a> Iterator for ArchivedRecords<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (timestamp, (key_end, value_end)) = self.columns.next()?;
        match self.view(timestamp.to_native(), key_end.to_native(), value_end.to_native()) {
            Ok(record) => {
                self.index = self.index.wrapping_add(1);
                Some(Ok(record))
            }
            Err(fault) => {
                self.columns = [].iter().zip([].iter().zip(&[]));
                Some(Err(BatchError::Record { index: self.index, fault }))
            }
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // A fault ends the iteration early.
        (0, Some(self.columns.len()))
    }
}

impl std::iter::FusedIterator for ArchivedRecords<'_> {}
