//! One namespace of an ordered table.

use super::place::{Compare, Place, Probe, as_compare, between};
use crate::key::{HashedKey, KeyHash};
use crate::table::delta::{DeltaLog, Position};
use crate::table::namespaces::Pane;
use crate::table::spec::Namespace;
use crate::table::undo::UndoLog;
use std::collections::{BTreeMap, VecDeque, btree_map};
use std::ops::Bound;

/// An element's value, and what its epoch knows about it.
pub(super) struct Element {
    value: Box<[u8]>,
    generation: u64,
    position: Position,
}

/// What an element was before an epoch touched it.
pub(super) struct Before {
    place: Place,
    value: Option<Box<[u8]>>,
}

/// How many dead elements are freed with each change, so that no drop or commit frees many at once.
const FREED_PER_CHANGE: usize = 3;

/// What dropped namespaces and committed epochs leave behind.
#[derive(Default)]
pub(super) struct OrderedArena {
    dead_panes: VecDeque<BTreeMap<Place, Element>>,
    dead_logs: VecDeque<Vec<Before>>,
}

impl OrderedArena {
    fn reclaim(&mut self) {
        for _ in 0..FREED_PER_CHANGE {
            if let Some(log) = self.dead_logs.front_mut() {
                if log.pop().is_none() {
                    self.dead_logs.pop_front();
                }
            } else if let Some(pane) = self.dead_panes.front_mut() {
                if pane.pop_first().is_none() {
                    self.dead_panes.pop_front();
                }
            } else {
                return;
            }
        }
    }
}

/// What a change needs beside its pane.
pub(super) struct Context<'a> {
    pub(super) arena: &'a mut OrderedArena,
    pub(super) log: &'a mut DeltaLog,
    pub(super) namespace: Namespace,
    pub(super) generation: u64,
}

/// The elements of one namespace.
pub(super) struct OrderedPane {
    elements: BTreeMap<Place, Element>,
    undo: UndoLog<Before>,
}

/// The generation of changes that no delta has: restores and rollbacks. It is never the open one.
const UNLOGGED: u64 = 0;

impl Element {
    fn unlogged(value: Box<[u8]>) -> Self {
        Self { value, generation: UNLOGGED, position: Position::NONE }
    }

    fn is_touched(&self, generation: u64) -> bool {
        self.generation == generation && self.position != Position::NONE
    }
}

impl OrderedPane {
    pub(super) fn get(&self, key: HashedKey<'_>, order: &[u8]) -> Option<&[u8]> {
        let element = self.elements.get(&Probe::new(key, order) as &dyn Compare)?;
        Some(&element.value)
    }

    pub(super) fn put(&mut self, cx: Context<'_>, key: HashedKey<'_>, order: &[u8], value: &[u8]) {
        cx.arena.reclaim();
        let probe = Probe::new(key, order);
        let found = self.elements.get_mut(&probe as &dyn Compare);
        if let Some(element) = &found
            && element.is_touched(cx.generation)
            && element.value.len() == value.len()
        {
            let position = element.position;
            cx.log.value_mut(position, value.len()).copy_from_slice(value);
            found.expect("just seen").value.copy_from_slice(value);
            return;
        }
        let position = cx.log.put_element(key.hash(), cx.namespace, key.bytes(), order, value);
        let new = Element { value: value.into(), generation: cx.generation, position };
        let Some(element) = found else {
            let place = probe.to_place();
            self.undo.push(cx.generation, Before { place: place.clone(), value: None });
            self.elements.insert(place, new);
            return;
        };
        let old = std::mem::replace(element, new);
        if !old.is_touched(cx.generation) {
            self.undo.push(cx.generation, Before { place: probe.to_place(), value: Some(old.value) });
        }
    }

    pub(super) fn remove(&mut self, cx: Context<'_>, key: HashedKey<'_>, order: &[u8]) -> bool {
        let probe = Probe::new(key, order);
        let Some((place, old)) = self.elements.remove_entry(&probe as &dyn Compare) else { return false };
        if !old.is_touched(cx.generation) {
            self.undo.push(cx.generation, Before { place, value: Some(old.value) });
        }
        cx.log.remove_element(key.hash(), cx.namespace, key.bytes(), order);
        true
    }

