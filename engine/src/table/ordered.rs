//! The ordered table: (key, order key) -> value.

use super::delta::{self, Change, DeltaRun};
use super::{Delta, DeltaError, Namespace, Table, TableSpec, UNRESOLVED_MAX};
use crate::epoch::Epoch;
use crate::key::{HashedKey, KeyHash};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// How many keys one call of a scan visits.
const SCAN_KEYS: usize = 1_024;

type Place = (u64, KeyHash, Vec<u8>, Vec<u8>);

struct Undo {
    place: Place,
    before: Option<Vec<u8>>,
}

/// A table of (key, order key) -> value, in byte order of the order keys of a key.
pub struct OrderedTable {
    spec: TableSpec,
    entries: BTreeMap<Place, Vec<u8>>,
    open: Vec<u8>,
    undo: Vec<Undo>,
    sealed: VecDeque<(Epoch, Vec<Undo>)>,
}

impl OrderedTable {
    /// An empty table.
    #[must_use]
    pub fn new(spec: TableSpec) -> Self {
        Self {
            spec,
            entries: BTreeMap::new(),
            open: delta::header(&spec),
            undo: Vec::new(),
            sealed: VecDeque::new(),
        }
    }

    /// The value at `order` of `key`.
    #[must_use]
    pub fn get(&self, namespace: Namespace, key: HashedKey<'_>, order: &[u8]) -> Option<&[u8]> {
        self.entries.get(&place(namespace, key, order)).map(Vec::as_slice)
    }

    /// Sets the value at `order` of `key`.
    pub fn put(&mut self, namespace: Namespace, key: HashedKey<'_>, order: &[u8], value: &[u8]) {
        delta::write(&mut self.open, &Change::Put { namespace: namespace.0, key: key.bytes(), order, value });
        let place = place(namespace, key, order);
        let before = self.entries.insert(place.clone(), value.to_vec());
        self.undo.push(Undo { place, before });
    }

    /// Puts `value` after the last element of `key`, whose order keys are then consecutive `u64`s, and returns its number.
    ///
    /// # Panics
    /// If the last element of `key` was not made by `append`.
    pub fn append(&mut self, namespace: Namespace, key: HashedKey<'_>, value: &[u8]) -> u64 {
        let next = self.last(namespace, key).map_or(0, |(order, _)| {
            u64::from_be_bytes(order.try_into().expect("an appended list has eight-byte order keys")) + 1
        });
        self.put(namespace, key, &next.to_be_bytes(), value);
        next
    }

    /// Removes the element at `order` of `key`. Returns whether there was one.
    pub fn remove(&mut self, namespace: Namespace, key: HashedKey<'_>, order: &[u8]) -> bool {
        let place = place(namespace, key, order);
        let Some(before) = self.entries.remove(&place) else { return false };
        delta::write(&mut self.open, &Change::Remove { namespace: namespace.0, key: key.bytes(), order });
        self.undo.push(Undo { place, before: Some(before) });
        true
    }

