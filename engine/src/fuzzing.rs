//! Entry points for fuzz targets: every decoder of bytes that a job has left on disk. Each takes any bytes, and must neither
//! panic nor take memory beyond a small multiple of their length.

#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
pub(crate) mod seeds;

use crate::{
    data::{Data, Descriptor, Scratch, access, write},
    epoch::{AttemptRecord, Changelog, CommitRecord, Epoch, PieceHeader},
    key::KeyGroups,
    table::{OrderedTable, PointTable, RunHeader, Table, TableId, TableSpec, Width},
};
use bytes::Bytes;

/// Runs of deltas for tables of all shapes. The header is made to fit, or nearly all inputs would end there; they are
/// also taken as they come.
pub fn delta_run(bytes: &[u8]) {
    let Some((&shape, body)) = bytes.split_first() else { return };
    let width = |bit: u8| if shape & bit == 0 { Width::Fixed(8) } else { Width::Variable };
    let groups = KeyGroups::default();
    let spec =
        TableSpec { id: TableId(1), types: 2, groups, range: groups.all(), key: width(1), value: width(2) };
    let is_ordered = shape & 4 != 0;
    let header = RunHeader {
        table: spec.id,
        epoch: Epoch(1),
        types: spec.types,
        groups: groups.all(),
        part: 0,
        group_count: groups.count(),
        kind: if is_ordered { 2 } else { 1 },
        key: spec.key,
        value: spec.value,
        body_bytes: u32::try_from(body.len()).unwrap_or(0),
    };
    let run = [&header.encode(), body].concat();
    let mut table: Box<dyn Table> =
        if is_ordered { Box::new(OrderedTable::new(spec)) } else { Box::new(PointTable::new(spec)) };
    drop(table.apply(&run));
    drop(table.apply(bytes));
}

/// What tasks leave behind at a barrier.
pub fn changelog(bytes: &[u8]) {
    if let Ok(header) = PieceHeader::decode(bytes) {
        assert!(bytes.starts_with(&header.encode()), "a header says nothing that is not understood");
    }
    if let Ok(changelog) = Changelog::decode(&Bytes::copy_from_slice(bytes)) {
        assert_eq!(changelog.encode().concat(), bytes, "there is one form of everything");
    }
}

/// The records of the commit log.
pub fn commit_log(bytes: &[u8]) {
    if let Ok(attempt) = AttemptRecord::decode(bytes) {
        assert_eq!(attempt.encode(), bytes, "there is one form of everything");
    }
    if let Ok(commit) = CommitRecord::decode(bytes) {
        assert_eq!(commit.encode(), bytes, "there is one form of everything");
    }
}

/// Descriptors of types, as they are written with what has these types.
pub fn descriptor(bytes: &[u8]) {
    let Ok((descriptor, rest)) = Descriptor::read_from(bytes) else { return };
    let mut again = Vec::new();
    descriptor.write_to(&mut again);
    assert_eq!([&again, rest].concat(), bytes, "there is one form of everything");
    drop(descriptor.compatibility(&descriptor));
}

/// Something of everything that a derived type may have.
#[derive(Data, Clone, Debug, PartialEq)]
pub(crate) enum Anything {
    /// A variant with nothing.
    Nothing,
    /// Fields without names.
    Pair(i16, [u8; 3], bool),
    /// Fields with names, and every kind of indirection.
    Named {
        /// A text.
        name: String,
        /// A list of texts.
        tags: Vec<String>,
        /// An option of a tuple.
        parent: Option<(u32, String)>,
        /// A character.
        mark: char,
    },
    /// A list of structures.
    Many(Vec<Part>),
}

/// A structure within [`Anything`].
#[derive(Data, Clone, Debug, PartialEq)]
pub(crate) struct Part {
    /// A number.
    pub(crate) id: u64,
    /// A text that may be missing.
    pub(crate) note: Option<String>,
}

/// Values of a derived type: state that was written, and what comes from another shard.
pub fn data(bytes: &[u8]) {
    let Ok(archived) = access::<ArchivedAnything>(bytes) else { return };
    let value = Anything::decode(archived);
    let mut again = Vec::new();
    write(&value, &mut again, &mut Scratch::new()).expect("what was read can be written");
    let read = access::<ArchivedAnything>(&again).expect("what is written is sound");
    assert_eq!(Anything::decode(read), value);
}

#[cfg(test)]
mod tests;
