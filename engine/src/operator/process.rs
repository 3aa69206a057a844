//! Functions with state and timers, by key.
//!
//! State: the tables that the function declares, and the ordered table `timers`, (key, clock and time) -> nothing. A timer
//! is its entry there; the indexes in memory say only when to look at which key, and are rebuilt on restore.

use super::{KeyedOperator, Push};
use crate::{
    Data,
    data::{Archived, Encode, Scratch, access, write},
    failure::{Cause, fail},
    key::{EncodeKey, HashedKey, Key, KeyHash, KeyReader},
    table::{Namespace, OrderedTable, PointTable, Table, Width},
    task::{Context, Flow, OpenContext},
    timer::TimerIndex,
};
use std::{fmt, marker::PhantomData, ops::Bound};

/// A function with state and timers, which is given the records of a key one by one.
///
/// Whatever it must remember is in the state that it declares in [`open`](Self::open). Its own fields are scratch: they are
/// shared by all keys and lost on a restart.
pub trait Process<K, T: ?Sized>: 'static {
    /// What it pushes.
    type Out: 'static;

    /// Declares state, once.
    fn open(&mut self, state: &mut ProcessOpen<'_, '_>);

    /// Takes a record of a key.
    fn record<P: Push<Self::Out>>(
        &mut self,
        key: &mut KeyContext<'_, K>,
        timestamp: i64,
        item: &T,
        out: &mut P,
    );

    /// A timer of the key is due: [`KeyContext::set_timer`], [`KeyContext::set_processing_timer`]. `at_ms` is the time it
    /// was set for. Results have whatever timestamp is pushed with them.
    fn timer<P: Push<Self::Out>>(&mut self, _key: &mut KeyContext<'_, K>, _at_ms: i64, _out: &mut P) {}
}

/// One value for each key.
pub struct PointState<V> {
    table: usize,
    of: PhantomData<fn() -> V>,
}

/// A map in order for each key.
pub struct OrderedState<O, V> {
    table: usize,
    of: PhantomData<fn() -> (O, V)>,
}

impl<V> Clone for PointState<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for PointState<V> {}

impl<O, V> Clone for OrderedState<O, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O, V> Copy for OrderedState<O, V> {}

impl<V> fmt::Debug for PointState<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PointState({})", self.table)
    }
}

impl<O, V> fmt::Debug for OrderedState<O, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderedState({})", self.table)
    }
}

/// Where a function declares its state.
pub struct ProcessOpen<'a, 'b> {
    cx: &'a mut OpenContext<'b>,
    key: Width,
    points: &'a mut Vec<PointTable>,
    ordered: &'a mut Vec<OrderedTable>,
}

impl ProcessOpen<'_, '_> {
    /// One value for each key. The name is that of the table: it must stay the same from version to version.
    pub fn point<V: Data>(&mut self, name: &str) -> PointState<V> {
        let table = self.cx.point_table(name, &[V::DESCRIPTOR], self.key, width_of::<V>());
        self.points.push(table);
        PointState { table: self.points.len() - 1, of: PhantomData }
    }

    /// A map for each key, in the order of `O`: one table entry for each element.
    pub fn ordered<O: Key, V: Data>(&mut self, name: &str) -> OrderedState<O, V> {
        let table = self.cx.ordered_table(name, &[V::DESCRIPTOR], self.key, width_of::<V>());
        self.ordered.push(table);
        OrderedState { table: self.ordered.len() - 1, of: PhantomData }
    }
}

impl fmt::Debug for ProcessOpen<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessOpen").field(&self.cx).finish()
    }
}

fn width_of<V: Data>() -> Width {
    if V::FLAT { Width::Fixed(size_of::<V::Archived>() as u32) } else { Width::Variable }
}

fn decode<V: Data>(bytes: &[u8]) -> V {
    match access::<V::Archived>(bytes) {
        Ok(archived) => V::decode(archived),
        Err(error) => fail(Cause::Restore(format!("a value of a table: {error}"))),
    }
}

