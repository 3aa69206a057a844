//! A flat hash map of fixed-width entries that grows by splitting segments.
//!
//! A directory, indexed by the upper bits of the hash, names a segment of 512 lines for each; the lower bits choose the line
//! within it, where the search begins and goes on from line to line. A segment that is half full is split in two by one
//! more upper bit, so growth never stops for more than one segment. (This is extendible hashing: Fagin, Nievergelt,
//! Pippenger, Strong, 1979.) A range of hashes is a range of segments, so a map can be scanned in the order of hashes.
//!
//! A small map has one segment of its own instead, of 4 lines at first. Also a segment of its own gets who meets keys whose
//! hashes agree in more bits than chance allows; it is doubled instead of split. Such keys cost time, but no panic.

use super::line::{Line, slots};
use super::pool::{Meta, Pool, SEGMENT_LINES};
use super::prefetch::prefetch;
use crate::key::KeyHash;

/// How many lines the first segment of a map has.
const FIRST_LINES: usize = 4;

/// By how many bits a directory may be deeper than equal segments of half a fill would need. Random hashes need two or three.
const SKEW_BITS: u32 = 6;

/// The hashes that a table can meet, spread over all 64 bits: a shard's part of them shares its upper bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct HashSpan {
    first: u64,
    last: u64,
    shift: u32,
}

impl HashSpan {
    /// The span of the hashes from `first` through `last`.
    pub(super) const fn new(first: KeyHash, last: KeyHash) -> Self {
        let shift = (last.0 - first.0).leading_zeros();
        // A span of one single hash needs no bit at all.
        Self { first: first.0, last: last.0, shift: if shift == 64 { 63 } else { shift } }
    }

    #[inline]
    const fn spread(self, hash: KeyHash) -> u64 {
        (hash.0 - self.first) << self.shift
    }

    /// The hash that is spread to `spread`, if the span has it: the directory may reach beyond.
    fn gather(self, spread: u64) -> Option<KeyHash> {
        let hash = self.first.checked_add(spread >> self.shift)?;
        (hash <= self.last).then_some(KeyHash(hash))
    }
}

/// A directory's entry: a segment, and how many upper bits its hashes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SegmentRef(u32);

impl SegmentRef {
    const OWN: u32 = 1 << 31;
    const ID_BITS: u32 = 26;

    const fn new(is_own: bool, depth: u32, id: u32) -> Self {
        Self(if is_own { Self::OWN } else { 0 } | depth << Self::ID_BITS | id)
    }

    #[inline]
    const fn is_own(self) -> bool {
        self.0 & Self::OWN != 0
    }

    #[inline]
    const fn id(self) -> u32 {
        self.0 & ((1 << Self::ID_BITS) - 1)
    }

    const fn depth(self) -> u32 {
        (self.0 & !Self::OWN) >> Self::ID_BITS
    }
}

/// A segment outside of the pool, of any power of two of lines.
struct OwnSegment {
    lines: Vec<Line>,
    meta: Meta,
}

/// How keys are told apart and hashed again.
///
/// Entries need not hold the whole key: see [`blocks`](super::blocks).
pub(super) trait Rehash<const K: usize> {
    /// The hash of the entry with this key slot.
    fn rehash(&self, key: &[u8; K]) -> KeyHash;
}

/// A map of entries with `K` bytes of key and `V` of value.
pub(super) struct Flat<const K: usize, const V: usize> {
    span: HashSpan,
    depth: u32,
    directory: Vec<SegmentRef>,
    own: Vec<OwnSegment>,
    entries: usize,
}

/// Where an entry is, until the map is changed.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    segment: SegmentRef,
    line: usize,
    slot: usize,
}

impl<const K: usize, const V: usize> Flat<K, V> {
    const SLOTS: usize = slots(K, V);

