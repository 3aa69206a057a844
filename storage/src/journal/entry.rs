//! What a journal frame says, entry by entry.
//!
//! The list is closed, and each entry names its log, offset, segment and position, so that applying one twice changes
//! nothing. `docs/formats.md` shows the bytes.

use crate::{
    epochs::{EpochStart, EpochTable},
    key::{LogKey, LogKind},
};
use bytes::{Buf, BufMut, Bytes, TryGetError};
use millrace_record::{BatchHeader, HEADER_LEN, HeaderError, LeaderEpoch, Offset, TopicId};
use millrace_runtime::BLOCK_SIZE;

/// Length of what every entry starts with, in bytes.
pub(crate) const ENTRY_PREFIX_LEN: usize = 56;
/// Length of a checkpoint's own part without its epochs, in bytes.
const CHECKPOINT_FIXED_LEN: usize = 56;
/// Length of a splice's own part behind its batch header, in bytes.
const SPLICE_SOURCE_LEN: usize = 36;

/// A place in a log: which segment, by its base offset, and where in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Base offset of the segment.
    pub(crate) segment: Offset,
    /// Bytes from the start of its file.
    pub(crate) position: u64,
}

/// How far committed output has been spliced onto a partition: the commit's number, and how many of its batches for
/// this partition. Splices happen in this order, and none twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpliceMark {
    /// Number of the commit in the commit log, from 1; 0 before the first.
    pub commit: u64,
    /// Batches of that commit that are on the partition.
    pub batches: u32,
}

/// Where a spliced batch lies in the staged log of the same partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StagedBatch {
    pub(crate) at: Place,
    /// Its offset in the staged log.
    pub(crate) offset: Offset,
}

/// All that a log is, as of one of its offsets: what an entry behind it builds upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Whether the log is there; a log that was removed has a last checkpoint that says so.
    pub(crate) present: bool,
    /// The data directory that holds it.
    pub(crate) dir: [u8; 16],
    /// First offset that may be read.
    pub(crate) start: Offset,
    /// Offset behind the last record that is durable in the segments.
    pub(crate) end: Offset,
    /// Where `end` lies; everything before it is durable. Position 0: the segment need not exist yet.
    pub(crate) place: Place,
    /// Entries of the log in frames before this one were undone or are contained in this checkpoint.
    pub(crate) replay_from: u64,
    /// What has been spliced onto it.
    pub(crate) spliced: SpliceMark,
    /// Leader epochs and where they start.
    pub(crate) epochs: EpochTable,
}

/// What happened to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A batch; its payload is in the frame.
    Append { at: Place, header: BatchHeader },
    /// A batch whose bytes were durable in the segment before the frame was submitted.
    Reference { at: Place, header: BatchHeader },
    /// A batch whose payload is the staged one's.
    Splice { at: Place, header: BatchHeader, source: StagedBatch, mark: SpliceMark },
    /// The log ends at offset `to`, which lies at `at`. `block` holds the bytes of `at`'s block before it: they are
    /// rewritten, so the journal has them meanwhile.
    Cut { to: Offset, at: Place, block: Bytes },
    /// Records before `start` may not be read any more.
    LogStart { start: Offset },
    /// From offset `start.start` on, batches are of this leader epoch.
    EpochStart { start: EpochStart },
    /// The log's state.
    Checkpoint(Checkpoint),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: LogKey,
    pub(crate) body: Body,
}

