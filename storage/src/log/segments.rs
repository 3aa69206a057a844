//! The segments of a log, as far as they are known.

use super::claim::Room;
use crate::{
    journal::entry::Place,
    segment::{
        header::SEGMENT_HEADER_LEN,
        index::{MaxTimestamp, SegmentIndex},
    },
    tail::Tail,
};
use millrace_record::{BatchHeader, Offset};
use millrace_runtime::{BLOCK_SIZE, File};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// When less than this is left of a segment's space, in bytes, more is allocated ahead. Its sync takes milliseconds, in which a
/// fast producer appends megabytes.
const SPACE_AHEAD: u64 = 8 << 20;

/// The name of a segment's file.
pub(crate) fn file_name(base: Offset) -> String {
    format!("{base:020}.log")
}

/// The name of the index beside it.
pub(crate) fn index_name(base: Offset) -> String {
    format!("{base:020}.index")
}

/// The base offset of a segment file of this name.
pub(crate) fn base_of(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(".log")?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok()).flatten()
}

/// One file of a log.
pub(super) struct Segment {
    /// Its name among all that were ever open on this shard: cached bytes are found by it.
    pub(super) id: u64,
    pub(super) base: Offset,
    /// Open to write, once something was written.
    pub(super) file: Option<File>,
    /// Open to read, if it was read and is not open to write.
    pub(super) reader: Option<File>,
    /// Behind its last batch and padding; `None` while it is only known by name: then it ends where its file does.
    pub(super) end: Option<u64>,
    /// Up to here space is allocated.
    pub(super) allocated: u64,
    /// Up to here the file holds what it should.
    pub(super) written: u64,
    /// Up to here that is durable.
    pub(super) synced: u64,
    /// Whether its name is durable.
    pub(super) named: bool,
    /// Whether the file is as long as the segment, and not longer.
    pub(super) trimmed: bool,
    pub(super) tail: Tail,
    pub(super) index: Indexed,
    /// Learnt from its index, if it is sealed: the largest timestamp, if there is any.
    pub(super) max_timestamp: Option<Option<MaxTimestamp>>,
}

/// What is known of a segment's batches.
pub(super) enum Indexed {
    /// Nothing here: the index's file, or the cache, or the segment itself knows.
    Elsewhere,
    /// Those from this offset and position on: the others are older than this life of the log.
    From(Offset, u64, SegmentIndex),
    /// All.
    Whole(SegmentIndex),
}

impl Segment {
    /// One that was sealed before the log was opened.
    pub(super) fn sealed(id: u64, base: Offset) -> Self {
        Self {
            id,
            base,
            file: None,
            reader: None,
            end: None,
            allocated: 0,
            written: u64::MAX,
            synced: u64::MAX,
            named: true,
            trimmed: true,
            tail: Tail::default(),
            index: Indexed::Elsewhere,
            max_timestamp: None,
        }
    }

    /// One that is appended to, and ends at `end` with all before it durable.
    pub(super) fn growing(id: u64, base: Offset, offset: Offset, end: u64) -> Self {
        let index = SegmentIndex::starting_at(base, offset, end);
        let index = match end {
            SEGMENT_HEADER_LEN => Indexed::Whole(index),
            _ => Indexed::From(offset, end, index),
        };
        Self {
            end: Some(end),
            allocated: end,
            written: end,
            synced: end,
            trimmed: false,
            index,
            ..Self::sealed(id, base)
        }
    }

    /// A new one, whose file has just been made and given a header, durably.
    pub(super) fn new(id: u64, base: Offset, file: File, allocated: u64) -> Self {
        Self { file: Some(file), allocated, ..Self::growing(id, base, base, SEGMENT_HEADER_LEN) }
    }

    /// Up to where space is better allocated now than when somebody waits for it, if little is left beside what is
    /// claimed.
    pub(super) fn space_ahead(&self, claimed: Room) -> Option<u64> {
        let end = self.end.unwrap_or(0).next_multiple_of(BLOCK_SIZE as u64);
        let left = self.allocated.saturating_sub(end + claimed.bytes);
        (left < (self.allocated / 4).min(SPACE_AHEAD)).then_some(self.allocated + 1)
    }

    /// Notes a batch that was appended at `position`.
    pub(super) fn note(&mut self, header: &BatchHeader, position: u64) {
        match &mut self.index {
            Indexed::Elsewhere => {}
            Indexed::From(_, _, index) | Indexed::Whole(index) => index.note(header, position),
        }
        self.end = Some(position + header.total_len() as u64);
    }
}

