//! Staged pieces as bytes: a header that marks each, and the body of a changelog's piece.

use super::codec::{Fields, FormatError, put_count};
use super::ids::{Attempt, Epoch, JobId, Mark, PieceId, SourceId, SourcePosition, Target, TaskId};
use crate::table::{Delta, DeltaError, RunHeader};
use bytes::Bytes;
use millrace_record::TopicId;

const FORMAT: u8 = 1;
const CHANGELOG: u8 = 1;
const PARTITION: u8 = 2;

/// Bytes of a position.
const POSITION_BYTES: usize = 4 + 16 + 4 + 4 + 8;

/// What precedes the body of every staged piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceHeader {
    /// Which piece it is.
    pub id: PieceId,
    /// Where it goes.
    pub target: Target,
}

impl PieceHeader {
    /// How many bytes a header takes.
    pub const BYTES: usize = 2 + 3 * 8 + 2 * 4 + 16 + 4;

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let (kind, topic, partition) = match self.target {
            Target::Changelog => (CHANGELOG, TopicId::ZERO, 0),
            Target::Partition { topic, partition } => (PARTITION, topic, partition),
        };
        let mark = self.id.mark;
        let mut out = [0; Self::BYTES];
        out[0] = FORMAT;
        out[1] = kind;
        out[2..10].copy_from_slice(&mark.job.0.to_le_bytes());
        out[10..18].copy_from_slice(&mark.attempt.0.to_le_bytes());
        out[18..26].copy_from_slice(&mark.epoch.0.to_le_bytes());
        out[26..30].copy_from_slice(&mark.task.0.to_le_bytes());
        out[30..34].copy_from_slice(&self.id.index.to_le_bytes());
        out[34..50].copy_from_slice(topic.as_bytes());
        out[50..54].copy_from_slice(&partition.to_le_bytes());
        out
    }

    /// Reads the header at the start of `piece`; the body follows it.
    ///
    /// # Errors
    /// [`FormatError`] if there is no such header.
    pub fn decode(piece: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new("piece", piece, FORMAT)?;
        let kind = fields.u8()?;
        let (job, attempt) = (JobId(fields.u64()?), Attempt(fields.u64()?));
        let (epoch, task) = (Epoch(fields.u64()?), TaskId(fields.u32()?));
        let index = fields.u32()?;
        let (topic, partition) = (TopicId::from_bytes(fields.id()?), fields.i32()?);
        let target = match (kind, partition) {
            (CHANGELOG, 0) if topic.is_zero() => Target::Changelog,
            (PARTITION, 0..) => Target::Partition { topic, partition },
            _ => return Err(fields.damaged("impossible target")),
        };
        Ok(Self { id: PieceId { mark: Mark { job, attempt, epoch, task }, index }, target })
    }
}

/// The body of a changelog's piece: how far a task's sources had read, and what its tables changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changelog {
    /// The positions of the task's sources, those that have moved.
    pub positions: Vec<SourcePosition>,
    /// The runs of its tables' deltas, in the order in which they are to be applied.
    pub runs: Vec<Bytes>,
}

/// Why the body of a changelog's piece can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangelogError {
    /// The positions or the directory are damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A run is damaged.
    #[error("run {run}: {source}")]
    Run {
        /// Which one, counted from 0.
        run: usize,
        /// What is wrong with it.
        source: DeltaError,
    },
}

impl Changelog {
    /// The body for these positions and deltas.
    #[must_use]
    pub fn new(positions: Vec<SourcePosition>, deltas: impl IntoIterator<Item = Delta>) -> Self {
        let runs = deltas.into_iter().flat_map(|delta| delta.runs).map(|run| run.bytes).collect();
        Self { positions, runs }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.runs.is_empty()
    }

    /// Its bytes as slices to be written one after the other; the runs are not copied. The first has the positions and the
    /// directory of the runs.
    #[must_use]
    pub fn encode(&self) -> Vec<Bytes> {
        let mut head = vec![FORMAT];
        put_count(&mut head, self.positions.len());
        for position in &self.positions {
            head.extend_from_slice(&position.source.0.to_le_bytes());
            head.extend_from_slice(position.topic.as_bytes());
            head.extend_from_slice(&position.partition.to_le_bytes());
            head.extend_from_slice(&position.leader_epoch.to_le_bytes());
            head.extend_from_slice(&position.offset.to_le_bytes());
        }
        put_count(&mut head, self.runs.len());
        for run in &self.runs {
            put_count(&mut head, run.len());
        }
        std::iter::once(head.into()).chain(self.runs.iter().cloned()).collect()
    }

    /// Reads it back. The runs are slices of `body`, and each has a whole header.
    ///
    /// # Errors
    /// [`ChangelogError`] if the bytes are no such body. What is in the runs is checked when they are applied.
    pub fn decode(body: &Bytes) -> Result<Self, ChangelogError> {
        let mut fields = Fields::new("changelog", body, FORMAT)?;
        let positions = fields.list(POSITION_BYTES, |fields| {
            Ok(SourcePosition {
                source: SourceId(fields.u32()?),
                topic: TopicId::from_bytes(fields.id()?),
                partition: fields.i32()?,
                leader_epoch: fields.i32()?,
                offset: fields.i64()?,
            })
        })?;
        let lengths = fields.list(size_of::<u32>(), Fields::u32)?;
        let mut runs = Vec::with_capacity(lengths.len());
        for (run, length) in lengths.into_iter().enumerate() {
            let start = fields.at();
            fields.bytes(length as usize)?;
            let bytes = body.slice(start..fields.at());
            RunHeader::decode(&bytes).map_err(|source| ChangelogError::Run { run, source })?;
            runs.push(bytes);
        }
        fields.finish()?;
        Ok(Self { positions, runs })
    }
}