/// Which clock a timer follows; the first byte of its order key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    Event = 0,
    Processing = 1,
}

/// Tables of a function and the timers of all keys.
struct State {
    points: Vec<PointTable>,
    ordered: Vec<OrderedTable>,
    timers: OrderedTable,
    /// When to look at which key. They name at least the timers of the table.
    event: TimerIndex,
    processing: TimerIndex,
    /// Whether a timer of processing time was armed since the task last asked to be woken.
    is_armed: bool,
    scratch: Scratch,
    value: Vec<u8>,
    order: Vec<u8>,
}

impl State {
    const fn index(&mut self, clock: Clock) -> &mut TimerIndex {
        match clock {
            Clock::Event => &mut self.event,
            Clock::Processing => &mut self.processing,
        }
    }

    fn order_of(&mut self, clock: Clock, at_ms: i64) -> &[u8] {
        self.order.clear();
        EncodeKey::encode(&(clock as u8, at_ms), &mut self.order);
        &self.order
    }

    /// The earliest timer that is due, taken from table and index; its key is put into `key`.
    fn pop_due(&mut self, clock: Clock, now_ms: i64, key: &mut Vec<u8>) -> Option<i64> {
        loop {
            let at_ms = self.index(clock).pop(now_ms, key)?.deadline;
            self.order_of(clock, at_ms);
            if self.timers.remove(Namespace::NONE, HashedKey::new(key), &self.order) {
                return Some(at_ms);
            }
        }
    }
}

/// The key at hand: its state and timers.
pub struct KeyContext<'a, K> {
    key: HashedKey<'a>,
    state: &'a mut State,
    watermark: i64,
    now_ms: i64,
    of: PhantomData<fn() -> K>,
}