/// The segments of a log by base offset. The last one is appended to.
pub(super) struct Segments {
    by_base: BTreeMap<Offset, Segment>,
    /// Where the log ends, and at which offset, while its last segment is not among `by_base`: the log has not been used
    /// since it was opened, or the segment is still to be made (position 0).
    dormant: Option<(Place, Offset)>,
    /// Whether the older ones are known too.
    pub(super) listed: bool,
    /// The segment at the log's end whose file may be there though it is not among the others yet: begun, and not
    /// finished, in this life or an earlier one. The log does not grow before it is finished or gone: it would take in a
    /// file that holds nothing.
    begun: Option<Offset>,
}

impl Segments {
    pub(super) fn new(place: Place, end: Offset, is_new: bool) -> Self {
        Self { by_base: BTreeMap::new(), dormant: Some((place, end)), listed: is_new, begun: None }
    }

    /// Where the log ends.
    pub(super) fn end(&self) -> Place {
        match (&self.dormant, self.by_base.last_key_value()) {
            (Some((place, _)), _) => *place,
            (None, Some((base, last))) => Place { segment: *base, position: last.end.unwrap_or(0) },
            (None, None) => Place { segment: 0, position: 0 },
        }
    }

    /// The folder was listed: `older` are the segments in it before the last.
    pub(super) fn wake(&mut self, older: impl IntoIterator<Item = Offset>, mut next_id: impl FnMut() -> u64) {
        self.listed = true;
        for base in older {
            self.by_base.entry(base).or_insert_with(|| Segment::sealed(next_id(), base));
        }
        if let Some((place, offset)) = self.dormant
            && place.position > 0
        {
            self.dormant = None;
            self.by_base
                .insert(place.segment, Segment::growing(next_id(), place.segment, offset, place.position));
        }
    }

    /// A file for a segment at the log's end is there, or about to be.
    pub(super) fn begin(&mut self, base: Offset) {
        self.begun = Some(base);
    }

    /// It is not there any more.
    pub(super) fn give_up(&mut self) -> Option<Offset> {
        self.begun.take()
    }

    /// The one that is appended to, unless the next one is begun.
    pub(super) fn open(&mut self) -> Option<&mut Segment> {
        if self.begun.is_some() { None } else { self.active() }
    }

    /// The last one.
    pub(super) fn active(&mut self) -> Option<&mut Segment> {
        if self.dormant.is_some() { None } else { self.by_base.values_mut().next_back() }
    }

    pub(super) fn get(&self, base: Offset) -> Option<&Segment> {
        self.by_base.get(&base)
    }

    pub(super) fn get_mut(&mut self, base: Offset) -> Option<&mut Segment> {
        self.by_base.get_mut(&base)
    }

    /// Makes `segment` the one that is appended to.
    pub(super) fn push(&mut self, segment: Segment) {
        self.dormant = None;
        self.begun = None;
        self.by_base.insert(segment.base, segment);
    }

    /// The segment that holds `offset`, if it is in the log.
    pub(super) fn holding(&self, offset: Offset) -> Option<&Segment> {
        self.by_base.range(..=offset).next_back().map(|(_, segment)| segment)
    }

    /// Base offset of the segment behind the one at `base`.
    pub(super) fn behind(&self, base: Offset) -> Option<Offset> {
        self.by_base.range(base + 1..).next().map(|(base, _)| *base)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.by_base.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Segment> {
        self.by_base.values_mut()
    }

    /// Whether the segment at `base` is the one that is appended to.
    pub(super) fn is_active(&self, base: Offset) -> bool {
        self.dormant.is_none() && self.by_base.last_key_value().is_some_and(|(last, _)| *last == base)
    }

    /// Takes out the segments that end at or before `offset`; the last one stays.
    pub(super) fn remove_before(&mut self, offset: Offset) -> Vec<Segment> {
        let keep = self.by_base.range(..=offset).next_back().map_or(0, |(base, _)| *base);
        let kept = self.by_base.split_off(&keep);
        std::mem::replace(&mut self.by_base, kept).into_values().collect()
    }

    /// Takes out the segments that begin at or behind `offset`.
    pub(super) fn remove_from(&mut self, offset: Offset) -> Vec<Segment> {
        self.by_base.split_off(&offset).into_values().collect()
    }
}

/// The path of a segment's file in its log's folder.
pub(super) fn path(folder: &Path, base: Offset) -> PathBuf {
    folder.join(file_name(base))
}