/// Why bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    /// The frame ends within the entry.
    #[error("the frame ends within an entry")]
    Truncated,
    /// Its kind is none of the list: a later release wrote it, or a checksum let damage pass.
    #[error("entry kind {0} is unknown")]
    Kind(u8),
    /// A field has a value that no release writes.
    #[error("entry field `{0}` has a value that is never written")]
    Field(&'static str),
    /// The batch header in it is none.
    #[error("batch header of an entry: {0}")]
    Header(#[from] HeaderError),
}

impl From<TryGetError> for EntryError {
    fn from(_: TryGetError) -> Self {
        Self::Truncated
    }
}

impl Body {
    const fn number(&self) -> u8 {
        match self {
            Self::Append { .. } => 1,
            Self::Reference { .. } => 2,
            Self::Splice { .. } => 3,
            Self::Cut { .. } => 4,
            Self::LogStart { .. } => 5,
            Self::EpochStart { .. } => 6,
            Self::Checkpoint(_) => 7,
        }
    }

    /// The batch that the entry is about, and where it lies.
    pub(crate) const fn batch(&self) -> Option<(Place, &BatchHeader)> {
        match self {
            Self::Append { at, header }
            | Self::Reference { at, header }
            | Self::Splice { at, header, .. } => Some((*at, header)),
            _ => None,
        }
    }

    /// Length of the part behind the common one, in bytes.
    fn extra_len(&self) -> usize {
        match self {
            Self::Append { .. } | Self::Reference { .. } => HEADER_LEN,
            Self::Splice { .. } => HEADER_LEN + SPLICE_SOURCE_LEN,
            Self::Cut { block, .. } => block.len(),
            Self::LogStart { .. } | Self::EpochStart { .. } => 0,
            Self::Checkpoint(checkpoint) => checkpoint.own_len(),
        }
    }

    /// Offset, place and leader epoch, as the common part has them.
    fn common(&self) -> (Offset, Place, LeaderEpoch) {
        const NOWHERE: Place = Place { segment: 0, position: 0 };
        match self {
            Self::Append { at, header }
            | Self::Reference { at, header }
            | Self::Splice { at, header, .. } => (header.base_offset, *at, header.leader_epoch),
            Self::Cut { to, at, .. } => (*to, *at, 0),
            Self::LogStart { start } => (*start, NOWHERE, 0),
            Self::EpochStart { start } => (start.start, NOWHERE, start.epoch),
            Self::Checkpoint(checkpoint) => (checkpoint.end, checkpoint.place, 0),
        }
    }
}

impl Checkpoint {
    fn own_len(&self) -> usize {
        CHECKPOINT_FIXED_LEN + self.epochs.len() * EpochStart::LEN
    }

    /// Length of the entry that carries a checkpoint with so many epochs, in bytes.
    pub(crate) const fn entry_len(epochs: usize) -> usize {
        ENTRY_PREFIX_LEN + CHECKPOINT_FIXED_LEN + epochs * EpochStart::LEN
    }

    fn encode(&self, out: &mut impl BufMut) {
        out.put_u32_le(u32::from(self.present));
        out.put_slice(&self.dir);
        out.put_i64_le(self.start);
        out.put_u64_le(self.replay_from);
        out.put_u64_le(self.spliced.commit);
        out.put_u32_le(self.spliced.batches);
        out.put_u32_le(0);
        out.put_u32_le(self.epochs.len() as u32);
        for start in self.epochs.iter() {
            start.encode(out);
        }
    }

    fn decode(end: Offset, place: Place, mut bytes: &[u8]) -> Result<Self, EntryError> {
        let bytes = &mut bytes;
        let present = match bytes.try_get_u32_le()? {
            0 => false,
            1 => true,
            _ => return Err(EntryError::Field("present")),
        };
        let mut dir = [0; 16];
        bytes.try_copy_to_slice(&mut dir)?;
        let start = bytes.try_get_i64_le()?;
        let replay_from = bytes.try_get_u64_le()?;
        let spliced = SpliceMark { commit: bytes.try_get_u64_le()?, batches: bytes.try_get_u32_le()? };
        if bytes.try_get_u32_le()? != 0 {
            return Err(EntryError::Field("reserved"));
        }
        let count = bytes.try_get_u32_le()?;
        if bytes.len() != count as usize * EpochStart::LEN {
            return Err(EntryError::Field("epoch count"));
        }
        let mut starts = Vec::with_capacity(bytes.len() / EpochStart::LEN);
        while bytes.has_remaining() {
            starts.push(EpochStart::decode(bytes)?);
        }
        let epochs = EpochTable::from_starts(starts).ok_or(EntryError::Field("epochs"))?;
        if start < 0 || start > end || place.segment > end {
            return Err(EntryError::Field("offset"));
        }
        if !place.position.is_multiple_of(BLOCK_SIZE as u64) {
            return Err(EntryError::Field("position"));
        }
        Ok(Self { present, dir, start, end, place, replay_from, spliced, epochs })
    }
}

impl Entry {
    /// Length of the entry without a payload, in bytes.
    pub(crate) fn encoded_len(&self) -> usize {
        ENTRY_PREFIX_LEN + self.body.extra_len()
    }

    /// Length of what the entry is about, in bytes, wherever its payload is.
    pub(crate) fn weight(&self) -> usize {
        self.encoded_len() + self.body.batch().map_or(0, |(_, header)| header.payload_len as usize)
    }

    /// Length of the payload that goes into the frame with it, in bytes.
    pub(crate) const fn payload_len(&self) -> usize {
        match &self.body {
            Body::Append { header, .. } => header.payload_len as usize,
            _ => 0,
        }
    }

    /// Appends the entry's bytes, without its payload.
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        let (offset, place, epoch) = self.body.common();
        out.put_u8(self.body.number());
        out.put_u8(self.key.kind as u8);
        out.put_u16_le(0);
        out.put_i32_le(self.key.partition);
        out.put_slice(self.key.topic.as_bytes());
        out.put_i64_le(offset);
        out.put_i64_le(place.segment);
        out.put_u64_le(place.position);
        out.put_i32_le(epoch);
        out.put_u32_le(self.body.extra_len() as u32);
        match &self.body {
            Body::Append { header, .. } | Body::Reference { header, .. } => out.put_slice(&header.pack()),
            Body::Splice { header, source, mark, .. } => {
                out.put_slice(&header.pack());
                out.put_i64_le(source.at.segment);
                out.put_u64_le(source.at.position);
                out.put_i64_le(source.offset);
                out.put_u64_le(mark.commit);
                out.put_u32_le(mark.batches);
            }
            Body::Cut { block, .. } => out.put_slice(block),
            Body::LogStart { .. } | Body::EpochStart { .. } => {}
            Body::Checkpoint(checkpoint) => checkpoint.encode(out),
        }
    }

    /// Takes the entry at the start of `bytes` and moves past it.
    ///
    /// # Errors
    /// [`EntryError`]. Nothing is allocated beyond the length of `bytes`.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Self, EntryError> {
        let number = bytes.try_get_u8()?;
        let kind = LogKind::from_number(bytes.try_get_u8()?).ok_or(EntryError::Field("log kind"))?;
        if bytes.try_get_u16_le()? != 0 {
            return Err(EntryError::Field("reserved"));
        }
        let partition = bytes.try_get_i32_le()?;
        let mut topic = [0; 16];
        bytes.try_copy_to_slice(&mut topic)?;
        let offset = bytes.try_get_i64_le()?;
        let at = Place { segment: bytes.try_get_i64_le()?, position: bytes.try_get_u64_le()? };
        let epoch = bytes.try_get_i32_le()?;
        let extra_len = bytes.try_get_u32_le()? as usize;
        let extra = bytes.split_off(..extra_len).ok_or(EntryError::Truncated)?;
        if partition < 0 || offset < 0 || at.segment < 0 {
            return Err(EntryError::Field("partition or offset"));
        }
        let key = LogKey { topic: TopicId::from_bytes(topic), partition, kind };
        let body = decode_body(number, offset, at, epoch, extra)?;
        let (offset_again, at_again, epoch_again) = body.common();
        if (offset_again, at_again, epoch_again) != (offset, at, epoch) || body.extra_len() != extra_len {
            return Err(EntryError::Field("offset, place, epoch or length"));
        }
        Ok(Self { key, body })
    }
}

