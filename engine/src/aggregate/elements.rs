//! The values that an aggregate must keep: a multiset in order, one table entry for each distinct value.

use crate::{
    key::{HashedKey, Key},
    table::{Namespace, OrderedTable},
};
use std::{fmt, ops::Bound};

/// The first bytes of order keys, by set: a place for bounds to borrow from.
const SETS: [u8; 256] = {
    let mut sets = [0; 256];
    let mut set = 0;
    while set < 256 {
        sets[set] = set as u8;
        set += 1;
    }
    sets
};

/// The multisets of an aggregate for one key and pane, while a record is added.
pub struct Elements<'a> {
    place: Option<Place<'a>>,
    /// Which set is meant: the first byte of its order keys.
    set: u8,
}

struct Place<'a> {
    table: &'a mut OrderedTable,
    pane: Namespace,
    key: HashedKey<'a>,
    order: &'a mut Vec<u8>,
}

impl<'a> Elements<'a> {
    /// For aggregates that keep none.
    pub(crate) const fn none() -> Self {
        Self { place: None, set: 0 }
    }

    pub(crate) const fn new(
        table: &'a mut OrderedTable,
        pane: Namespace,
        key: HashedKey<'a>,
        order: &'a mut Vec<u8>,
    ) -> Self {
        Self { place: Some(Place { table, pane, key, order }), set: 0 }
    }

    /// The sets behind the first `by`: an aggregate that consists of others gives each its own.
    pub fn behind(&mut self, by: u8) -> Elements<'_> {
        let place = self.place.as_mut().map(|place| Place {
            table: place.table,
            pane: place.pane,
            key: place.key,
            order: place.order,
        });
        Elements { place, set: self.set + by }
    }

    /// Adds one value to the first set.
    ///
    /// # Panics
    /// If the aggregate said that it has no elements: [`Aggregate::ELEMENTS`](super::Aggregate::ELEMENTS).
    pub fn add<K: Key>(&mut self, value: &K) {
        let place = self.place.as_mut().expect("an aggregate that keeps elements says so in ELEMENTS");
        let Place { table, pane, key, order } = place;
        order.clear();
        order.push(self.set);
        value.encode(order);
        let before = table.get(*pane, *key, order).map_or(0, count);
        table.put(*pane, *key, order, &(before + 1).to_le_bytes());
    }
}

impl fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elements({})", self.set)
    }
}

/// The multisets of an aggregate for one key and pane, to be read.
#[derive(Clone, Copy)]
pub struct ElementsView<'a> {
    place: Option<(&'a OrderedTable, Namespace, HashedKey<'a>)>,
    set: u8,
}

impl<'a> ElementsView<'a> {
    pub(crate) const fn none() -> Self {
        Self { place: None, set: 0 }
    }

    pub(crate) const fn new(table: &'a OrderedTable, pane: Namespace, key: HashedKey<'a>) -> Self {
        Self { place: Some((table, pane, key)), set: 0 }
    }

    /// The sets behind the first `by`.
    #[must_use]
    pub const fn behind(self, by: u8) -> Self {
        Self { place: self.place, set: self.set + by }
    }

    /// The distinct values of the first set, ascending, each with how often it was added.
    ///
    /// # Panics
    /// If `K` is not the type that was added.
    pub fn iter<K: Key + 'a>(self) -> impl Iterator<Item = (K, u64)> + 'a {
        let set = usize::from(self.set);
        let (start, end) = (Bound::Included(&SETS[set..=set]), Bound::Excluded(&SETS[set + 1..set + 2]));
        let entries = self.place.map(|(table, pane, key)| table.range(pane, key, start, end));
        entries.into_iter().flatten().map(|(order, value)| {
            let element = K::from_key_bytes(&order[1..]).expect("the order keys of a set are of its type");
            (element, count(value))
        })
    }
}

impl fmt::Debug for ElementsView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ElementsView({})", self.set)
    }
}

fn count(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().expect("counts have eight bytes"))
}
