//! Writing the delta of the open epoch, in place.

use super::header::{RunHeader, TableKind};
use super::wire::{self, put_field, put_varint};
use super::{DeltaRun, RANGES_MAX, RUN_BYTES};
use crate::epoch::Epoch;
use crate::key::{KeyGroupRange, KeyHash};
use crate::table::spec::{Namespace, TableSpec, Width};
use bytes::Bytes;
use std::ops::{Bound, Range};

/// Where the value of a record stands in the open epoch's runs: the buffer's number in the upper bits, the offset of the
/// value in the lower sixteen. Fits [`Position::BITS`] bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::table) struct Position(u32);

impl Position {
    /// How many bits a position takes.
    pub(in crate::table) const BITS: u32 = 28;

    /// No position: the entry was not touched in the open epoch, or its record stands where no position reaches (the next
    /// touch then appends another record). Offset 0 lies in the header, so no record is there.
    pub(in crate::table) const NONE: Self = Self(0);

    const OFFSET_BITS: u32 = 16;

    #[inline]
    fn new(buffer: u32, offset: usize) -> Self {
        let is_in_reach = buffer < 1 << (Self::BITS - Self::OFFSET_BITS) && offset < 1 << Self::OFFSET_BITS;
        if is_in_reach { Self(buffer << Self::OFFSET_BITS | offset as u32) } else { Self::NONE }
    }

    /// The position with these bits.
    #[inline]
    pub(in crate::table) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[inline]
    pub(in crate::table) const fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    const fn buffer(self) -> usize {
        (self.0 >> Self::OFFSET_BITS) as usize
    }

    #[inline]
    const fn offset(self) -> usize {
        (self.0 & ((1 << Self::OFFSET_BITS) - 1)) as usize
    }
}

/// The kind of records that are being appended to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Section {
    tag: u8,
    namespace: Namespace,
    /// Where the section's head begins in its buffer.
    at: usize,
    count: u16,
}

/// The run that is open for a range of key groups.
struct OpenRun {
    groups: KeyGroupRange,
    /// The number of its buffer, once it has one.
    buffer: Option<u32>,
    part: u32,
    section: Option<Section>,
    namespaces: Vec<Namespace>,
    /// Where the last key of the section stands, in ordered tables.
    last_key: Range<usize>,
}

impl OpenRun {
    const fn new(groups: KeyGroupRange) -> Self {
        Self { groups, buffer: None, part: 0, section: None, namespaces: Vec::new(), last_key: 0..0 }
    }

    fn reset(&mut self) {
        self.buffer = None;
        self.part = 0;
        self.end_part();
    }

    /// Forgets what is only true within a buffer.
    fn end_part(&mut self) {
        self.section = None;
        self.namespaces.clear();
        self.last_key = 0..0;
    }
}

/// The runs of the open epoch.
pub(in crate::table) struct DeltaLog {
    spec: TableSpec,
    kind: TableKind,
    section_max: u16,
    /// The run of each group, counted from the first of the table's range.
    run_of_group: Box<[u8]>,
    runs: Box<[OpenRun]>,
    /// The buffers of all runs in the order in which they were begun, and to which run each belongs.
    buffers: Vec<(u8, Vec<u8>)>,
    /// Empty buffers, warm from earlier epochs.
    spare: Vec<Vec<u8>>,
    /// The bytes in buffers that are full.
    full_bytes: usize,
}

/// How many empty buffers are kept for the next epochs: 128 of 64 KiB, 8 MiB a table at the most. A core at full speed
/// writes about as much in an epoch of 10 ms.
const SPARE_MAX: usize = 128;

impl DeltaLog {
    pub(in crate::table) fn new(spec: &TableSpec, kind: TableKind) -> Self {
        let groups = usize::from(spec.range.len());
        let ranges = groups.min(RANGES_MAX);
        let runs: Box<[_]> = (0..ranges).map(|i| OpenRun::new(spec.range.piece(i, ranges))).collect();
        let mut run_of_group = Vec::with_capacity(groups);
        for (index, run) in runs.iter().enumerate() {
            run_of_group.extend(std::iter::repeat_n(index as u8, usize::from(run.groups.len())));
        }
        Self {
            spec: *spec,
            kind,
            // Records of no bytes would let few bytes stand for many records.
            section_max: if spec.key == Width::Fixed(0) { 1 } else { wire::SECTION_MAX },
            run_of_group: run_of_group.into(),
            runs,
            buffers: Vec::new(),
            spare: Vec::new(),
            full_bytes: 0,
        }
    }

    /// How many bytes the open epoch has so far.
    pub(in crate::table) fn bytes(&self) -> usize {
        let open = self.runs.iter().filter_map(|run| run.buffer);
        self.full_bytes + open.map(|buffer| self.buffers[buffer as usize].1.len()).sum::<usize>()
    }

    #[inline]
    fn run_of(&self, hash: KeyHash) -> usize {
        let group = self.spec.groups.group_of(hash).0 - self.spec.range.start;
        usize::from(self.run_of_group[usize::from(group)])
    }

