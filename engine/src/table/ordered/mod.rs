//! The ordered table: (key, order key) -> value.
//!
//! Lists, maps, join sides, sessions and several timers a key are this: elements of a key, one entry each, in byte order of
//! an order key (made with [`EncodeKey`](crate::key::EncodeKey), say). Each namespace is a B-tree; see [`place`] for what it
//! is ordered by.

mod pane;
mod place;

use super::delta::{DeltaLog, Record, TableKind, walk};
use super::namespaces::{Pane, Panes};
use super::point::ENTRY_BYTES_MAX;
use super::{Delta, DeltaError, Namespace, Table, TableSpec, Width};
use crate::epoch::Epoch;
use crate::key::{HashedKey, KeyHash};
use pane::{Context, OrderedArena, OrderedPane};
use std::ops::Bound;

/// How many elements one call of a scan visits, those of the last key in full.
const SCAN_ELEMENTS: usize = 1_024;

/// A table of (key, order key) -> value, in byte order of the order keys of a key.
pub struct OrderedTable {
    spec: TableSpec,
    arena: OrderedArena,
    panes: Panes<OrderedPane>,
    log: DeltaLog,
}

impl OrderedTable {
    /// An empty table.
    #[must_use]
    pub fn new(spec: TableSpec) -> Self {
        Self {
            spec,
            arena: OrderedArena::default(),
            panes: Panes::new(),
            log: DeltaLog::new(&spec, TableKind::Ordered),
        }
    }

    /// The value at `order` of `key`.
    #[must_use]
    pub fn get(&self, namespace: Namespace, key: HashedKey<'_>, order: &[u8]) -> Option<&[u8]> {
        self.panes.get(namespace)?.get(key, order)
    }

    /// Sets the value at `order` of `key`.
    ///
    /// # Panics
    /// If key or value have not the width that the table was made with, or all together over [`ENTRY_BYTES_MAX`] bytes.
    pub fn put(&mut self, namespace: Namespace, key: HashedKey<'_>, order: &[u8], value: &[u8]) {
        let fits = |width, bytes: &[u8]| match width {
            Width::Fixed(length) => length as usize == bytes.len(),
            Width::Variable => true,
        };
        assert!(fits(self.spec.key, key.bytes()), "a key of {} bytes in {:?}", key.bytes().len(), self.spec);
        assert!(fits(self.spec.value, value), "a value of {} bytes in {:?}", value.len(), self.spec);
        let bytes = key.bytes().len() + order.len() + value.len();
        assert!(bytes <= ENTRY_BYTES_MAX, "an entry of over {ENTRY_BYTES_MAX} bytes");
        let generation = self.panes.generation();
        let pane = self.panes.touch_or_create(namespace, &self.arena);
        let cx = Context { arena: &mut self.arena, log: &mut self.log, namespace, generation };
        pane.put(cx, key, order, value);
    }

    /// Puts `value` after the last element of `key`, whose order keys are then consecutive `u64`s, and returns its number.
    ///
    /// # Panics
    /// If the last element of `key` was not made by `append`, or as [`put`](Self::put).
    pub fn append(&mut self, namespace: Namespace, key: HashedKey<'_>, value: &[u8]) -> u64 {
        let next = self.last(namespace, key).map_or(0, |(order, _)| {
            u64::from_be_bytes(order.try_into().expect("an appended list has order keys of eight bytes")) + 1
        });
        self.put(namespace, key, &next.to_be_bytes(), value);
        next
    }

    /// The pane of `namespace`, if there is one, and what it takes to change it.
    fn open(&mut self, namespace: Namespace) -> Option<(&mut OrderedPane, Context<'_>)> {
        let generation = self.panes.generation();
        let pane = self.panes.touch(namespace)?;
        Some((pane, Context { arena: &mut self.arena, log: &mut self.log, namespace, generation }))
    }

    /// Removes the element at `order` of `key`. Returns whether there was one.
    pub fn remove(&mut self, namespace: Namespace, key: HashedKey<'_>, order: &[u8]) -> bool {
        self.open(namespace).is_some_and(|(pane, cx)| pane.remove(cx, key, order))
    }

