//! The point table: key -> value.
//!
//! The design is that of one cache line a touch. An entry of small fixed widths lies in a line of 64 bytes together with what
//! its epoch knows about it ([`mod@line`]); lines make up segments, and segments a map that grows without long stops
//! ([`flat`]). So the one miss that a wide set of keys costs can be fetched ahead: operators collect the keys of a batch,
//! [`prefetch`](PointTable::prefetch) them all, and touch them then. Wider or variable entries lie in blocks beside the lines
//! ([`blocks`]), which costs a second miss.

mod blocks;
mod boxed;
mod fixed;
mod flat;
mod line;
mod pool;
mod prefetch;
mod store;

use super::{Delta, DeltaError, Namespace, Table, TableSpec, Width};
use crate::epoch::Epoch;
use crate::key::{HashedKey, KeyHash};
use boxed::{BoxedArena, BoxedPane};
use fixed::{FixedArena, FixedPane};
use store::{Store, span_of};

/// The most bytes that key and value of an entry may have together. A run of a delta says its length in 32 bits.
pub const ENTRY_BYTES_MAX: usize = 1 << 30;

/// A store for each width of slots that is compiled: entries in lines, and everything else.
enum Stores {
    Fixed8x8(Store<FixedPane<8, 8>>),
    Fixed8x16(Store<FixedPane<8, 16>>),
    Fixed8x32(Store<FixedPane<8, 32>>),
    Fixed16x8(Store<FixedPane<16, 8>>),
    Fixed16x16(Store<FixedPane<16, 16>>),
    Fixed16x32(Store<FixedPane<16, 32>>),
    Boxed(Store<BoxedPane>),
}

/// Does the same with whichever store it is.
macro_rules! each {
    ($table:expr, $store:ident => $does:expr) => {
        match $table {
            Stores::Fixed8x8($store) => $does,
            Stores::Fixed8x16($store) => $does,
            Stores::Fixed8x32($store) => $does,
            Stores::Fixed16x8($store) => $does,
            Stores::Fixed16x16($store) => $does,
            Stores::Fixed16x32($store) => $does,
            Stores::Boxed($store) => $does,
        }
    };
}

/// A table of key -> value.
///
/// Entries whose widths are fixed, with keys of at most 16 bytes and values of at most 32, lie in place: one cache miss.
pub struct PointTable {
    spec: TableSpec,
    stores: Stores,
}

impl PointTable {
    /// An empty table.
    #[must_use]
    pub fn new(spec: TableSpec) -> Self {
        let span = span_of(&spec);
        let stores = match (spec.key, spec.value) {
            (Width::Fixed(key @ 0..=16), Width::Fixed(value @ 0..=32)) => {
                let arena = FixedArena::new(span, key as usize, value as usize);
                match (key, value) {
                    (0..=8, 0..=8) => Stores::Fixed8x8(Store::new(spec, arena)),
                    (0..=8, 9..=16) => Stores::Fixed8x16(Store::new(spec, arena)),
                    (0..=8, _) => Stores::Fixed8x32(Store::new(spec, arena)),
                    (_, 0..=8) => Stores::Fixed16x8(Store::new(spec, arena)),
                    (_, 9..=16) => Stores::Fixed16x16(Store::new(spec, arena)),
                    _ => Stores::Fixed16x32(Store::new(spec, arena)),
                }
            }
            _ => Stores::Boxed(Store::new(spec, BoxedArena::new(span))),
        };
        Self { spec, stores }
    }

    #[inline]
    fn check(&self, key: HashedKey<'_>, value: &[u8]) {
        let fits = |width, bytes: &[u8]| match width {
            Width::Fixed(length) => length as usize == bytes.len(),
            Width::Variable => true,
        };
        assert!(fits(self.spec.key, key.bytes()), "a key of {} bytes in {:?}", key.bytes().len(), self.spec);
        assert!(fits(self.spec.value, value), "a value of {} bytes in {:?}", value.len(), self.spec);
        assert!(
            key.bytes().len() + value.len() <= ENTRY_BYTES_MAX,
            "an entry of over {ENTRY_BYTES_MAX} bytes"
        );
    }

