//! A partition's producers in a file beside its segments, so that a start need not read the log to know them.
//!
//! The snapshot says as of which offset it holds, and is written only when the log is durable up to there: batches
//! behind that are read when it is loaded. Whatever makes it untrue (a cut of the log below its offset) removes it
//! first.

use super::{Producer, ProducerTable, REMEMBERED, Remembered};
use crate::journal::entry::Place;
use bytes::{Buf, BufMut};
use millrace_record::{Offset, checksum::crc32c};
use std::collections::{BTreeMap, VecDeque};

/// Its name in the partition's folder.
pub(crate) const SNAPSHOT_FILE: &str = "producers";
const MAGIC: [u8; 8] = *b"MILLPROD";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 48;
const PRODUCER_LEN: usize = 20;
const BATCH_LEN: usize = 16;

/// The producers as of an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerSnapshot {
    /// Batches before this offset are in it, others are not.
    pub(crate) offset: Offset,
    /// Where that offset lies.
    pub(crate) place: Place,
    pub(crate) table: ProducerTable,
}

/// Why bytes are no snapshot. The cure is always the same: read the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a whole snapshot of producers")]
pub(crate) struct SnapshotError;

impl ProducerSnapshot {
    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(HEADER_LEN + self.table.len() * (PRODUCER_LEN + REMEMBERED * BATCH_LEN));
        out.put_slice(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(self.table.len() as u32);
        out.put_i64_le(self.offset);
        out.put_i64_le(self.place.segment);
        out.put_u64_le(self.place.position);
        out.put_u64_le(0);
        for (id, producer) in &self.table.0 {
            out.put_i64_le(*id);
            out.put_i64_le(producer.last_timestamp);
            out.put_i16_le(producer.epoch);
            out.put_u16_le(producer.batches.len() as u16);
            for batch in &producer.batches {
                out.put_i32_le(batch.base_sequence);
                out.put_u32_le(batch.last_offset_delta);
                out.put_i64_le(batch.base_offset);
            }
        }
        let checksum = crc32c(&out);
        out[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The snapshot of a file's bytes.
    ///
    /// # Errors
    /// [`SnapshotError`]. Nothing is allocated beyond a small multiple of the length of `bytes`.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut fields = bytes.get(..HEADER_LEN).ok_or(SnapshotError)?;
        if !fields.starts_with(&MAGIC) {
            return Err(SnapshotError);
        }
        fields.advance(MAGIC.len());
        let (version, count) = (fields.get_u32_le(), fields.get_u32_le());
        let offset = fields.get_i64_le();
        let place = Place { segment: fields.get_i64_le(), position: fields.get_u64_le() };
        let (reserved, stored) = (fields.get_u32_le(), fields.get_u32_le());
        let mut summed = bytes.to_vec();
        summed[HEADER_LEN - 4..HEADER_LEN].fill(0);
        if version != VERSION || reserved != 0 || stored != crc32c(&summed) {
            return Err(SnapshotError);
        }
        if place.segment < 0 || place.segment > offset {
            return Err(SnapshotError);
        }
        let mut rest = &bytes[HEADER_LEN..];
        let mut table = BTreeMap::new();
        for _ in 0..count {
            let (id, producer) = decode_producer(&mut rest, offset)?;
            if table.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(SnapshotError);
            }
            table.insert(id, producer);
        }
        if rest.is_empty() {
            Ok(Self { offset, place, table: ProducerTable(table) })
        } else {
            Err(SnapshotError)
        }
    }
}

fn decode_producer(rest: &mut &[u8], end: Offset) -> Result<(i64, Producer), SnapshotError> {
    let mut fields = rest.split_off(..PRODUCER_LEN).ok_or(SnapshotError)?;
    let (id, last_timestamp) = (fields.get_i64_le(), fields.get_i64_le());
    let (epoch, count) = (fields.get_i16_le(), usize::from(fields.get_u16_le()));
    if id < 0 || count > REMEMBERED {
        return Err(SnapshotError);
    }
    let mut batches = VecDeque::with_capacity(count);
    for _ in 0..count {
        let mut fields = rest.split_off(..BATCH_LEN).ok_or(SnapshotError)?;
        let batch = Remembered {
            base_sequence: fields.get_i32_le(),
            last_offset_delta: fields.get_u32_le(),
            base_offset: fields.get_i64_le(),
        };
        if batch.base_sequence < 0 || batch.base_offset < 0 || batch.base_offset >= end {
            return Err(SnapshotError);
        }
        batches.push_back(batch);
    }
    Ok((id, Producer { epoch, last_timestamp, batches }))
}
