//! A table that is nothing but a sorted map, with whole copies for its epochs.

use super::{Dump, Subject, spec, with_range};
use crate::epoch::Epoch;
use crate::table::{Delta, TableSpec, UNRESOLVED_MAX, Width};
use proptest::prelude::*;
use std::ops::Bound;

/// What can be done to a table.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put { namespace: u64, key: u16, order: u8, value: u64, size: u8 },
    PutMany { namespace: u64, first: u16, count: u16, value: u64 },
    Remove { namespace: u64, key: u16, order: u8 },
    RemoveMany { namespace: u64, first: u16, count: u16 },
    RemoveRange { namespace: u64, key: u16, start: Bound<u8>, end: Bound<u8> },
    Drop { namespace: u64 },
    Seal,
    Commit { epochs: u8 },
    Rollback { epochs: u8 },
}

fn bound() -> impl Strategy<Value = Bound<u8>> {
    prop_oneof![
        Just(Bound::Unbounded),
        any::<u8>().prop_map(|b| Bound::Included(b % 8)),
        any::<u8>().prop_map(|b| Bound::Excluded(b % 8)),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let namespace = 0..3_u64;
    let key = prop_oneof![3 => 0..6_u16, 1 => 0..3_000_u16];
    prop_oneof![
        12 => (namespace.clone(), key.clone(), 0..8_u8, any::<u64>(), 0..12_u8)
            .prop_map(|(namespace, key, order, value, size)| Step::Put { namespace, key, order, value, size }),
        1 => (namespace.clone(), 0..2_000_u16, 0..1_500_u16, any::<u64>())
            .prop_map(|(namespace, first, count, value)| Step::PutMany { namespace, first, count, value }),
        4 => (namespace.clone(), key.clone(), 0..8_u8)
            .prop_map(|(namespace, key, order)| Step::Remove { namespace, key, order }),
        1 => (namespace.clone(), 0..2_000_u16, 0..800_u16)
            .prop_map(|(namespace, first, count)| Step::RemoveMany { namespace, first, count }),
        2 => (namespace.clone(), key, bound(), bound())
            .prop_map(|(namespace, key, start, end)| Step::RemoveRange { namespace, key, start, end }),
        1 => namespace.prop_map(|namespace| Step::Drop { namespace }),
        4 => Just(Step::Seal),
        2 => (0..4_u8).prop_map(|epochs| Step::Commit { epochs }),
        1 => (0..5_u8).prop_map(|epochs| Step::Rollback { epochs }),
    ]
}

/// A table and its model, side by side.
pub(super) struct Pair<T> {
    spec: TableSpec,
    table: T,
    now: Dump,
    /// The model at the last committed epoch, and after each sealed one since.
    committed: Dump,
    sealed: Vec<(Epoch, Dump, Delta)>,
    /// The deltas of committed epochs: the changelog.
    changelog: Vec<Delta>,
    next_epoch: u64,
}

impl<T: Subject> Pair<T> {
    pub(super) fn new(spec: TableSpec) -> Self {
        Self {
            spec,
            table: T::make(spec),
            now: Dump::new(),
            committed: Dump::new(),
            sealed: Vec::new(),
            changelog: Vec::new(),
            next_epoch: 1,
        }
    }

    /// A key of the right width: a number, spread over the bytes so that equal prefixes occur.
    fn key(&self, number: u16) -> Vec<u8> {
        match self.spec.key {
            Width::Fixed(width) => {
                let mut key = vec![0; width as usize];
                for (at, byte) in number.to_be_bytes().into_iter().rev().enumerate().take(width as usize) {
                    key[width as usize - 1 - at] = byte;
                }
                key
            }
            Width::Variable => {
                vec![(number % 251) as u8; usize::from(number / 251) + usize::from(number % 3)]
            }
        }
    }

    fn value(&self, value: u64, size: u8) -> Vec<u8> {
        let width = match self.spec.value {
            Width::Fixed(width) => width as usize,
            Width::Variable if size == 11 => 20_000,
            Width::Variable => usize::from(size) * 9,
        };
        value.to_le_bytes().into_iter().cycle().take(width).collect()
    }

    /// Order keys that share prefixes longer and shorter than eight bytes.
    fn order(order: u8) -> Vec<u8> {
        if !T::IS_ORDERED {
            return Vec::new();
        }
        [&b"abcdefghijkl"[..usize::from(order % 4) * 4], &[order / 4]].concat()
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Put { namespace, key, order, value, size } => self.put(namespace, key, order, value, size),
            Step::PutMany { namespace, first, count, value } => {
                for key in first..first + count {
                    self.put(namespace, key, (key % 8) as u8, value ^ u64::from(key), 1);
                }
            }
            Step::Remove { namespace, key, order } => self.remove(namespace, key, order),
            Step::RemoveMany { namespace, first, count } => {
                for key in first..first + count {
                    self.remove(namespace, key, (key % 8) as u8);
                }
            }
            Step::RemoveRange { namespace, key, start, end } => self.remove_range(namespace, key, start, end),
            Step::Drop { namespace } => {
                self.table.drop_namespace(namespace);
                self.now.retain(|place, _| place.0 != namespace);
            }
            Step::Seal => self.seal(),
            Step::Commit { epochs } => self.commit(usize::from(epochs)),
            Step::Rollback { epochs } => self.rollback(usize::from(epochs)),
        }
    }

    fn put(&mut self, namespace: u64, key: u16, order: u8, value: u64, size: u8) {
        let (key, order, value) = (self.key(key), Self::order(order), self.value(value, size));
        self.table.put(namespace, &key, &order, &value);
        assert_eq!(self.table.get(namespace, &key, &order).as_ref(), Some(&value));
        self.now.insert((namespace, key, order), value);
    }

    fn remove(&mut self, namespace: u64, key: u16, order: u8) {
        let (key, order) = (self.key(key), Self::order(order));
        let was = self.now.remove(&(namespace, key.clone(), order.clone())).is_some();
        assert_eq!(self.table.remove(namespace, &key, &order), was);
        assert_eq!(self.table.get(namespace, &key, &order), None);
    }

    fn remove_range(&mut self, namespace: u64, key: u16, start: Bound<u8>, end: Bound<u8>) {
        let key = self.key(key);
        let (start, end) = (start.map(Self::order), end.map(Self::order));
        let is_in = |order: &Vec<u8>| {
            !T::IS_ORDERED
                || (match &start {
                    Bound::Included(start) => start <= order,
                    Bound::Excluded(start) => start < order,
                    Bound::Unbounded => true,
                } && match &end {
                    Bound::Included(end) => order <= end,
                    Bound::Excluded(end) => order < end,
                    Bound::Unbounded => true,
                })
        };
        let before = self.now.len();
        self.now.retain(|(n, k, o), _| !(*n == namespace && *k == key && is_in(o)));
        let (start, end) = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
        assert_eq!(self.table.remove_range(namespace, &key, start, end), before - self.now.len());
    }

    fn seal(&mut self) {
        if self.sealed.len() == UNRESOLVED_MAX {
            self.commit(1);
        }
        let epoch = Epoch(self.next_epoch);
        self.next_epoch += 2;
        let written = self.table.open_bytes();
        let delta = self.table.seal(epoch);
        assert_eq!(delta.len(), written);
        assert_eq!(self.table.open_bytes(), 0);
        self.sealed.push((epoch, self.now.clone(), delta));
    }

    fn commit(&mut self, epochs: usize) {
        for (epoch, state, delta) in self.sealed.drain(..epochs.min(self.sealed.len())) {
            self.table.commit(epoch);
            self.committed = state;
            // The changelog has bytes of its own, so that the table can take its buffers back.
            let mut delta = delta;
            for run in &mut delta.runs {
                run.bytes = bytes::Bytes::copy_from_slice(&run.bytes);
            }
            self.changelog.push(delta);
        }
    }

    fn rollback(&mut self, epochs: usize) {
        self.sealed.truncate(epochs);
        let to = match self.sealed.last() {
            Some((epoch, state, _)) => {
                self.now.clone_from(state);
                *epoch
            }
            None => {
                self.now.clone_from(&self.committed);
                self.changelog.last().map_or(Epoch(0), |delta| delta.epoch)
            }
        };
        self.table.rollback(to);
    }

    /// The table is its model; and rebuilt from the changelog, at once or by ranges of key groups, it is what was committed.
    pub(super) fn check(&self) {
        assert_same(&self.table.dump(), &self.now, "the live table is its model");
        assert_same(&self.restored(0, 100), &self.committed, "the changelog has the committed table");
        let mut parts = self.restored(0, 33);
        parts.extend(self.restored(33, 34));
        parts.extend(self.restored(34, 100));
        assert_same(&parts, &self.committed, "so has the changelog read by other ranges");
    }

    fn restored(&self, start: u16, end: u16) -> Dump {
        let mut table = T::make(with_range(self.spec, start, end));
        for delta in &self.changelog {
            for run in &delta.runs {
                table.apply(&run.bytes).unwrap();
            }
        }
        table.dump()
    }
}

/// Says what differs: the whole contents are too much to read.
fn assert_same(found: &Dump, expected: &Dump, law: &str) {
    let differences = found.iter().filter(|(k, v)| expected.get(*k) != Some(v)).map(|(k, _)| ("found", k));
    let missing = expected.keys().filter(|k| !found.contains_key(*k)).map(|k| ("missing", k));
    if let Some(first) = differences.chain(missing).next() {
        panic!("{law}: {} entries instead of {}, first {first:?}", found.len(), expected.len());
    }
}

/// Runs the same steps on a table of these widths.
pub(super) fn run<T: Subject>(key: Width, value: Width, steps: Vec<Step>) {
    let mut pair = Pair::<T>::new(spec(key, value));
    for step in steps {
        let is_rare = matches!(step, Step::Rollback { .. } | Step::Drop { .. });
        pair.step(step);
        if is_rare {
            pair.check();
        }
    }
    pair.seal();
    pair.commit(UNRESOLVED_MAX);
    pair.check();
}