    /// The elements of `key` whose order keys lie in a range, ascending (or descending from the back): order key and value.
    pub fn range<'a>(
        &'a self,
        namespace: Namespace,
        key: HashedKey<'a>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> + 'a {
        let start = start.map(<[u8]>::to_vec);
        let end = end.map(<[u8]>::to_vec);
        self.entries
            .range(place(namespace, key, &[])..)
            .take_while(move |((n, _, k, _), _)| *n == namespace.0 && k == key.bytes())
            .filter(move |((_, _, _, o), _)| (start.as_ref(), end.as_ref()).contains_order(o))
            .map(|((_, _, _, order), value)| (order.as_slice(), value.as_slice()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// The element of `key` with the smallest order key.
    #[must_use]
    pub fn first(&self, namespace: Namespace, key: HashedKey<'_>) -> Option<(&[u8], &[u8])> {
        self.entries
            .range(place(namespace, key, &[])..)
            .next()
            .filter(|((n, _, k, _), _)| *n == namespace.0 && k == key.bytes())
            .map(|((_, _, _, order), value)| (order.as_slice(), value.as_slice()))
    }

    /// The element of `key` with the largest order key.
    #[must_use]
    pub fn last(&self, namespace: Namespace, key: HashedKey<'_>) -> Option<(&[u8], &[u8])> {
        self.entries
            .range(place(namespace, key, &[])..)
            .take_while(|((n, _, k, _), _)| *n == namespace.0 && k == key.bytes())
            .last()
            .map(|((_, _, _, order), value)| (order.as_slice(), value.as_slice()))
    }

    /// Removes the elements of `key` whose order keys lie in a range, with one record. Returns how many there were.
    pub fn remove_range(
        &mut self,
        namespace: Namespace,
        key: HashedKey<'_>,
        start: Bound<&[u8]>,
        end: Bound<&[u8]>,
    ) -> usize {
        let orders: Vec<_> =
            self.range(namespace, key, start, end).map(|(order, _)| order.to_vec()).collect();
        for order in &orders {
            self.remove(namespace, key, order);
        }
        orders.len()
    }

    /// Removes everything in `namespace`, with one record.
    pub fn drop_namespace(&mut self, namespace: Namespace) {
        delta::write(&mut self.open, &Change::Drop { namespace: namespace.0 });
        let gone: Vec<_> = self.entries.extract_if(.., |place, _| place.0 == namespace.0).collect();
        self.undo.extend(gone.into_iter().map(|(place, value)| Undo { place, before: Some(value) }));
    }

    /// How many elements `namespace` has.
    #[must_use]
    pub fn len(&self, namespace: Namespace) -> usize {
        self.entries.keys().filter(|place| place.0 == namespace.0).count()
    }

    /// The namespaces that have elements, ascending.
    pub fn namespaces(&self) -> impl Iterator<Item = Namespace> + '_ {
        let mut last = None;
        self.entries
            .keys()
            .filter_map(move |place| (last.replace(place.0) != Some(place.0)).then_some(Namespace(place.0)))
    }

    /// Visits the elements of some keys of `namespace` whose hash is at or above `from`, and returns where to go on, or nothing
    /// when all were visited: key, order key, value, the elements of a key in order. A cursor stays good when the table
    /// changes or is restored: no element that is there all the while is visited twice or left out.
    pub fn scan(
        &self,
        namespace: Namespace,
        from: KeyHash,
        mut visit: impl FnMut(&[u8], &[u8], &[u8]),
    ) -> Option<KeyHash> {
        let mut last = from;
        let elements = self.entries.range((namespace.0, from, vec![], vec![])..);
        for (visited, ((n, hash, key, order), value)) in elements.enumerate() {
            if *n != namespace.0 {
                return None;
            }
            if visited >= SCAN_KEYS && *hash != last {
                return Some(*hash);
            }
            visit(key, order, value);
            last = *hash;
        }
        None
    }
}

/// Whether an order key lies between two bounds.
trait ContainsOrder {
    fn contains_order(&self, order: &[u8]) -> bool;
}

impl ContainsOrder for (Bound<&Vec<u8>>, Bound<&Vec<u8>>) {
    fn contains_order(&self, order: &[u8]) -> bool {
        let above = match self.0 {
            Bound::Included(start) => start.as_slice() <= order,
            Bound::Excluded(start) => start.as_slice() < order,
            Bound::Unbounded => true,
        };
        above
            && match self.1 {
                Bound::Included(end) => order <= end.as_slice(),
                Bound::Excluded(end) => order < end.as_slice(),
                Bound::Unbounded => true,
            }
    }
}

fn place(namespace: Namespace, key: HashedKey<'_>, order: &[u8]) -> Place {
    (namespace.0, key.hash(), key.bytes().to_vec(), order.to_vec())
}

impl Table for OrderedTable {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }

    fn open_bytes(&self) -> usize {
        self.open.len()
    }

    fn seal(&mut self, epoch: Epoch) -> Delta {
        assert!(self.sealed.len() < UNRESOLVED_MAX, "too many unresolved epochs");
        assert!(self.sealed.back().is_none_or(|(last, _)| *last < epoch), "epochs rise");
        let bytes = std::mem::replace(&mut self.open, delta::header(&self.spec));
        let undo = std::mem::take(&mut self.undo);
        let runs = if undo.is_empty() {
            Vec::new()
        } else {
            vec![DeltaRun { groups: self.spec.range, bytes: bytes.into() }]
        };
        self.sealed.push_back((epoch, undo));
        Delta { table: self.spec.id, epoch, runs }
    }

    fn commit(&mut self, through: Epoch) {
        while self.sealed.pop_front_if(|(epoch, _)| *epoch <= through).is_some() {}
    }

    fn rollback(&mut self, to: Epoch) {
        self.open = delta::header(&self.spec);
        let mut undo = std::mem::take(&mut self.undo);
        loop {
            for Undo { place, before } in undo.into_iter().rev() {
                match before {
                    Some(value) => self.entries.insert(place, value),
                    None => self.entries.remove(&place),
                };
            }
            match self.sealed.pop_back_if(|(epoch, _)| *epoch > to) {
                Some((_, sealed)) => undo = sealed,
                None => return,
            }
        }
    }

    fn apply(&mut self, run: &[u8]) -> Result<(), DeltaError> {
        for change in delta::read(&self.spec, run)? {
            match change {
                Change::Put { namespace, key, order, value } => {
                    let key = HashedKey::new(key);
                    if self.spec.range.contains(self.spec.groups.group_of(key.hash())) {
                        self.entries.insert(place(Namespace(namespace), key, order), value.to_vec());
                    }
                }
                Change::Remove { namespace, key, order } => {
                    self.entries.remove(&place(Namespace(namespace), HashedKey::new(key), order));
                }
                Change::Drop { namespace } => self.entries.retain(|place, _| place.0 != namespace),
            }
        }
        Ok(())
    }
}