    pub(super) const fn new(span: HashSpan) -> Self {
        Self { span, depth: 0, directory: Vec::new(), own: Vec::new(), entries: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.entries
    }

    /// Half of the slots: with three to a line one line in fifteen overflows then.
    const fn entries_max(lines: usize) -> usize {
        lines * Self::SLOTS / 2
    }

    #[inline]
    fn segment(&self, hash: KeyHash) -> SegmentRef {
        self.directory[(self.span.spread(hash) >> 1 >> (63 - self.depth)) as usize]
    }

    #[inline]
    fn lines<'a>(&'a self, pool: &'a Pool, segment: SegmentRef) -> &'a [Line] {
        if segment.is_own() { &self.own[segment.id() as usize].lines } else { pool.lines(segment.id()) }
    }

    #[inline]
    fn lines_mut<'a>(&'a mut self, pool: &'a mut Pool, segment: SegmentRef) -> &'a mut [Line] {
        if segment.is_own() {
            &mut self.own[segment.id() as usize].lines
        } else {
            pool.lines_mut(segment.id())
        }
    }

    fn meta_mut<'a>(&'a mut self, pool: &'a mut Pool, segment: SegmentRef) -> &'a mut Meta {
        if segment.is_own() { &mut self.own[segment.id() as usize].meta } else { pool.meta_mut(segment.id()) }
    }

    /// Fetches the line where the search for a key with this hash begins.
    #[inline]
    pub(super) fn prefetch(&self, pool: &Pool, hash: KeyHash) {
        if !self.directory.is_empty() {
            let lines = self.lines(pool, self.segment(hash));
            prefetch(&lines[hash.0 as usize & (lines.len() - 1)]);
        }
    }

    /// Looks for the entry with this key slot that `is_it` confirms in the lines of a segment. Returns line and slot.
    #[inline]
    fn search(
        lines: &[Line],
        hash: KeyHash,
        key: &[u8; K],
        is_it: impl Fn(&[u8; V]) -> bool,
    ) -> Option<(usize, usize)> {
        let mask = lines.len() - 1;
        let mut at = hash.0 as usize & mask;
        // Marks of overflow are at most on half of the lines and a few, so the search ends at a line without one.
        loop {
            let line = &lines[at];
            let mut matches = line.matches::<K, V>(key);
            while matches != 0 {
                let slot = matches.trailing_zeros() as usize;
                if is_it(line.value::<K, V>(slot)) {
                    return Some((at, slot));
                }
                matches &= matches - 1;
            }
            if !line.is_over() {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Finds the entry with this key slot that `is_it` confirms.
    #[inline]
    pub(super) fn find(
        &self,
        pool: &Pool,
        hash: KeyHash,
        key: &[u8; K],
        is_it: impl Fn(&[u8; V]) -> bool,
    ) -> Option<Spot> {
        if self.directory.is_empty() {
            return None;
        }
        let segment = self.segment(hash);
        let (line, slot) = Self::search(self.lines(pool, segment), hash, key, is_it)?;
        Some(Spot { segment, line, slot })
    }

    /// Finds the entry with this key slot that `is_it` confirms, to be changed: its line, stamped with `generation`, and its slot.
    #[inline]
    pub(super) fn find_mut<'a>(
        &'a mut self,
        pool: &'a mut Pool,
        hash: KeyHash,
        generation: u64,
        key: &[u8; K],
        is_it: impl Fn(&[u8; V]) -> bool,
    ) -> Option<(&'a mut Line, usize)> {
        if self.directory.is_empty() {
            return None;
        }
        let segment = self.segment(hash);
        let lines = self.lines_mut(pool, segment);
        let (line, slot) = Self::search(lines, hash, key, is_it)?;
        let line = &mut lines[line];
        line.stamp(generation);
        Some((line, slot))
    }

    /// The value of the entry with this key slot that `is_it` confirms.
    #[inline]
    pub(super) fn get<'a>(
        &'a self,
        pool: &'a Pool,
        hash: KeyHash,
        key: &[u8; K],
        is_it: impl Fn(&[u8; V]) -> bool,
    ) -> Option<&'a [u8; V]> {
        let spot = self.find(pool, hash, key, is_it)?;
        Some(self.value(pool, spot))
    }

    /// The value of an entry.
    #[inline]
    pub(super) fn value<'a>(&'a self, pool: &'a Pool, spot: Spot) -> &'a [u8; V] {
        self.lines(pool, spot.segment)[spot.line].value::<K, V>(spot.slot)
    }

    /// The line and slot of an entry; the line is stamped with `generation`.
    #[inline]
    pub(super) fn line_mut<'a>(
        &'a mut self,
        pool: &'a mut Pool,
        spot: Spot,
        generation: u64,
    ) -> (&'a mut Line, usize) {
        let line = &mut self.lines_mut(pool, spot.segment)[spot.line];
        line.stamp(generation);
        (line, spot.slot)
    }

