//! Streams, and the operators that look at one record at a time.

use super::{Draft, Pipeline, Then};
use crate::operator::{EventTime, Filter, FlatMap, Map, MapRef, MapWith, Operator};
use crate::plan::BuildError;
use crate::watermark::{WatermarkStrategy, Watermarks};

/// A stream of records, and the operators that have made it so far.
///
/// `C` is the chain of operators; [`Pipeline::Out`] is what its records are. A closure that is given to a method takes `&Out`
/// and needs no annotation.
#[must_use = "a stream that ends in no sink does nothing; the build refuses it"]
pub struct Stream<C> {
    pub(crate) draft: Draft,
    pub(crate) chain: C,
}

impl<C: Pipeline> Stream<C> {
    pub(crate) const fn new(draft: Draft, chain: C) -> Self {
        Self { draft, chain }
    }

    fn then<O: Operator<C::Out>>(
        mut self,
        kind: &'static str,
        stateful: bool,
        operator: O,
    ) -> Stream<Then<C, O>> {
        self.draft.operator(kind, stateful);
        Stream { draft: self.draft, chain: Then::new(self.chain, operator) }
    }

    /// Names the last operator, in metrics and errors. An operator that keeps state is found again by its name when the
    /// job is restored, also by a later version of it.
    pub fn named(mut self, name: &str) -> Self {
        self.draft.name_last(name);
        self
    }

    /// Keeps the records for which `keep` holds.
    pub fn filter<F: Fn(&C::Out) -> bool + 'static>(
        self,
        keep: F,
    ) -> Stream<Then<C, impl Operator<C::Out, Out = C::Out>>> {
        self.then("filter", false, Filter(keep))
    }

    /// Makes one value of each record. For a part of the record, by reference, use [`map_ref`](Self::map_ref).
    pub fn map<O: 'static, F: Fn(&C::Out) -> O + 'static>(
        self,
        map: F,
    ) -> Stream<Then<C, impl Operator<C::Out, Out = O>>> {
        self.then("map", false, Map(map))
    }

    /// Goes on with a part of each record, in place: `.map_ref(|bid| bid.channel.as_str())`.
    pub fn map_ref<O: ?Sized + 'static, F: Fn(&C::Out) -> &O + 'static>(
        self,
        map: F,
    ) -> Stream<Then<C, impl Operator<C::Out, Out = O>>> {
        self.then("map_ref", false, MapRef(map))
    }

    /// Like [`map`](Self::map), with scratch space that `open` makes once per task: buffers, a parser. What is left in it
    /// from one record must not matter to the next, since nothing of it survives.
    pub fn map_with<S: 'static, O: 'static>(
        self,
        open: impl Fn() -> S + 'static,
        map: impl Fn(&mut S, &C::Out) -> O + 'static,
    ) -> Stream<Then<C, impl Operator<C::Out, Out = O>>> {
        self.then("map_with", false, MapWith { open, scratch: None, map })
    }

    /// Makes any number of values of each record: an `Option`, a `Result`, an array, a `Vec`.
    pub fn flat_map<I, F>(self, map: F) -> Stream<Then<C, impl Operator<C::Out, Out = I::Item>>>
    where
        I: IntoIterator<Item: 'static> + 'static,
        F: Fn(&C::Out) -> I + 'static,
    {
        self.then("flat_map", false, FlatMap(map))
    }

    /// Adds an operator of your own. One that keeps tables says so, and needs a name that no other such operator has.
    pub fn apply<O: Operator<C::Out>>(self, name: &str, operator: O) -> Stream<Then<C, O>> {
        self.then("apply", true, operator).named(name)
    }

    /// Takes event time from the records, in ms since the Unix epoch, and lets watermarks flow.
    ///
    /// For a source's own stream: watermarks are made for each partition by itself, and combined.
    pub fn event_time<F, S>(
        self,
        timestamp: F,
        watermarks: Watermarks<S>,
    ) -> Stream<impl Pipeline<Out = C::Out>>
    where
        F: Fn(&C::Out) -> i64 + 'static,
        S: WatermarkStrategy,
    {
        self.timed(move |_, item: &C::Out| timestamp(item), watermarks)
    }

    /// Takes event time from the timestamps of the topic's records, and lets watermarks flow. See
    /// [`event_time`](Self::event_time).
    pub fn record_time<S: WatermarkStrategy>(
        self,
        watermarks: Watermarks<S>,
    ) -> Stream<impl Pipeline<Out = C::Out>> {
        self.timed(|timestamp, _: &C::Out| timestamp, watermarks)
    }

    fn timed<F, S>(mut self, timestamp: F, watermarks: Watermarks<S>) -> Stream<EventTime<C, F, S>>
    where
        F: Fn(i64, &C::Out) -> i64 + 'static,
        S: WatermarkStrategy,
    {
        if self.draft.source.is_none() {
            self.draft.graph.error(BuildError::EventTimeTooLate);
        }
        self.draft.timed = true;
        // Its state follows partitions, which have names of their own.
        self.draft.operator("event_time", false);
        Stream { draft: self.draft, chain: EventTime::new(self.chain, timestamp, watermarks) }
    }
}

impl<C> std::fmt::Debug for Stream<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.draft.operators.iter().map(|operator| &operator.name)).finish()
    }
}
