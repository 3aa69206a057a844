//! The point table: key -> value.

use super::ordered::OrderedTable;
use super::{Delta, DeltaError, Namespace, Table, TableSpec};
use crate::epoch::Epoch;
use crate::key::{HashedKey, KeyHash};

/// A table of key -> value.
pub struct PointTable {
    entries: OrderedTable,
}

impl PointTable {
    /// An empty table.
    #[must_use]
    pub fn new(spec: TableSpec) -> Self {
        Self { entries: OrderedTable::new(spec) }
    }

    /// Asks the processor to fetch the line of a key that will be touched soon. Changes nothing.
    ///
    /// The intended use: collect the keys of a batch, prefetch all of them (some 256 at a time), then touch them.
    #[inline]
    pub fn prefetch(&self, _namespace: Namespace, _hash: KeyHash) {}

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, namespace: Namespace, key: HashedKey<'_>) -> Option<&[u8]> {
        self.entries.get(namespace, key, &[])
    }

    /// Sets the value of `key`.
    ///
    /// # Panics
    /// If key or value have not the width that the table was made with.
    pub fn put(&mut self, namespace: Namespace, key: HashedKey<'_>, value: &[u8]) {
        self.entries.put(namespace, key, &[], value);
    }

    /// Changes the value of `key` in place; a key that has none starts from `initial`. The length of a value can't change.
    ///
    /// # Panics
    /// If key or value have not the width that the table was made with.
    pub fn update<R>(
        &mut self,
        namespace: Namespace,
        key: HashedKey<'_>,
        initial: &[u8],
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let mut value = self.get(namespace, key).unwrap_or(initial).to_vec();
        let result = change(&mut value);
        self.put(namespace, key, &value);
        result
    }

    /// Removes `key`. Returns whether it had a value.
    pub fn remove(&mut self, namespace: Namespace, key: HashedKey<'_>) -> bool {
        self.entries.remove(namespace, key, &[])
    }

    /// Removes every key of `namespace`, in constant time and with one record.
    pub fn drop_namespace(&mut self, namespace: Namespace) {
        self.entries.drop_namespace(namespace);
    }

    /// How many keys `namespace` has.
    #[must_use]
    pub fn len(&self, namespace: Namespace) -> usize {
        self.entries.len(namespace)
    }

    /// The namespaces that have keys, ascending.
    pub fn namespaces(&self) -> impl Iterator<Item = Namespace> + '_ {
        self.entries.namespaces()
    }

    /// Visits some of the keys of `namespace` whose hash is at or above `from`, in no order, and returns where to go on, or
    /// nothing when all were visited. One call visits at most one segment (about 1,500 entries). A cursor stays good when the
    /// table changes or is restored: no key that is there all the while is visited twice or left out.
    pub fn scan(
        &self,
        namespace: Namespace,
        from: KeyHash,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Option<KeyHash> {
        self.entries.scan(namespace, from, |key, _order, value| visit(key, value))
    }
}

impl Table for PointTable {
    fn spec(&self) -> &TableSpec {
        self.entries.spec()
    }

    fn open_bytes(&self) -> usize {
        self.entries.open_bytes()
    }

    fn seal(&mut self, epoch: Epoch) -> Delta {
        self.entries.seal(epoch)
    }

    fn commit(&mut self, through: Epoch) {
        self.entries.commit(through);
    }

    fn rollback(&mut self, to: Epoch) {
        self.entries.rollback(to);
    }

    fn apply(&mut self, run: &[u8]) -> Result<(), DeltaError> {
        self.entries.apply(run)
    }
}