    /// Adds an entry that is not there.
    #[inline(never)]
    pub(super) fn insert(
        &mut self,
        pool: &mut Pool,
        hash: KeyHash,
        generation: u64,
        entry: (&[u8; K], &[u8; V]),
        rehash: &impl Rehash<K>,
    ) -> Spot {
        self.make_room(pool, hash, generation, rehash);
        self.entries += 1;
        let spot = self.place(pool, hash);
        let (line, slot) = self.line_mut(pool, spot, generation);
        line.fill::<K, V>(slot, entry.0, entry.1);
        spot
    }

    /// Finds the free slot for a new entry, marks the full lines before it, and counts.
    fn place(&mut self, pool: &mut Pool, hash: KeyHash) -> Spot {
        let segment = self.segment(hash);
        let lines = self.lines_mut(pool, segment);
        let mask = lines.len() - 1;
        let mut at = hash.0 as usize & mask;
        let mut passed = 0;
        let slot = loop {
            let line = &mut lines[at];
            let slot = line.used().trailing_ones() as usize;
            if slot < Self::SLOTS {
                break slot;
            }
            if !line.is_over() {
                line.set_over();
                passed += 1;
            }
            at = (at + 1) & mask;
        };
        let meta = self.meta_mut(pool, segment);
        meta.entries += 1;
        meta.over += passed;
        Spot { segment, line: at, slot }
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, pool: &mut Pool, spot: Spot) {
        self.lines_mut(pool, spot.segment)[spot.line].set_used(spot.slot, false);
        self.meta_mut(pool, spot.segment).entries -= 1;
        self.entries -= 1;
    }

    /// Sees to it that one more entry with this hash fits its segment, and that searches in it stay short.
    fn make_room(&mut self, pool: &mut Pool, hash: KeyHash, generation: u64, rehash: &impl Rehash<K>) {
        if self.directory.is_empty() {
            self.own.push(OwnSegment { lines: vec![Line::EMPTY; FIRST_LINES], meta: Meta::default() });
            self.directory.push(SegmentRef::new(true, 0, 0));
        }
        loop {
            let segment = self.segment(hash);
            let lines = self.lines(pool, segment).len();
            let meta = *self.meta_mut(pool, segment);
            let is_full = meta.entries as usize >= Self::entries_max(lines);
            if !is_full && meta.over as usize <= lines / 2 {
                return;
            }
            if !is_full {
                // Too many marks, left behind by entries that are gone. Entries of half the slots can't leave so many.
                let old = self.drain(pool, segment, lines);
                self.refill(pool, old, generation, rehash);
            } else if segment.is_own() {
                self.double(pool, segment, lines * 2, generation, rehash);
            } else if segment.depth() < self.depth_max() {
                self.split(pool, hash, segment, generation, rehash);
            } else {
                self.disown(pool, hash, segment, generation, rehash);
            }
        }
    }

    /// How deep the directory may become with as many entries as there are.
    fn depth_max(&self) -> u32 {
        let full_segments = self.entries / Self::entries_max(SEGMENT_LINES);
        (full_segments.max(1).ilog2() + 1 + SKEW_BITS).min(SegmentRef::ID_BITS)
    }

    /// Takes the lines out of a segment and leaves it with `lines` empty ones; in the pool there is only one number of lines.
    fn drain(&mut self, pool: &mut Pool, segment: SegmentRef, lines: usize) -> Vec<Line> {
        if segment.is_own() {
            let own = &mut self.own[segment.id() as usize];
            own.meta = Meta::default();
            std::mem::replace(&mut own.lines, vec![Line::EMPTY; lines])
        } else {
            pool.drain(segment.id())
        }
    }

    /// Gives a segment of its own twice the lines; the only one of a map moves to the pool when it has that size.
    fn double(
        &mut self,
        pool: &mut Pool,
        segment: SegmentRef,
        lines: usize,
        generation: u64,
        rehash: &impl Rehash<K>,
    ) {
        let old = if lines == SEGMENT_LINES {
            self.directory = vec![SegmentRef::new(false, 0, pool.take())];
            self.own.pop().expect("a small map has its own segment").lines
        } else {
            self.drain(pool, segment, lines)
        };
        self.refill(pool, old, generation, rehash);
    }