    /// Asks the processor to fetch the line of a key that will be touched soon. Changes nothing.
    ///
    /// The intended use: collect the keys of a batch, prefetch all of them (some 256 at a time), then touch them.
    #[inline]
    pub fn prefetch(&self, namespace: Namespace, hash: KeyHash) {
        each!(&self.stores, store => store.prefetch(namespace, hash));
    }

    /// The value of `key`.
    #[inline]
    #[must_use]
    pub fn get(&self, namespace: Namespace, key: HashedKey<'_>) -> Option<&[u8]> {
        each!(&self.stores, store => store.get(namespace, key))
    }

    /// Sets the value of `key`.
    ///
    /// # Panics
    /// If key or value have not the width that the table was made with, or together over [`ENTRY_BYTES_MAX`] bytes.
    #[inline]
    pub fn put(&mut self, namespace: Namespace, key: HashedKey<'_>, value: &[u8]) {
        self.check(key, value);
        each!(&mut self.stores, store => store.put(namespace, key, value));
    }

    /// Changes the value of `key`; a key that has none starts from `initial`. The length of a value can't change. If `change`
    /// panics, nothing has happened.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    #[inline]
    pub fn update<R>(
        &mut self,
        namespace: Namespace,
        key: HashedKey<'_>,
        initial: &[u8],
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        self.check(key, initial);
        each!(&mut self.stores, store => store.update(namespace, key, initial, change))
    }

    /// Removes `key`. Returns whether it had a value.
    pub fn remove(&mut self, namespace: Namespace, key: HashedKey<'_>) -> bool {
        each!(&mut self.stores, store => store.remove(namespace, key))
    }

    /// Removes every key of `namespace`, at once and with one record per run.
    pub fn drop_namespace(&mut self, namespace: Namespace) {
        each!(&mut self.stores, store => store.drop_namespace(namespace));
    }

    /// How many keys `namespace` has.
    #[must_use]
    pub fn len(&self, namespace: Namespace) -> usize {
        each!(&self.stores, store => store.len(namespace))
    }

    /// The namespaces that have keys, ascending.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Namespace> {
        each!(&self.stores, store => store.panes.namespaces().collect())
    }

    /// The lowest namespace that has entries.
    #[must_use]
    pub fn first_namespace(&self) -> Option<Namespace> {
        each!(&self.stores, store => store.panes.namespaces().next())
    }

    /// Visits some of the keys of `namespace` whose hash is at or above `from`, in no order, and returns where to go on, or
    /// nothing when all were visited. Begin with `KeyHash(0)`. One call visits one segment, of at most 768 entries.
    ///
    /// A cursor stays good when the table changes or is restored: no key that is there all the while is visited twice or left
    /// out.
    pub fn scan(
        &self,
        namespace: Namespace,
        from: KeyHash,
        visit: impl FnMut(&[u8], &[u8]),
    ) -> Option<KeyHash> {
        each!(&self.stores, store => store.scan(namespace, from, visit))
    }
}

impl Table for PointTable {
    fn spec(&self) -> &TableSpec {
        &self.spec
    }

    fn open_bytes(&self) -> usize {
        each!(&self.stores, store => store.log.bytes())
    }

    fn seal(&mut self, epoch: Epoch) -> Delta {
        each!(&mut self.stores, store => store.seal(epoch))
    }

    fn commit(&mut self, through: Epoch) {
        each!(&mut self.stores, store => store.commit(through));
    }

    fn rollback(&mut self, to: Epoch) {
        each!(&mut self.stores, store => store.rollback(to));
    }

    fn apply(&mut self, run: &[u8]) -> Result<(), DeltaError> {
        each!(&mut self.stores, store => store.apply(run))
    }
}