fn decode_body(
    number: u8,
    offset: Offset,
    at: Place,
    epoch: LeaderEpoch,
    mut extra: &[u8],
) -> Result<Body, EntryError> {
    Ok(match number {
        1 => Body::Append { at, header: BatchHeader::unpack(extra)? },
        2 => Body::Reference { at, header: BatchHeader::unpack(extra)? },
        3 => {
            let header = BatchHeader::unpack(extra)?;
            extra.advance(HEADER_LEN);
            let segment = extra.try_get_i64_le()?;
            let position = extra.try_get_u64_le()?;
            let source = StagedBatch { at: Place { segment, position }, offset: extra.try_get_i64_le()? };
            let mark = SpliceMark { commit: extra.try_get_u64_le()?, batches: extra.try_get_u32_le()? };
            if segment < 0 || source.offset < segment {
                return Err(EntryError::Field("staged offset"));
            }
            Body::Splice { at, header, source, mark }
        }
        4 if extra.len() as u64 != at.position % BLOCK_SIZE as u64 => return Err(EntryError::Field("block")),
        4 => Body::Cut { to: offset, at, block: Bytes::copy_from_slice(extra) },
        5 => Body::LogStart { start: offset },
        6 => Body::EpochStart { start: EpochStart { epoch, start: offset } },
        7 => Body::Checkpoint(Checkpoint::decode(offset, at, extra)?),
        other => return Err(EntryError::Kind(other)),
    })
}

#[cfg(test)]
pub(crate) mod tests;