    /// Moves a segment that can't be split out of the pool, so that it can be doubled.
    fn disown(
        &mut self,
        pool: &mut Pool,
        hash: KeyHash,
        segment: SegmentRef,
        generation: u64,
        rehash: &impl Rehash<K>,
    ) {
        let old = pool.drain(segment.id());
        pool.give_back(vec![segment.id()]);
        self.own.push(OwnSegment { lines: vec![Line::EMPTY; 2 * SEGMENT_LINES], meta: Meta::default() });
        let range = self.directory_range(hash, segment.depth());
        self.directory[range].fill(SegmentRef::new(true, segment.depth(), self.own.len() as u32 - 1));
        self.refill(pool, old, generation, rehash);
    }

    /// Divides a segment into two by one more bit of the hash.
    fn split(
        &mut self,
        pool: &mut Pool,
        hash: KeyHash,
        segment: SegmentRef,
        generation: u64,
        rehash: &impl Rehash<K>,
    ) {
        let depth = segment.depth() + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&segment| [segment; 2]).collect();
            self.depth += 1;
        }
        let range = self.directory_range(hash, segment.depth());
        let middle = range.start.midpoint(range.end);
        self.directory[range.start..middle].fill(SegmentRef::new(false, depth, segment.id()));
        self.directory[middle..range.end].fill(SegmentRef::new(false, depth, pool.take()));
        let old = pool.drain(segment.id());
        self.refill(pool, old, generation, rehash);
    }

    /// The entries of the directory that share the first `depth` bits with `hash`.
    fn directory_range(&self, hash: KeyHash, depth: u32) -> std::ops::Range<usize> {
        let index = (self.span.spread(hash) >> 1 >> (63 - self.depth)) as usize;
        let free_bits = self.depth - depth;
        let start = index >> free_bits << free_bits;
        start..start + (1 << free_bits)
    }

    /// Puts each entry of `old` where the directory says now. Positions in the open delta move along.
    fn refill(&mut self, pool: &mut Pool, old: Vec<Line>, generation: u64, rehash: &impl Rehash<K>) {
        for mut line in old.iter().copied() {
            line.stamp(generation);
            for slot in (0..Self::SLOTS).filter(|&slot| line.is_used(slot)) {
                let key = line.key::<K, V>(slot);
                let spot = self.place(pool, rehash.rehash(key));
                let (new, new_slot) = self.line_mut(pool, spot, generation);
                new.fill::<K, V>(new_slot, key, line.value::<K, V>(slot));
                new.set_position(new_slot, line.position(slot));
            }
        }
        pool.put_scratch(old);
    }

    /// Visits the entries of the segment that has the hash `from`, those with smaller hashes left out; returns the first hash
    /// of the next segment, if there is one.
    pub(super) fn scan(
        &self,
        pool: &Pool,
        from: KeyHash,
        rehash: &impl Rehash<K>,
        mut visit: impl FnMut(&[u8; K], &[u8; V]),
    ) -> Option<KeyHash> {
        if self.directory.is_empty() || from.0 > self.span.last {
            return None;
        }
        let from = KeyHash(from.0.max(self.span.first));
        let segment = self.segment(from);
        let range = self.directory_range(from, segment.depth());
        let first_of = |index: usize| self.span.gather(((index as u64) << (63 - self.depth)) << 1);
        let is_whole = first_of(range.start) >= Some(from);
        for line in self.lines(pool, segment) {
            for slot in (0..Self::SLOTS).filter(|&slot| line.is_used(slot)) {
                let key = line.key::<K, V>(slot);
                if is_whole || rehash.rehash(key) >= from {
                    visit(key, line.value::<K, V>(slot));
                }
            }
        }
        if range.end < self.directory.len() { first_of(range.end) } else { None }
    }

    /// Gives the segments back to the pool.
    pub(super) fn discard(self, pool: &mut Pool) {
        let mut ids = Vec::new();
        let mut last = None;
        for segment in self.directory.into_iter().filter(|segment| !segment.is_own()) {
            if last.replace(segment) != Some(segment) {
                ids.push(segment.id());
            }
        }
        pool.give_back(ids);
    }
}
