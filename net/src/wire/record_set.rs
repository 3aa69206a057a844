//! Record sets: the bytes that this crate carries and never looks into.

use bytes::{Bytes, BytesMut};
use std::fmt;

/// A partition's records on the wire: whole batches (or, in old Produce versions, a message set), as shared pieces
/// that follow each other. Read from a frame it is one piece that shares the frame's memory.
#[derive(Clone, Default)]
pub struct RecordSet {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl RecordSet {
    /// No records.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: Bytes::new(), rest: Vec::new() }
    }

    /// Appends a piece, without a copy.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
        } else if self.first.is_empty() {
            self.first = piece;
        } else {
            self.rest.push(piece);
        }
    }

    /// The pieces, in order, none empty.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).filter(|piece| !piece.is_empty()).chain(&self.rest)
    }

    /// The length of all pieces, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there is not a single byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// All bytes in one piece: shared if there is only one, else copied together.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut joined = BytesMut::with_capacity(self.len());
        for piece in self.pieces() {
            joined.extend_from_slice(piece);
        }
        joined.freeze()
    }
}

impl From<Bytes> for RecordSet {
    fn from(bytes: Bytes) -> Self {
        Self { first: bytes, rest: Vec::new() }
    }
}

impl FromIterator<Bytes> for RecordSet {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut records = Self::new();
        records.extend(pieces);
        records
    }
}

impl Extend<Bytes> for RecordSet {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, pieces: I) {
        for piece in pieces {
            self.push(piece);
        }
    }
}

impl PartialEq for RecordSet {
    /// Whether the bytes are the same, however they are cut into pieces.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.pieces().flatten().eq(other.pieces().flatten())
    }
}

impl Eq for RecordSet {}

impl fmt::Debug for RecordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordSet({} bytes)", self.len())
    }
}
