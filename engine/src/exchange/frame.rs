//! Frames: records as rows of bytes, with marks between them.
//!
//! A row is a header of 24 bytes, the key's canonical bytes and the value's archived bytes, whose root is last:
//!
//! ```text
//! 0  timestamp     i64    milliseconds since the Unix epoch
//! 8  key hash      u64    0 on local edges
//! 16 value length  u32
//! 20 key length    u16
//! 22 kind          u8     insert, delete, before, after
//! 23 zero          u8
//! ```
//!
//! Frames stay within the process, so this layout is no format. They can't be made outside of this crate, and in it from
//! archived values of the edge's type or from bytes that are marked as unchecked: a reader that finds
//! [`Frame::is_checked`] need not look at the bytes again.

use super::edge::EdgeId;
use crate::{
    data::{ArchiveError, Encode, Scratch, write},
    epoch::{Attempt, Epoch, JobId},
    key::{HashedKey, KeyHash},
};
use millrace_runtime::ShardId;

const HEADER: usize = 24;

/// The longest key, as the header's field limits it.
pub(crate) const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// What happened to the record, for streams of changes: an insert or delete alone, or an update as before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ChangeKind {
    /// The record is there now. All records of an append-only stream.
    #[default]
    Insert = 0,
    /// The record is gone.
    Delete = 1,
    /// What a record was before the update that follows.
    Before = 2,
    /// What it is after the update.
    After = 3,
}

impl ChangeKind {
    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Delete,
            2 => Self::Before,
            3 => Self::After,
            _ => Self::Insert,
        }
    }
}

/// How the records of a frame lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layout {
    /// One after the other.
    Rows,
}

/// What travels between records, in order with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// No record with a timestamp at or below this is expected after it.
    Watermark(i64),
    /// The sender has nothing to say for now: don't wait for its watermark.
    Idle,
    /// The sender is back.
    Active,
    /// What came before belongs to this epoch, what follows to a later one.
    Barrier(Epoch),
    /// No record follows. Barriers still do.
    End,
}

/// Where a frame comes from and goes to: a channel of one attempt of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The job.
    pub job: JobId,
    /// Its attempt; frames of older ones are dropped.
    pub attempt: Attempt,
    /// The edge.
    pub edge: EdgeId,
    /// The sending shard.
    pub from: ShardId,
    /// The receiving shard.
    pub to: ShardId,
}

/// Records and marks on their way.
#[derive(Debug)]
pub struct Frame {
    pub(crate) route: Route,
    rows: Vec<u8>,
    /// Each with the number of row bytes that come before it, ascending.
    marks: Vec<(u32, Mark)>,
    records: u32,
    checked: bool,
}

impl Frame {
    /// Where it comes from and goes to.
    #[must_use]
    pub const fn route(&self) -> &Route {
        &self.route
    }

    /// How many records it has.
    #[must_use]
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of its rows.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// How the records lie.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        Layout::Rows
    }

    /// Whether every value is known to be a valid archived value of the edge's type.
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        self.checked
    }

    pub(crate) fn mark(&self, index: usize) -> Option<(usize, Mark)> {
        self.marks.get(index).map(|&(at, mark)| (at as usize, mark))
    }

    /// The rows between two positions, each the start of a row or the end.
    pub(crate) fn rows(&self, from: usize, to: usize) -> Rows<'_> {
        Rows { bytes: &self.rows[..to], at: from, checked: self.checked }
    }

    /// The buffer, for its next use.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.rows
    }
}

/// A frame in the making.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    rows: Vec<u8>,
    marks: Vec<(u32, Mark)>,
    records: u32,
    checked: bool,
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self::reusing(Vec::new())
    }
}

impl FrameBuffer {
    /// An empty frame in a used buffer.
    pub(crate) fn reusing(mut rows: Vec<u8>) -> Self {
        rows.clear();
        Self { rows, marks: Vec::new(), records: 0, checked: true }
    }

    /// Whether it has neither a record nor a mark.
    pub(crate) const fn is_empty(&self) -> bool {
        self.records == 0 && self.marks.is_empty()
    }