    /// Appends a value of a point table.
    #[inline]
    pub(in crate::table) fn put(
        &mut self,
        hash: KeyHash,
        namespace: Namespace,
        key: &[u8],
        value: &[u8],
    ) -> Position {
        let (key_width, value_width) = (self.spec.key, self.spec.value);
        let run = self.run_of(hash);
        let buffer = self.begin(run, wire::PUT, namespace, key.len() + value.len() + 20);
        let out = &mut self.buffers[buffer as usize].1;
        put_field(out, key_width, key);
        put_field(out, value_width, value);
        Position::new(buffer, out.len() - value.len())
    }

    /// Appends the tombstone of an entry of a point table.
    pub(in crate::table) fn remove(&mut self, hash: KeyHash, namespace: Namespace, key: &[u8]) {
        let key_width = self.spec.key;
        let run = self.run_of(hash);
        let buffer = self.begin(run, wire::REMOVE, namespace, key.len() + 10);
        put_field(&mut self.buffers[buffer as usize].1, key_width, key);
    }

    /// Appends a value of an ordered table.
    pub(in crate::table) fn put_element(
        &mut self,
        hash: KeyHash,
        namespace: Namespace,
        key: &[u8],
        order: &[u8],
        value: &[u8],
    ) -> Position {
        let value_width = self.spec.value;
        let run = self.run_of(hash);
        let buffer = self.begin(run, wire::PUT, namespace, key.len() + order.len() + value.len() + 30);
        self.put_place(run, buffer, key, order);
        let out = &mut self.buffers[buffer as usize].1;
        put_field(out, value_width, value);
        Position::new(buffer, out.len() - value.len())
    }

    /// Appends the tombstone of an element of an ordered table.
    pub(in crate::table) fn remove_element(
        &mut self,
        hash: KeyHash,
        namespace: Namespace,
        key: &[u8],
        order: &[u8],
    ) {
        let run = self.run_of(hash);
        let buffer = self.begin(run, wire::REMOVE, namespace, key.len() + order.len() + 20);
        self.put_place(run, buffer, key, order);
    }

    /// Appends that a range of a key's elements was removed.
    pub(in crate::table) fn remove_range(
        &mut self,
        hash: KeyHash,
        namespace: Namespace,
        key: &[u8],
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) {
        let run = self.run_of(hash);
        let room = key.len() + bound_bytes(start) + bound_bytes(end) + 40;
        let (buffer, index) = self.begin_single(run, namespace, room);
        let out = &mut self.buffers[buffer as usize].1;
        out.extend_from_slice(&[wire::REMOVE_RANGE, index]);
        put_field(out, Width::Variable, key);
        for bound in [start, end] {
            match bound {
                Bound::Unbounded => out.push(wire::UNBOUNDED),
                Bound::Included(order) => {
                    out.push(wire::INCLUDED);
                    put_field(out, Width::Variable, order);
                }
                Bound::Excluded(order) => {
                    out.push(wire::EXCLUDED);
                    put_field(out, Width::Variable, order);
                }
            }
        }
    }

    /// Appends, to the run of every range, that `namespace` was dropped: each range can be restored alone.
    pub(in crate::table) fn drop_namespace(&mut self, namespace: Namespace) {
        for run in 0..self.runs.len() {
            let (buffer, index) = self.begin_single(run, namespace, 16);
            self.buffers[buffer as usize].1.extend_from_slice(&[wire::DROP, index]);
        }
    }

    /// The value at `position`, to be overwritten by one of the same length.
    #[inline]
    pub(in crate::table) fn value_mut(&mut self, position: Position, length: usize) -> &mut [u8] {
        &mut self.buffers[position.buffer()].1[position.offset()..][..length]
    }

    /// The value at `position`, if values have this length.
    #[inline]
    pub(in crate::table) fn array_mut<const N: usize>(&mut self, position: Position) -> &mut [u8; N] {
        let rest = &mut self.buffers[position.buffer()].1[position.offset()..];
        rest.first_chunk_mut().expect("a value lies in its buffer")
    }

    /// Writes the key and order key of an element.
    fn put_place(&mut self, run: usize, buffer: u32, key: &[u8], order: &[u8]) {
        let out = &mut self.buffers[buffer as usize].1;
        let last = &mut self.runs[run].last_key;
        if last.start < last.end && out[last.clone()] == *key {
            put_varint(out, 0);
        } else {
            put_varint(out, key.len() as u64 + 1);
            *last = out.len()..out.len() + key.len();
            out.extend_from_slice(key);
        }
        put_field(out, Width::Variable, order);
    }

    /// Makes room for a record of at most `bytes` bytes in a section of kind `tag`, counts it, and returns its buffer.
    #[inline]
    fn begin(&mut self, run: usize, tag: u8, namespace: Namespace, bytes: usize) -> u32 {
        let section_max = self.section_max;
        let open = &mut self.runs[run];
        if let (Some(section), Some(buffer)) = (&mut open.section, open.buffer)
            && section.tag == tag
            && section.namespace == namespace
            && section.count < section_max
            && self.buffers[buffer as usize].1.len() + bytes <= RUN_BYTES
        {
            section.count += 1;
            return buffer;
        }
        self.begin_section(run, tag, namespace, bytes)
    }

