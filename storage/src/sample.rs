//! Batches for tests.

use millrace_record::{ArchivedBatchBuilder, BatchHeader, BatchMeta, HEADER_LEN, Headers, Offset};

/// An archived batch of these values, a millisecond apart: header and payload.
pub(crate) fn archived(base_offset: Offset, values: &[&[u8]]) -> (BatchHeader, Vec<u8>) {
    let mut builder = ArchivedBatchBuilder::new(1 << 24);
    for (at, value) in values.iter().enumerate() {
        builder.push(1000 + at as i64, Some(b"key"), Some(value), Headers::EMPTY).unwrap();
    }
    let mut image = Vec::new();
    let mut header = builder.finish(&BatchMeta::PLAIN, &mut image).unwrap();
    header.base_offset = base_offset;
    header.leader_epoch = 0;
    (header, image.split_off(HEADER_LEN))
}