    pub(super) fn remove_range(
        &mut self,
        cx: Context<'_>,
        key: HashedKey<'_>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> usize {
        let mut removed = 0;
        for (place, old) in self.extract(key, start, end) {
            removed += 1;
            if !old.is_touched(cx.generation) {
                self.undo.push(cx.generation, Before { place, value: Some(old.value) });
            }
        }
        if removed > 0 {
            cx.log.remove_range(key.hash(), cx.namespace, key.bytes(), start, end);
        }
        removed
    }

    /// Takes out the elements of `key` in a range.
    fn extract(
        &mut self,
        key: HashedKey<'_>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> Vec<(Place, Element)> {
        let Some((lower, upper)) = between(key, start, end) else { return Vec::new() };
        // The map's own extraction takes bounds of places only.
        let bounds = (lower.map(Probe::to_place), upper.map(Probe::to_place));
        self.elements.extract_if(bounds, |place, _| place.key() == key.bytes()).collect()
    }

    pub(super) fn range<'a>(
        &'a self,
        key: HashedKey<'a>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        between(key, start, end)
            .map(|bounds| self.elements.range::<dyn Compare, _>(as_compare(&bounds)))
            .into_iter()
            .flatten()
            .filter(move |(place, _)| place.key() == key.bytes())
            .map(|(place, element)| (place.order(), &*element.value))
    }

    pub(super) fn scan(
        &self,
        from: KeyHash,
        elements_max: usize,
        mut visit: impl FnMut(&[u8], &[u8], &[u8]),
    ) -> Option<KeyHash> {
        let mut last = from;
        let start = Probe::before(from);
        let range = (Bound::Included(&start as &dyn Compare), Bound::Unbounded);
        for (visited, (place, element)) in self.elements.range::<dyn Compare, _>(range).enumerate() {
            if visited >= elements_max && place.hash() != last {
                return Some(place.hash());
            }
            visit(place.key(), place.order(), &element.value);
            last = place.hash();
        }
        None
    }

    /// Sets or removes a value without a word to any log.
    pub(super) fn set(&mut self, key: HashedKey<'_>, order: &[u8], value: Option<&[u8]>) {
        let probe = Probe::new(key, order);
        match value {
            Some(value) => {
                self.elements.insert(probe.to_place(), Element::unlogged(value.into()));
            }
            None => {
                self.elements.remove(&probe as &dyn Compare);
            }
        }
    }

    /// Removes a range without a word to any log.
    pub(super) fn unset_range(&mut self, key: HashedKey<'_>, start: Bound<&[u8]>, end: Bound<&[u8]>) {
        self.extract(key, start, end);
    }

    /// Removes everything with these hashes, without a word to any log.
    pub(super) fn unset_hashes(&mut self, (first, last): (KeyHash, KeyHash)) {
        let lower = Bound::Included(Probe::before(first).to_place());
        let upper = match last.0.checked_add(1) {
            Some(next) => Bound::Excluded(Probe::before(KeyHash(next)).to_place()),
            None => Bound::Unbounded,
        };
        self.elements.extract_if((lower, upper), |_, _| true).for_each(drop);
    }

    fn restore(&mut self, Before { place, value }: Before) {
        match (self.elements.entry(place), value) {
            (btree_map::Entry::Occupied(mut entry), Some(value)) => {
                entry.insert(Element::unlogged(value));
            }
            (btree_map::Entry::Occupied(entry), None) => {
                entry.remove();
            }
            (btree_map::Entry::Vacant(entry), Some(value)) => {
                entry.insert(Element::unlogged(value));
            }
            (btree_map::Entry::Vacant(_), None) => {}
        }
    }
}

impl Pane for OrderedPane {
    type Arena = OrderedArena;

    fn new(_arena: &OrderedArena) -> Self {
        Self { elements: BTreeMap::new(), undo: UndoLog::new() }
    }

    fn len(&self) -> usize {
        self.elements.len()
    }

    fn has_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    fn commit(&mut self, arena: &mut OrderedArena, through: u64) {
        self.undo.commit(through, |chunk| arena.dead_logs.push_back(std::mem::take(chunk)));
    }

    fn rollback(&mut self, _arena: &mut OrderedArena, from: u64) {
        for before in self.undo.undo(from) {
            self.restore(before);
        }
    }

    fn discard(self, arena: &mut OrderedArena) {
        arena.dead_panes.push_back(self.elements);
    }
}