impl<K: Key> KeyContext<'_, K> {
    /// The key.
    #[must_use]
    pub fn key(&self) -> K {
        K::from_key_bytes(self.key.bytes()).expect("keys of a stream are of its key's type")
    }

    /// Its canonical bytes.
    #[must_use]
    pub const fn key_bytes(&self) -> &[u8] {
        self.key.bytes()
    }

    /// How far event time has come.
    #[must_use]
    pub const fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Processing time, in ms since the Unix epoch.
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The key's value.
    #[must_use]
    pub fn get<V: Data>(&self, state: PointState<V>) -> Option<V> {
        self.state.points[state.table].get(Namespace::NONE, self.key).map(decode)
    }

    /// Sets the key's value.
    pub fn put<V: Data>(&mut self, state: PointState<V>, value: &V) {
        self.write(value);
        self.state.points[state.table].put(Namespace::NONE, self.key, &self.state.value);
    }

    /// Removes the key's value. Returns whether there was one.
    pub fn remove<V: Data>(&mut self, state: PointState<V>) -> bool {
        self.state.points[state.table].remove(Namespace::NONE, self.key)
    }

    /// The value at `order` in the key's map.
    #[must_use]
    pub fn get_at<O: Key, V: Data>(&self, state: OrderedState<O, V>, order: &O) -> Option<V> {
        self.state.ordered[state.table].get(Namespace::NONE, self.key, &order.to_key_bytes()).map(decode)
    }

    /// Sets the value at `order` in the key's map.
    pub fn put_at<O: Key, V: Data>(&mut self, state: OrderedState<O, V>, order: &O, value: &V) {
        self.write(value);
        let State { ordered, value, .. } = &mut *self.state;
        ordered[state.table].put(Namespace::NONE, self.key, &order.to_key_bytes(), value);
    }

    /// Removes the value at `order` in the key's map. Returns whether there was one.
    pub fn remove_at<O: Key, V: Data>(&mut self, state: OrderedState<O, V>, order: &O) -> bool {
        self.state.ordered[state.table].remove(Namespace::NONE, self.key, &order.to_key_bytes())
    }

    /// The elements of the key's map between two bounds, ascending.
    #[must_use]
    pub fn range<O: Key, V: Data>(
        &self,
        state: OrderedState<O, V>,
        start: Bound<&O>,
        end: Bound<&O>,
    ) -> Vec<(O, V)> {
        let (start, end) = (start.map(EncodeKey::to_key_bytes), end.map(EncodeKey::to_key_bytes));
        let table = &self.state.ordered[state.table];
        let elements = table.range(
            Namespace::NONE,
            self.key,
            start.as_ref().map(Vec::as_slice),
            end.as_ref().map(Vec::as_slice),
        );
        let read = elements.map(|(order, value)| {
            let order = O::from_key_bytes(order).expect("order keys of a map are of its type");
            (order, decode(value))
        });
        read.collect()
    }

    /// Removes the elements of the key's map between two bounds. Returns how many there were.
    pub fn remove_range<O: Key, V: Data>(
        &mut self,
        state: OrderedState<O, V>,
        start: Bound<&O>,
        end: Bound<&O>,
    ) -> usize {
        let (start, end) = (start.map(EncodeKey::to_key_bytes), end.map(EncodeKey::to_key_bytes));
        self.state.ordered[state.table].remove_range(
            Namespace::NONE,
            self.key,
            start.as_ref().map(Vec::as_slice),
            end.as_ref().map(Vec::as_slice),
        )
    }

    /// Has [`Process::timer`] called for this key when event time reaches `at_ms`. Setting it twice is setting it once.
    pub fn set_timer(&mut self, at_ms: i64) {
        self.arm(Clock::Event, at_ms);
    }

    /// Has [`Process::timer`] called for this key when processing time reaches `at_ms`.
    pub fn set_processing_timer(&mut self, at_ms: i64) {
        self.arm(Clock::Processing, at_ms);
    }

    /// Takes a timer of event time back. Returns whether there was one.
    pub fn delete_timer(&mut self, at_ms: i64) -> bool {
        self.state.order_of(Clock::Event, at_ms);
        self.state.timers.remove(Namespace::NONE, self.key, &self.state.order)
    }

    /// Takes a timer of processing time back. Returns whether there was one.
    pub fn delete_processing_timer(&mut self, at_ms: i64) -> bool {
        self.state.order_of(Clock::Processing, at_ms);
        self.state.timers.remove(Namespace::NONE, self.key, &self.state.order)
    }

    fn arm(&mut self, clock: Clock, at_ms: i64) {
        let state = &mut *self.state;
        state.order_of(clock, at_ms);
        state.timers.put(Namespace::NONE, self.key, &state.order, &[]);
        state.index(clock).arm(at_ms, Namespace::NONE, self.key.bytes());
        state.is_armed |= clock == Clock::Processing;
    }

    fn write<V: Encode>(&mut self, value: &V) {
        let state = &mut *self.state;
        state.value.clear();
        if let Err(error) = write(value, &mut state.value, &mut state.scratch) {
            fail(Cause::NotArchivable(error.to_string()));
        }
    }
}

impl<K> fmt::Debug for KeyContext<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyContext").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A [`Process`] as an operator.
pub(crate) struct ProcessOperator<K, P> {
    process: P,
    state: Option<State>,
    watermark: i64,
    /// The key of the timer that is due.
    due: Vec<u8>,
    of: PhantomData<fn() -> K>,
}