    /// Bytes of its rows.
    pub(crate) const fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// Appends a record of an archived or owned value.
    ///
    /// # Errors
    /// If the value has no archived form; the frame is as it was.
    ///
    /// # Panics
    /// If the key is longer than 65,535 bytes, or the value than 4 GiB.
    #[inline]
    pub(crate) fn push<T: Encode + ?Sized>(
        &mut self,
        timestamp: i64,
        key: Option<HashedKey<'_>>,
        value: &T,
        scratch: &mut Scratch,
    ) -> Result<(), ArchiveError> {
        let start = self.open(timestamp, key, ChangeKind::Insert);
        if let Err(error) = write(value, &mut self.rows, scratch) {
            self.rows.truncate(start);
            return Err(error);
        }
        self.close(start);
        Ok(())
    }

    /// Appends a record of bytes that claim to be archived; the reader checks them.
    ///
    /// # Panics
    /// If the key is longer than 65,535 bytes, or the value than 4 GiB.
    pub(crate) fn push_unchecked(
        &mut self,
        timestamp: i64,
        key: Option<HashedKey<'_>>,
        kind: ChangeKind,
        value: &[u8],
    ) {
        let start = self.open(timestamp, key, kind);
        self.rows.extend_from_slice(value);
        self.close(start);
        self.checked = false;
    }

    /// Appends a mark after the records so far. A watermark replaces one that nothing came after.
    pub(crate) fn mark(&mut self, mark: Mark) {
        let at = u32::try_from(self.rows.len()).expect("a frame is cut long before 4 GiB");
        match (self.marks.last_mut(), mark) {
            (Some((before, last @ Mark::Watermark(_))), Mark::Watermark(_)) if *before == at => *last = mark,
            _ => self.marks.push((at, mark)),
        }
    }

    /// Takes what was collected as a frame.
    pub(crate) fn seal(&mut self, route: Route, next: Vec<u8>) -> Frame {
        let Self { rows, marks, records, checked } = std::mem::replace(self, Self::reusing(next));
        Frame { route, rows, marks, records, checked }
    }

    /// Writes header and key; returns where the row starts.
    #[inline]
    fn open(&mut self, timestamp: i64, key: Option<HashedKey<'_>>, kind: ChangeKind) -> usize {
        let start = self.rows.len();
        let (hash, key) = key.map_or((KeyHash(0), &[][..]), |key| (key.hash(), key.bytes()));
        assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes is longer than {KEY_BYTES_MAX}", key.len());
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&timestamp.to_le_bytes());
        header[8..16].copy_from_slice(&hash.0.to_le_bytes());
        header[20..22].copy_from_slice(&(key.len() as u16).to_le_bytes());
        header[22] = kind as u8;
        self.rows.extend_from_slice(&header);
        self.rows.extend_from_slice(key);
        start
    }

    /// Fills in the value's length.
    #[inline]
    fn close(&mut self, start: usize) {
        let header = &mut self.rows[start..];
        let key = usize::from(u16::from_le_bytes([header[20], header[21]]));
        let value = u32::try_from(header.len() - HEADER - key).expect("a value below 4 GiB");
        header[16..20].copy_from_slice(&value.to_le_bytes());
        self.records += 1;
    }
}

/// A run of rows: a cursor.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    at: usize,
    checked: bool,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Event time, milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// The hash of the key; 0 on local edges.
    pub hash: KeyHash,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The key's canonical bytes; empty on local edges.
    pub key: &'a [u8],
    /// The value's archived bytes.
    pub value: &'a [u8],
}

impl<'a> Row<'a> {
    /// Key and hash, on keyed edges.
    #[inline]
    #[must_use]
    pub fn hashed_key(&self) -> HashedKey<'a> {
        HashedKey::from_parts(self.hash, self.key)
    }
}

impl Rows<'_> {
    /// The position of the next row.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Whether every value is known to be a valid archived value of the edge's type.
    #[inline]
    #[must_use]
    pub const fn is_checked(&self) -> bool {
        self.checked
    }

    /// Whether none is left.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    #[inline]
    fn next(&mut self) -> Option<Row<'a>> {
        let (header, body) = self.bytes[self.at..].split_first_chunk::<HEADER>()?;
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let value = u32::from_le_bytes([header[16], header[17], header[18], header[19]]) as usize;
        let key = usize::from(u16::from_le_bytes([header[20], header[21]]));
        self.at += HEADER + key + value;
        let (key, body) = body.split_at(key);
        Some(Row {
            timestamp: long(0).cast_signed(),
            hash: KeyHash(long(8)),
            kind: ChangeKind::from_byte(header[22]),
            key,
            value: &body[..value],
        })
    }
}