    /// Removes the elements of `key` whose order keys lie in a range, with one record. Returns how many there were.
    pub fn remove_range(
        &mut self,
        namespace: Namespace,
        key: HashedKey<'_>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> usize {
        self.open(namespace).map_or(0, |(pane, cx)| pane.remove_range(cx, key, start, end))
    }

    /// Removes everything in `namespace`, at once and with one record per run.
    pub fn drop_namespace(&mut self, namespace: Namespace) {
        if self.panes.drop_namespace(namespace) {
            self.log.drop_namespace(namespace);
        }
    }

    /// The elements of `key` whose order keys lie in a range, ascending (or descending from the back): order key and value.
    pub fn range<'a>(
        &'a self,
        namespace: Namespace,
        key: HashedKey<'a>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.panes.get(namespace).map(|pane| pane.range(key, start, end)).into_iter().flatten()
    }

    /// The element of `key` with the smallest order key.
    #[must_use]
    pub fn first<'a>(&'a self, namespace: Namespace, key: HashedKey<'a>) -> Option<(&'a [u8], &'a [u8])> {
        self.range(namespace, key, Bound::Unbounded, Bound::Unbounded).next()
    }

    /// The element of `key` with the largest order key.
    #[must_use]
    pub fn last<'a>(&'a self, namespace: Namespace, key: HashedKey<'a>) -> Option<(&'a [u8], &'a [u8])> {
        self.range(namespace, key, Bound::Unbounded, Bound::Unbounded).next_back()
    }

    /// How many elements `namespace` has.
    #[must_use]
    pub fn len(&self, namespace: Namespace) -> usize {
        self.panes.get(namespace).map_or(0, Pane::len)
    }

    /// The namespaces that have elements, ascending.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.panes.namespaces().collect()
    }

    /// Visits the elements of some keys of `namespace` whose hash is at or above `from`, and returns where to go on, or nothing
    /// when all were visited: key, order key, value, the elements of a key in order. Begin with `KeyHash(0)`. One call visits
    /// about 1,024 elements and never divides a key.
    ///
    /// A cursor stays good when the table changes or is restored: no element that is there all the while is visited twice or
    /// left out.
    pub fn scan(
        &self,
        namespace: Namespace,
        from: KeyHash,
        visit: impl FnMut(&[u8], &[u8], &[u8]),
    ) -> Option<KeyHash> {
        self.panes.get(namespace)?.scan(from, SCAN_ELEMENTS, visit)
    }
}

impl Table for OrderedTable {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }

    fn open_bytes(&self) -> usize {
        self.log.bytes()
    }

    fn seal(&mut self, epoch: Epoch) -> Delta {
        let runs = self.log.seal(epoch);
        self.panes.seal(epoch, &runs);
        Delta { table: self.spec.id, epoch, runs }
    }

    fn commit(&mut self, through: Epoch) {
        let log = &mut self.log;
        self.panes.commit(through, &mut self.arena, |run| log.recycle(run));
    }

    fn rollback(&mut self, to: Epoch) {
        self.log.clear();
        self.panes.rollback(to, &mut self.arena);
    }

    fn apply(&mut self, run: &[u8]) -> Result<(), DeltaError> {
        let spec = self.spec;
        let (panes, arena) = (&mut self.panes, &mut self.arena);
        let is_ours = |key: HashedKey<'_>| spec.range.contains(spec.groups.group_of(key.hash()));
        walk(&spec, TableKind::Ordered, run, |groups, record| match record {
            Record::Put { namespace, key, order, value } => {
                let key = HashedKey::new(key);
                if is_ours(key) {
                    panes.restore(namespace, arena).set(key, order, Some(value));
                }
            }
            Record::Remove { namespace, key, order } => {
                if panes.get(namespace).is_some() {
                    panes.restore(namespace, arena).set(HashedKey::new(key), order, None);
                }
            }
            Record::RemoveRange { namespace, key, start, end } => {
                if panes.get(namespace).is_some() {
                    panes.restore(namespace, arena).unset_range(HashedKey::new(key), start, end);
                }
            }
            Record::Drop { namespace } => {
                // A run speaks for its own key groups only.
                if panes.get(namespace).is_some() {
                    panes.restore(namespace, arena).unset_hashes(spec.groups.hashes_of(groups));
                    panes.forget_if_empty(namespace, arena);
                }
            }
        })
    }
}
