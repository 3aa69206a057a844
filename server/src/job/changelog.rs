//! A job's changelog: what its tasks left behind at each barrier, one partition for each shard.
//!
//! A record's key is the header of the piece, its value a part of the piece's body: positions and whole runs of deltas.
//! A partition has the pieces in the order of commits; those of several are merged by epoch.

use bytes::Bytes;
use millrace_engine::epoch::{Changelog, ChangelogError, FormatError, PieceHeader};
use millrace_record::{
    ArchivedBatchBuilder, BatchError, BatchMeta, Headers, PushError, Scratch, SharedBatch,
};
use millrace_runtime::unix_millis;

/// About how many bytes of runs go into one record. A longer run is a record of its own.
const PART_BYTES: usize = 1 << 20;
/// The longest record, in bytes: a run is what one epoch changed in one range of keys.
const PART_BYTES_MAX: usize = 48 << 20;
/// What a batch needs beyond its record.
const BATCH_SLACK: usize = 1024;

/// A part of a piece, read back.
#[derive(Clone, Debug)]
pub struct Part {
    /// The piece.
    pub header: PieceHeader,
    /// Some of what it holds.
    pub changelog: Changelog,
}

/// Why a changelog can't be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PartError {
    /// A batch is damaged.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// A key is no header of a piece.
    #[error(transparent)]
    Header(#[from] FormatError),
    /// A value is no part of a changelog.
    #[error(transparent)]
    Body(#[from] ChangelogError),
}

/// The batches of a piece.
///
/// # Errors
/// [`PushError`] if a single run is longer than a record can be.
pub fn encode(header: &PieceHeader, changelog: Changelog) -> Result<Vec<SharedBatch>, PushError> {
    let mut batches = Vec::new();
    let mut part = Changelog { positions: changelog.positions, runs: Vec::new() };
    let mut bytes = 0;
    for run in changelog.runs {
        if bytes > 0 && bytes + run.len() > PART_BYTES {
            batches.push(batch(header, &part)?);
            (part, bytes) = (Changelog::default(), 0);
        }
        bytes += run.len();
        part.runs.push(run);
    }
    batches.push(batch(header, &part)?);
    Ok(batches)
}

fn batch(header: &PieceHeader, part: &Changelog) -> Result<SharedBatch, PushError> {
    let value = part.encode().concat();
    let mut builder = ArchivedBatchBuilder::new(PART_BYTES_MAX);
    builder.push(unix_millis(), Some(&header.encode()), Some(&value), Headers::EMPTY)?;
    let mut image = Vec::with_capacity(value.len() + BATCH_SLACK);
    builder.finish(&BatchMeta::PLAIN, &mut image).expect("one record was pushed");
    Ok(SharedBatch::from_image(&image.into()).expect("a builder's header describes its payload"))
}

/// The parts in a batch of a changelog's partition; runs share its memory.
///
/// # Errors
/// [`PartError`].
pub fn decode(batch: &SharedBatch, scratch: &mut Scratch) -> Result<Vec<Part>, PartError> {
    let mut parts = Vec::new();
    for record in batch.as_batch().records(scratch)? {
        let record = record?;
        let header = PieceHeader::decode(record.key.unwrap_or_default())?;
        let value = shared(batch.payload(), record.value.unwrap_or_default());
        parts.push(Part { header, changelog: Changelog::decode(&value)? });
    }
    Ok(parts)
}

/// The bytes as a slice of the payload that they lie in; those of a compressed batch lie elsewhere.
fn shared(payload: &Bytes, value: &[u8]) -> Bytes {
    let whole = payload.as_ptr_range();
    let part = value.as_ptr_range();
    if whole.start <= part.start && part.end <= whole.end {
        payload.slice_ref(value)
    } else {
        Bytes::copy_from_slice(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_engine::epoch::{
        Attempt, Epoch, JobId, Mark, PieceId, SourceId, SourcePosition, Target, TaskId,
    };
    use millrace_record::TopicId;

    fn header() -> PieceHeader {
        let mark = Mark { job: JobId(1), attempt: Attempt(2), epoch: Epoch(3), task: TaskId(4) };
        PieceHeader { id: PieceId { mark, index: 5 }, target: Target::Changelog }
    }

    #[test]
    fn positions_come_back_from_the_first_part() {
        let position = SourcePosition {
            source: SourceId(1),
            topic: TopicId::from_bytes([7; 16]),
            partition: 3,
            leader_epoch: 2,
            offset: 99,
        };
        let written = Changelog { positions: vec![position], runs: Vec::new() };
        let batches = encode(&header(), written.clone()).unwrap();
        assert_eq!(batches.len(), 1);
        let parts = decode(&batches[0], &mut Scratch::new(1 << 20)).unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].header, &parts[0].changelog), (header(), &written));
    }
}
