//! What a task is given: records of an edge or of a topic, with a cursor.

use crate::{
    exchange::{Layout, Row, Rows},
    failure::{Cause, fail},
};
use millrace_record::{Offset, RecordView, Records};
use std::ops::Range;

/// Records for a task. It takes them one by one; what it leaves it is given again.
#[derive(Debug)]
pub enum Batch<'a> {
    /// Of an edge.
    Rows(RowBatch<'a>),
    /// Of a partition of a topic, which [`Context::split`](super::Context::split) names.
    Source(SourceRecords<'a>),
}

/// Records of an edge, of one channel, between two marks.
#[derive(Debug)]
pub struct RowBatch<'a> {
    rows: Rows<'a>,
}

impl<'a> RowBatch<'a> {
    pub(crate) const fn new(rows: Rows<'a>) -> Self {
        Self { rows }
    }

    /// How the records lie.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        Layout::Rows
    }

    /// Whether every value is known to be a valid archived value of the edge's type.
    #[inline]
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        self.rows.is_checked()
    }

    /// Whether none is left.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The records that are left, without taking them: for looking ahead.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> Rows<'a> {
        self.rows.clone()
    }

    /// Takes the next record.
    #[inline]
    pub fn take(&mut self) -> Option<Row<'a>> {
        self.rows.next()
    }

    /// Where the next record lies.
    pub(crate) const fn at(&self) -> usize {
        self.rows.at()
    }
}

/// Records of one batch of a topic.
#[derive(Debug)]
pub struct SourceRecords<'a> {
    records: Records<'a>,
    /// How many of the batch were taken, with those of earlier calls.
    taken: u32,
    /// How many the batch has.
    count: u32,
    /// Records outside of these offsets are not for us: the position, or the end, lies within the batch.
    span: Range<Offset>,
    /// Whether the values were checked as archived values of the type that the topic is declared with.
    checked: bool,
}

impl<'a> SourceRecords<'a> {
    /// The records of a batch behind the first `taken`, with offsets in `span`.
    pub(crate) fn new(
        mut records: Records<'a>,
        taken: u32,
        count: u32,
        span: Range<Offset>,
        checked: bool,
    ) -> Self {
        if let Some(skip) = taken.checked_sub(1) {
            records.nth(skip as usize);
        }
        Self { records, taken, count, span, checked }
    }

    /// Whether the values are known to be valid archived values of the topic's declared type.
    #[inline]
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        self.checked
    }

    /// Whether none is left.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.taken >= self.count
    }

    /// Takes the next record. A batch that can't be read fails the job.
    #[inline]
    pub fn take(&mut self) -> Option<RecordView<'a>> {
        while self.taken < self.count {
            self.taken += 1;
            match self.records.next() {
                Some(Ok(record)) if !self.span.contains(&record.offset) => {}
                Some(Ok(record)) => return Some(record),
                Some(Err(error)) => fail(Cause::InvalidBatch(error.to_string())),
                None => {
                    self.taken = self.count;
                    return None;
                }
            }
        }
        None
    }

    pub(crate) const fn taken(&self) -> u32 {
        self.taken
    }
}