    #[cold]
    #[inline(never)]
    fn begin_section(&mut self, run: usize, tag: u8, namespace: Namespace, bytes: usize) -> u32 {
        let (buffer, index) = self.begin_single(run, namespace, bytes + wire::SECTION_HEAD);
        let out = &mut self.buffers[buffer as usize].1;
        let open = &mut self.runs[run];
        open.section = Some(Section { tag, namespace, at: out.len(), count: 1 });
        open.last_key = 0..0;
        out.extend_from_slice(&[tag, index, 0, 0]);
        buffer
    }

    /// Ends the section of a run, makes room for `bytes` more, and returns the buffer and the index of `namespace` in it.
    fn begin_single(&mut self, run: usize, namespace: Namespace, bytes: usize) -> (u32, u8) {
        self.end_section(run);
        /// What the definition of a namespace takes.
        const DEFINITION: usize = 1 + size_of::<u64>();
        let open = &self.runs[run];
        let known = open.namespaces.iter().position(|&n| n == namespace);
        let buffer = match open.buffer {
            Some(buffer)
                if self.buffers[buffer as usize].1.len() + bytes + DEFINITION <= RUN_BYTES
                    && (known.is_some() || open.namespaces.len() < wire::NAMESPACES_MAX) =>
            {
                buffer
            }
            _ => self.begin_buffer(run),
        };
        let open = &mut self.runs[run];
        let index = open.namespaces.iter().position(|&n| n == namespace).unwrap_or_else(|| {
            let out = &mut self.buffers[buffer as usize].1;
            out.push(wire::NAMESPACE);
            out.extend_from_slice(&namespace.0.to_le_bytes());
            open.namespaces.push(namespace);
            open.namespaces.len() - 1
        });
        (buffer, index as u8)
    }

    /// Ends the buffer of a run, if it has one, and begins another.
    fn begin_buffer(&mut self, run: usize) -> u32 {
        let open = &mut self.runs[run];
        if let Some(full) = open.buffer {
            self.full_bytes += self.buffers[full as usize].1.len();
            open.part += 1;
        }
        open.end_part();
        let buffer = self.buffers.len() as u32;
        open.buffer = Some(buffer);
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(&RunHeader::open(&self.spec, self.kind, open.groups, open.part).encode());
        self.buffers.push((run as u8, bytes));
        buffer
    }

    /// Writes down how many records the section of a run has.
    fn end_section(&mut self, run: usize) {
        let open = &mut self.runs[run];
        if let (Some(section), Some(buffer)) = (open.section.take(), open.buffer) {
            let count_at = section.at + 2;
            self.buffers[buffer as usize].1[count_at..count_at + 2]
                .copy_from_slice(&section.count.to_le_bytes());
        }
    }

    /// Closes the open epoch and hands out its runs, by range.
    pub(in crate::table) fn seal(&mut self, epoch: Epoch) -> Vec<DeltaRun> {
        for run in 0..self.runs.len() {
            self.end_section(run);
            self.runs[run].reset();
        }
        self.full_bytes = 0;
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.sort_by_key(|&(run, _)| run);
        buffers
            .into_iter()
            .map(|(run, mut bytes)| {
                let body = (bytes.len() - RunHeader::BYTES) as u32;
                let mut patch = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
                patch(RunHeader::EPOCH_AT, &epoch.0.to_le_bytes());
                patch(RunHeader::BODY_BYTES_AT, &body.to_le_bytes());
                DeltaRun { groups: self.runs[usize::from(run)].groups, bytes: Bytes::from(bytes) }
            })
            .collect()
    }

    /// Forgets the open epoch.
    pub(in crate::table) fn clear(&mut self) {
        for run in &mut self.runs {
            run.reset();
        }
        self.full_bytes = 0;
        for (_, buffer) in std::mem::take(&mut self.buffers) {
            self.spare(buffer);
        }
    }

    /// Takes back a run that was handed out, for its memory, if nobody else has it any more.
    pub(in crate::table) fn recycle(&mut self, run: Bytes) {
        if self.spare.len() < SPARE_MAX && run.is_unique() {
            let mut run = run;
            // Cut to one byte first, which is then all that the conversion moves; cut to none, the buffer would be let go.
            run.truncate(1);
            self.spare(Vec::from(run));
        }
    }

    fn spare(&mut self, mut buffer: Vec<u8>) {
        // A value of many megabytes must not keep its buffer for good.
        if self.spare.len() < SPARE_MAX && buffer.capacity() <= 2 * RUN_BYTES {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

const fn bound_bytes(bound: Bound<&[u8]>) -> usize {
    match bound {
        Bound::Unbounded => 0,
        Bound::Included(order) | Bound::Excluded(order) => order.len(),
    }
}
