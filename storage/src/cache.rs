//! What was read from segments, kept for the next reader: pieces of segments, checked, and indexes of sealed ones.
//!
//! One cache per shard, in the same budget as the tails; what was used longest ago goes first. Entries are found by the
//! segment's number on this shard, which is never given twice, so nothing stale is ever found: a cut gives its
//! segment a new number.

use crate::segment::{
    index::SegmentIndex,
    marks::{Collector, Marks, Piece},
};
use bytes::Bytes;
use millrace_record::{Offset, SharedBatch};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// Consecutive batches of a segment, all of them checked.
pub(crate) struct Window {
    /// Base offset of the segment.
    pub(crate) segment: Offset,
    /// Where `bytes` starts in it.
    pub(crate) base: u64,
    pub(crate) bytes: Bytes,
    pub(crate) marks: Marks,
    /// Offset of the first batch.
    pub(crate) first: Offset,
    /// Offset behind the last batch.
    pub(crate) next: Offset,
}

impl Window {
    /// Where the next window starts.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// The batches from the one that holds `offset`, or the first behind it.
    pub(crate) fn batches_from(&self, offset: Offset) -> Vec<SharedBatch> {
        let mut found = Vec::new();
        let more =
            self.read(&mut Collector { offset, wants: &mut |_| true, found: &mut found, places: None });
        debug_assert!(more, "everything is wanted");
        found
    }

    /// Collects batches. Returns whether more is wanted at the end.
    pub(crate) fn read(&self, collector: &mut Collector<'_>) -> bool {
        let piece = Piece { segment: self.segment, base: self.base, bytes: &self.bytes, marks: &self.marks };
        collector.collect(piece, |range| self.bytes.slice(range))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// The window of this segment that starts at this offset.
    Window(u64, Offset),
    /// The index of this segment.
    Index(u64),
}

#[derive(Clone)]
enum Cached {
    Window(Rc<Window>),
    Index(Rc<SegmentIndex>),
}

/// See the module.
#[derive(Default)]
pub(crate) struct ReadCache(RefCell<State>);

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, (u64, Cached)>,
    /// Entries by when they were last used.
    used: BTreeMap<u64, Key>,
    clock: u64,
    len: usize,
}

impl ReadCache {
    /// Bytes that it holds.
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len
    }

    /// The window of a segment that holds `offset`.
    pub(crate) fn window(&self, segment: u64, offset: Offset) -> Option<Rc<Window>> {
        let state = &mut *self.0.borrow_mut();
        let keys = Key::Window(segment, 0)..=Key::Window(segment, offset);
        let (&key, (_, Cached::Window(window))) = state.entries.range(keys).next_back()? else { return None };
        if window.next <= offset {
            return None;
        }
        let window = Rc::clone(window);
        state.touch(key);
        Some(window)
    }

    /// The window of a segment that ends right before `offset`.
    pub(crate) fn window_before(&self, segment: u64, offset: Offset) -> Option<Rc<Window>> {
        let state = self.0.borrow();
        let keys = Key::Window(segment, 0)..Key::Window(segment, offset);
        match state.entries.range(keys).next_back()? {
            (_, (_, Cached::Window(window))) if window.next == offset => Some(Rc::clone(window)),
            _ => None,
        }
    }

    pub(crate) fn keep_window(&self, segment: u64, window: Rc<Window>) {
        self.0.borrow_mut().insert(Key::Window(segment, window.first), Cached::Window(window));
    }

    pub(crate) fn index(&self, segment: u64) -> Option<Rc<SegmentIndex>> {
        let state = &mut *self.0.borrow_mut();
        let Some((_, Cached::Index(index))) = state.entries.get(&Key::Index(segment)) else { return None };
        let index = Rc::clone(index);
        state.touch(Key::Index(segment));
        Some(index)
    }

    pub(crate) fn keep_index(&self, segment: u64, index: Rc<SegmentIndex>) {
        self.0.borrow_mut().insert(Key::Index(segment), Cached::Index(index));
    }

    /// Forgets a segment's index, which turned out wrong.
    pub(crate) fn forget_index(&self, segment: u64) {
        self.0.borrow_mut().remove(Key::Index(segment));
    }

    /// Gives up what was used longest ago. Tells whether there was anything.
    pub(crate) fn evict(&self) -> bool {
        let state = &mut *self.0.borrow_mut();
        let Some((_, key)) = state.used.first_key_value().map(|(at, key)| (*at, *key)) else { return false };
        state.remove(key);
        true
    }
}

impl State {
    fn touch(&mut self, key: Key) {
        self.clock += 1;
        if let Some((used, _)) = self.entries.get_mut(&key) {
            self.used.remove(used);
            *used = self.clock;
            self.used.insert(self.clock, key);
        }
    }

    fn insert(&mut self, key: Key, cached: Cached) {
        self.remove(key);
        self.clock += 1;
        self.len += cached.len();
        self.entries.insert(key, (self.clock, cached));
        self.used.insert(self.clock, key);
    }

    fn remove(&mut self, key: Key) {
        if let Some((used, cached)) = self.entries.remove(&key) {
            self.used.remove(&used);
            self.len -= cached.len();
        }
    }
}

impl Cached {
    /// Bytes that it holds.
    fn len(&self) -> usize {
        match self {
            Self::Window(window) => window.bytes.len() + size_of::<Window>(),
            Self::Index(index) => index.heap_len() + size_of::<SegmentIndex>(),
        }
    }
}
