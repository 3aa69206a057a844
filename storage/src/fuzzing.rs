//! Entry points for fuzz targets: every decoder of bytes from disk. Each takes any bytes, and must neither panic nor
//! take memory beyond a small multiple of their length.

#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
pub(crate) mod seeds;

use crate::{
    dirs::format::Format,
    journal::{chain, entry::Entry, frame::Frame},
    log::PieceMark,
    producer::ProducerSnapshot,
    segment::{
        header::SegmentHeader,
        index::SegmentIndex,
        walk::{Step, Walk},
    },
};

/// A journal file: its frames are found, and the rule of the chain applied.
pub fn journal_file(bytes: &[u8]) {
    let journal = bytes.get(24..40).and_then(|id| id.try_into().ok()).unwrap_or([0; 16]);
    if let Ok(found) = chain::scan(0, bytes, &journal) {
        drop(chain::verify(found));
    }
}

/// A journal frame.
pub fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::parse(bytes) {
        assert!(frame.entries().all(|item| item.is_ok()), "entries of a whole frame decode");
    }
}

/// As [`frame`], but with the checksum and what the header repeats mended, so that what lies behind them is reached.
pub fn frame_behind_its_checksum(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    Frame::mend(&mut bytes);
    frame(&bytes);
}

/// Entries without a frame around them, and so without its checksum.
pub fn entries(mut bytes: &[u8]) {
    while Entry::decode(&mut bytes).is_ok() {}
}

/// A segment's header, and its batches.
pub fn segment(bytes: &[u8]) {
    drop(SegmentHeader::decode(bytes));
    let mut walk = Walk::new(bytes, 0, 0);
    while let Ok(Some(Step::Batch(..))) = walk.step() {}
}

/// The files beside segments, and the format file.
pub fn side_files(bytes: &[u8]) {
    drop(SegmentIndex::decode(bytes));
    drop(ProducerSnapshot::decode(bytes));
    if let Ok(format) = Format::decode(bytes) {
        assert!(bytes.starts_with(&format.encode()), "a format file says nothing that is not understood");
    }
    let mark = PieceMark::decode(bytes);
    assert!(mark.is_none() || bytes.len() < 100, "a mark is short");
}

#[cfg(test)]
mod tests;