impl<K: Key + 'static, P> ProcessOperator<K, P> {
    pub(crate) const fn new(process: P) -> Self {
        Self { process, state: None, watermark: i64::MIN, due: Vec::new(), of: PhantomData }
    }

    /// Fires the timers that are due.
    fn fire<T, D>(&mut self, clock: Clock, time_ms: i64, out: &mut D) -> Flow
    where
        T: Archived,
        P: Process<K, T>,
        D: Push<P::Out>,
    {
        let watermark = self.watermark;
        let state = self.state.as_mut().expect("opened before anything else");
        let mut key = std::mem::take(&mut self.due);
        let flow = loop {
            if out.full() {
                // Whether a timer is left is found out by the next call.
                break Flow::More;
            }
            let Some(at_ms) = state.pop_due(clock, time_ms, &mut key) else { break Flow::Done };
            out.context().charge(1);
            let (hashed, now_ms) = (HashedKey::new(&key), out.context().now_ms());
            let mut context = KeyContext { key: hashed, state, watermark, now_ms, of: PhantomData };
            self.process.timer(&mut context, at_ms, out);
        };
        self.due = key;
        flow
    }

    /// Asks to be called for the next timer of processing time.
    fn wake(&mut self, cx: &mut Context) {
        let Some(state) = &mut self.state else { return };
        state.is_armed = false;
        if let Some(at_ms) = state.processing.next() {
            cx.wake_at(at_ms);
        }
    }
}

impl<T: Archived, K: Key + 'static, P: Process<K, T>> KeyedOperator<T> for ProcessOperator<K, P> {
    type Out = P::Out;

    fn open(&mut self, cx: &mut OpenContext<'_>) {
        let key = Width::of(K::WIDTH);
        let (mut points, mut ordered) = (Vec::new(), Vec::new());
        let timers = cx.ordered_table("timers", &[i64::DESCRIPTOR], key, Width::Fixed(0));
        self.process.open(&mut ProcessOpen { cx, key, points: &mut points, ordered: &mut ordered });
        self.state = Some(State {
            points,
            ordered,
            timers,
            event: TimerIndex::new(TimerIndex::WIDTH_MS),
            processing: TimerIndex::new(TimerIndex::WIDTH_MS),
            is_armed: false,
            scratch: Scratch::new(),
            value: Vec::new(),
            order: Vec::new(),
        });
    }

    #[inline]
    fn prefetch(&self, _: i64, hash: KeyHash) {
        if let Some(table) = self.state.as_ref().and_then(|state| state.points.first()) {
            table.prefetch(Namespace::NONE, hash);
        }
    }

    #[inline]
    fn record<D: Push<P::Out>>(&mut self, key: HashedKey<'_>, timestamp: i64, item: &T, out: &mut D) {
        let now_ms = out.context().now_ms();
        let state = self.state.as_mut().expect("opened before the first record");
        let mut context = KeyContext { key, state, watermark: self.watermark, now_ms, of: PhantomData };
        self.process.record(&mut context, timestamp, item, out);
        if state.is_armed {
            self.wake(out.context());
        }
    }

    fn watermark<D: Push<P::Out>>(&mut self, watermark: i64, out: &mut D) -> Flow {
        self.watermark = self.watermark.max(watermark);
        let flow = self.fire(Clock::Event, self.watermark, out);
        self.wake(out.context());
        flow
    }

    fn timer<D: Push<P::Out>>(&mut self, now_ms: i64, out: &mut D) -> Flow {
        let flow = self.fire(Clock::Processing, now_ms, out);
        self.wake(out.context());
        flow
    }

    /// Rebuilds the index from the timers' entries.
    fn restore<D: Push<P::Out>>(&mut self, out: &mut D) -> Flow {
        self.watermark = i64::MIN;
        let state = self.state.as_mut().expect("opened before it is restored");
        state.event.clear();
        state.processing.clear();
        let mut from = Some(KeyHash(0));
        while let Some(at) = from {
            let State { timers, event, processing, .. } = state;
            from = timers.scan(Namespace::NONE, at, |key, order, _| {
                let mut order = KeyReader::new(order);
                if let Ok((clock, at_ms)) = <(u8, i64) as Key>::decode(&mut order) {
                    let index = if clock == Clock::Event as u8 { &mut *event } else { &mut *processing };
                    index.arm(at_ms, Namespace::NONE, key);
                }
            });
        }
        self.wake(out.context());
        Flow::Done
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table)) {
        let Some(state) = &mut self.state else { return };
        visit(&mut state.timers);
        for table in &mut state.points {
            visit(table);
        }
        for table in &mut state.ordered {
            visit(table);
        }
    }
}
