mod collisions;
mod drops;
mod model;
mod random;

use super::{Namespace, OrderedTable, PointTable, Table, TableId, TableSpec, Width};
use crate::key::{HashedKey, KeyGroupRange, KeyGroups, KeyHash};
use std::collections::BTreeMap;
use std::ops::Bound;

/// What a table has: (namespace, key, order key) -> value.
pub(in crate::table) type Dump = BTreeMap<(u64, Vec<u8>, Vec<u8>), Vec<u8>>;

pub(in crate::table) fn spec(key: Width, value: Width) -> TableSpec {
    let groups = KeyGroups::new(100).unwrap();
    TableSpec { id: TableId(7), types: 42, groups, range: groups.all(), key, value }
}

pub(in crate::table) fn with_range(spec: TableSpec, start: u16, end: u16) -> TableSpec {
    TableSpec { range: KeyGroupRange { start, end }, ..spec }
}

/// Gets key, order key and value.
pub(in crate::table) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8], &[u8]);

/// Either kind of table, for tests that hold for both. Point tables have one element a key, whose order key is empty.
pub(in crate::table) trait Subject: Table {
    const IS_ORDERED: bool;

    fn make(spec: TableSpec) -> Self;
    fn put(&mut self, namespace: u64, key: &[u8], order: &[u8], value: &[u8]);
    fn get(&self, namespace: u64, key: &[u8], order: &[u8]) -> Option<Vec<u8>>;
    fn remove(&mut self, namespace: u64, key: &[u8], order: &[u8]) -> bool;
    fn remove_range(&mut self, namespace: u64, key: &[u8], start: Bound<&[u8]>, end: Bound<&[u8]>) -> usize;
    fn drop_namespace(&mut self, namespace: u64);
    fn len(&self, namespace: u64) -> usize;
    fn namespaces(&self) -> Vec<Namespace>;
    fn scan(&self, namespace: u64, from: KeyHash, visit: Visit<'_>) -> Option<KeyHash>;

    /// Everything in the table, by scans, with the counts checked.
    fn dump(&self) -> Dump {
        let mut dump = Dump::new();
        for namespace in self.namespaces() {
            let before = dump.len();
            let mut from = Some(KeyHash(0));
            while let Some(at) = from {
                from = self.scan(namespace.0, at, &mut |key, order, value| {
                    let place = (namespace.0, key.to_vec(), order.to_vec());
                    assert!(dump.insert(place, value.to_vec()).is_none(), "{key:?} is visited twice");
                });
            }
            assert_eq!(dump.len() - before, self.len(namespace.0));
            assert!(dump.len() > before, "a namespace without entries is no namespace");
        }
        dump
    }
}

impl Subject for PointTable {
    const IS_ORDERED: bool = false;

    fn make(spec: TableSpec) -> Self {
        Self::new(spec)
    }

    /// Uses `put` and `update` in turns.
    fn put(&mut self, namespace: u64, key: &[u8], _order: &[u8], value: &[u8]) {
        let (namespace, key) = (Namespace(namespace), HashedKey::new(key));
        self.prefetch(namespace, key.hash());
        let length = self.get(namespace, key).map_or(value.len(), <[u8]>::len);
        if length == value.len() && value.first().is_some_and(|first| first % 2 == 0) {
            let initial = vec![0; value.len()];
            let old = self.get(namespace, key).map(<[u8]>::to_vec);
            let seen = self.update(namespace, key, &initial, |slot| {
                let seen = slot.to_vec();
                slot.copy_from_slice(value);
                seen
            });
            assert_eq!(seen, old.unwrap_or(initial));
        } else {
            self.put(namespace, key, value);
        }
    }

    fn get(&self, namespace: u64, key: &[u8], _order: &[u8]) -> Option<Vec<u8>> {
        self.get(Namespace(namespace), HashedKey::new(key)).map(<[u8]>::to_vec)
    }

    fn remove(&mut self, namespace: u64, key: &[u8], _order: &[u8]) -> bool {
        self.remove(Namespace(namespace), HashedKey::new(key))
    }

    fn remove_range(&mut self, namespace: u64, key: &[u8], _: Bound<&[u8]>, _: Bound<&[u8]>) -> usize {
        usize::from(self.remove(Namespace(namespace), HashedKey::new(key)))
    }

    fn drop_namespace(&mut self, namespace: u64) {
        self.drop_namespace(Namespace(namespace));
    }

    fn len(&self, namespace: u64) -> usize {
        self.len(Namespace(namespace))
    }

    fn namespaces(&self) -> Vec<Namespace> {
        let all = self.namespaces();
        assert_eq!(self.first_namespace(), all.first().copied());
        all
    }

    fn scan(&self, namespace: u64, from: KeyHash, visit: Visit<'_>) -> Option<KeyHash> {
        self.scan(Namespace(namespace), from, |key, value| visit(key, &[], value))
    }
}

impl Subject for OrderedTable {
    const IS_ORDERED: bool = true;

    fn make(spec: TableSpec) -> Self {
        Self::new(spec)
    }

    fn put(&mut self, namespace: u64, key: &[u8], order: &[u8], value: &[u8]) {
        self.put(Namespace(namespace), HashedKey::new(key), order, value);
    }

    fn get(&self, namespace: u64, key: &[u8], order: &[u8]) -> Option<Vec<u8>> {
        self.get(Namespace(namespace), HashedKey::new(key), order).map(<[u8]>::to_vec)
    }

    fn remove(&mut self, namespace: u64, key: &[u8], order: &[u8]) -> bool {
        self.remove(Namespace(namespace), HashedKey::new(key), order)
    }

    fn remove_range(&mut self, namespace: u64, key: &[u8], start: Bound<&[u8]>, end: Bound<&[u8]>) -> usize {
        self.remove_range(Namespace(namespace), HashedKey::new(key), start, end)
    }

    fn drop_namespace(&mut self, namespace: u64) {
        self.drop_namespace(Namespace(namespace));
    }

    fn len(&self, namespace: u64) -> usize {
        self.len(Namespace(namespace))
    }

    fn namespaces(&self) -> Vec<Namespace> {
        self.namespaces()
    }

    fn scan(&self, namespace: u64, from: KeyHash, visit: Visit<'_>) -> Option<KeyHash> {
        self.scan(Namespace(namespace), from, visit)
    }
}
