//! Windowed aggregation by key.
//!
//! State: the point table `panes`, (pane, key) -> the aggregate's state; and, for aggregates that keep values, the
//! ordered table `elements`, (pane, key, set and value) -> how often. The pane's start is the tables' namespace, so that
//! a pane is dropped by one record per table.
//!
//! Firing: when the watermark passes a pane's end, its keys are visited in the order of the table, some at a time. A pane
//! that has been visited to its end is dropped. Where the flush must stop in between, the place where to go on is kept in
//! memory: no barrier passes before the flush is done, and a restore finds the pane whole.

use super::{KeyedOperator, Push};
use crate::{
    Data,
    aggregate::{Aggregate, Elements, ElementsView},
    data::{Archived, Encode, Scratch, access, write},
    failure::{Cause, fail},
    key::{HashedKey, Key, KeyHash},
    table::{Namespace, OrderedTable, PointTable, Table, Width},
    task::{Flow, OpenContext},
    window::{Assigner, Window, Windowed},
};
use std::marker::PhantomData;

/// Counts the records of each key in each window, or whatever the aggregate makes of them.
pub(crate) struct WindowAggregate<K, W, A> {
    windows: W,
    aggregate: A,
    /// The output of late records, if somebody wants them.
    late: Option<usize>,
    tables: Option<Tables>,
    watermark: i64,
    flush: Option<Flush>,
    late_records: u64,
    scratch: Scratch,
    /// The archived state before the first record.
    initial: Vec<u8>,
    /// An archived state.
    bytes: Vec<u8>,
    key: PhantomData<fn() -> K>,
}

struct Tables {
    panes: PointTable,
    elements: Option<OrderedTable>,
    order: Vec<u8>,
}

/// A pane being flushed.
struct Flush {
    pane: Namespace,
    /// Where the table is to be scanned next; nothing once it was to its end.
    from: Option<KeyHash>,
    /// Keys and states that were scanned, one after the other, and where each ends.
    scanned: Vec<u8>,
    ends: Vec<(u32, u32)>,
    /// How many of them were fired.
    fired: usize,
}

/// The namespace of a pane: its start, so that namespaces ascend with time.
#[inline]
fn namespace(start: i64) -> Namespace {
    Namespace(start.cast_unsigned() ^ (1 << 63))
}

fn start_of(pane: Namespace) -> i64 {
    (pane.0 ^ (1 << 63)).cast_signed()
}

impl<K, W, A> WindowAggregate<K, W, A> {
    pub(crate) fn new(windows: W, aggregate: A, late: Option<usize>) -> Self {
        Self {
            windows,
            aggregate,
            late,
            tables: None,
            watermark: i64::MIN,
            flush: None,
            late_records: 0,
            scratch: Scratch::new(),
            initial: Vec::new(),
            bytes: Vec::new(),
            key: PhantomData,
        }
    }
}

/// The state in an entry's bytes. Checked, since they may come from a changelog: for flat types that costs next to nothing.
#[inline]
fn decode<S: Data>(bytes: &[u8]) -> S {
    const { assert!(S::FLAT, "the state of an aggregate has a fixed size: no String, no Vec") };
    match access::<S::Archived>(bytes) {
        Ok(archived) => S::decode(archived),
        Err(error) => fail(Cause::Restore(format!("the state of an aggregate: {error}"))),
    }
}

#[inline]
fn encode<S: Data>(state: &S, bytes: &mut Vec<u8>, scratch: &mut Scratch) {
    bytes.clear();
    if let Err(error) = write(state, bytes, scratch) {
        fail(Cause::NotArchivable(error.to_string()));
    }
}

impl<T, K, W, A> KeyedOperator<T> for WindowAggregate<K, W, A>
where
    T: Archived,
    K: Key + 'static,
    W: Assigner,
    A: Aggregate<T, Output: 'static>,
{
    type Out = Windowed<K, A::Output>;

    fn open(&mut self, cx: &mut OpenContext<'_>) {
        let key = Width::of(K::WIDTH);
        let state = Width::Fixed(size_of::<<A::State as Encode>::Archived>() as u32);
        let panes = cx.point_table("panes", &[A::State::DESCRIPTOR], key, state);
        let elements = (A::ELEMENTS > 0).then(|| {
            cx.ordered_table("elements", &[u64::DESCRIPTOR], key, Width::Fixed(size_of::<u64>() as u32))
        });
        self.tables = Some(Tables { panes, elements, order: Vec::new() });
        encode(&self.aggregate.create(), &mut self.initial, &mut self.scratch);
    }

    #[inline]
    fn prefetch(&self, timestamp: i64, hash: KeyHash) {
        if let Some(tables) = &self.tables {
            tables.panes.prefetch(namespace(self.windows.pane(timestamp).start), hash);
        }
    }

    #[inline]
    fn record<P: Push<Self::Out>>(&mut self, key: HashedKey<'_>, timestamp: i64, item: &T, out: &mut P) {
        let window = self.windows.pane(timestamp);
        if window.is_past(self.watermark) {
            self.late_records += 1;
            if let Some(late) = self.late {
                out.context().send(late, timestamp, None, item);
            }
            return;
        }
        let Tables { panes, elements, order } = self.tables.as_mut().expect("opened before the first record");
        let (pane, aggregate) = (namespace(window.start), &self.aggregate);
        let (bytes, scratch) = (&mut self.bytes, &mut self.scratch);
        panes.update(pane, key, &self.initial, |entry| {
            let mut state = decode::<A::State>(entry);
            match elements {
                Some(table) => aggregate.add(&mut state, item, &mut Elements::new(table, pane, key, order)),
                None => aggregate.add(&mut state, item, &mut Elements::none()),
            }
            encode(&state, bytes, scratch);
            entry.copy_from_slice(bytes);
        });
    }

    fn watermark<P: Push<Self::Out>>(&mut self, watermark: i64, out: &mut P) -> Flow {
        self.watermark = self.watermark.max(watermark);
        loop {
            if self.flush.is_none() {
                let tables = self.tables.as_ref().expect("opened before the first watermark");
                let Some(pane) = tables.panes.first_namespace() else { return Flow::Done };
                if !self.windows.pane(start_of(pane)).is_past(self.watermark) {
                    return Flow::Done;
                }
                self.flush = Some(Flush {
                    pane,
                    from: Some(KeyHash(0)),
                    scanned: Vec::new(),
                    ends: Vec::new(),
                    fired: 0,
                });
            }
            if self.fire::<T, P>(out) == Flow::More {
                return Flow::More;
            }
        }
    }

    fn timer<P: Push<Self::Out>>(&mut self, _: i64, _: &mut P) -> Flow {
        Flow::Done
    }

    fn restore<P: Push<Self::Out>>(&mut self, _: &mut P) -> Flow {
        self.flush = None;
        self.watermark = i64::MIN;
        Flow::Done
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table)) {
        if let Some(tables) = &mut self.tables {
            visit(&mut tables.panes);
            if let Some(elements) = &mut tables.elements {
                visit(elements);
            }
        }
    }

    fn late_records(&self) -> u64 {
        self.late_records
    }
}

impl<K: Key + 'static, W: Assigner, A> WindowAggregate<K, W, A> {
    /// Fires what is left of the pane being flushed, and drops it.
    fn fire<T, P>(&mut self, out: &mut P) -> Flow
    where
        T: Archived,
        A: Aggregate<T, Output: 'static>,
        P: Push<Windowed<K, A::Output>>,
    {
        let Some(flush) = &mut self.flush else { return Flow::Done };
        let tables = self.tables.as_mut().expect("opened before the first watermark");
        let window = self.windows.pane(start_of(flush.pane));
        loop {
            while let Some((key, state)) = flush.next() {
                if out.full() {
                    return Flow::More;
                }
                out.context().charge(1);
                let hashed = HashedKey::new(key);
                let elements = match &tables.elements {
                    Some(table) => ElementsView::new(table, flush.pane, hashed),
                    None => ElementsView::none(),
                };
                let value = self.aggregate.output(&decode::<A::State>(state), elements);
                let key = K::from_key_bytes(key).expect("the keys of the table are of its type");
                let Window { start, end } = window;
                flush.fired += 1;
                out.push(end - 1, &Windowed { key, start, end, value });
            }
            match flush.from {
                Some(from) => flush.scan(&tables.panes, from),
                None => break,
            }
        }
        tables.panes.drop_namespace(flush.pane);
        if let Some(elements) = &mut tables.elements {
            elements.drop_namespace(flush.pane);
        }
        self.flush = None;
        Flow::Done
    }
}

impl Flush {
    /// The next key and state that were scanned and not fired.
    fn next(&self) -> Option<(&[u8], &[u8])> {
        let (key, end) = *self.ends.get(self.fired)?;
        let start = self.fired.checked_sub(1).map_or(0, |before| self.ends[before].1);
        let (start, key, end) = (start as usize, key as usize, end as usize);
        Some((&self.scanned[start..key], &self.scanned[key..end]))
    }

    /// Takes the next keys and states out of the table.
    fn scan(&mut self, panes: &PointTable, from: KeyHash) {
        let Self { scanned, ends, .. } = self;
        scanned.clear();
        ends.clear();
        self.fired = 0;
        self.from = panes.scan(self.pane, from, |key, state| {
            scanned.extend_from_slice(key);
            let key = scanned.len() as u32;
            scanned.extend_from_slice(state);
            ends.push((key, scanned.len() as u32));
        });
    }
}
