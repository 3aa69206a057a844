//! How a chain of operators becomes one task: nested generic types, each handing its results to the next by a static call.
//!
//! `Then<Then<Parsed, Filter>, Map>` is a [`Pipeline`]. It is run by giving it a [`Downstream`]: each stage wraps the one it
//! was given into a [`Link`], so that the innermost loop, over the records of a batch, sees one function.

use crate::{
    epoch::Epoch,
    operator::{Operator, Push},
    sink::Sink,
    table::Table,
    task::{Batch, Context, Flow, OpenContext, OperatorCounters, Task},
};
use std::cell::Cell;

/// What follows in a chain: takes results, and everything that flows between them.
pub trait Downstream<T: ?Sized>: Push<T> {
    /// A batch is over.
    fn batch_end(&mut self) -> Flow;
    /// Event time came to `watermark`.
    fn watermark(&mut self, watermark: i64) -> Flow;
    /// Processing time came to `now_ms`.
    fn timer(&mut self, now_ms: i64) -> Flow;
    /// No record follows.
    fn end(&mut self) -> Flow;
    /// The tables hold committed state.
    fn restore(&mut self) -> Flow;
}

/// The operators of a stream so far, from its source or exchange on. Nested generic types that nobody writes down; a
/// function that returns a stream says `Stream<impl Pipeline<Out = T>>`.
pub trait Pipeline: 'static {
    /// What comes out.
    type Out: ?Sized;

    #[doc(hidden)]
    fn open(&mut self, cx: &mut OpenContext<'_>);
    #[doc(hidden)]
    fn batch<D: Downstream<Self::Out>>(&mut self, batch: &mut Batch<'_>, out: &mut D) -> Flow;
    #[doc(hidden)]
    fn watermark<D: Downstream<Self::Out>>(&mut self, watermark: i64, out: &mut D) -> Flow;
    #[doc(hidden)]
    fn timer<D: Downstream<Self::Out>>(&mut self, now_ms: i64, out: &mut D) -> Flow;
    #[doc(hidden)]
    fn end<D: Downstream<Self::Out>>(&mut self, out: &mut D) -> Flow;
    #[doc(hidden)]
    fn restore<D: Downstream<Self::Out>>(&mut self, out: &mut D) -> Flow;
    #[doc(hidden)]
    fn barrier(&mut self, epoch: Epoch);
    #[doc(hidden)]
    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table));
    /// Shows the counters of each operator.
    #[doc(hidden)]
    fn counters(&self, visit: &mut dyn FnMut(OperatorCounters));
    /// The last operator whose code unwound, counting from `at`, which is left after this pipeline's operators.
    #[doc(hidden)]
    fn culprit(&self, at: &mut usize) -> Option<usize>;
}

/// Bookkeeping of one operator.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) records_in: u64,
    unwound: Cell<bool>,
}

impl Tally {
    /// Runs an operator's code. If it unwinds, that is remembered: costs nothing if it does not.
    #[inline]
    pub(crate) fn guard<R>(&self, call: impl FnOnce() -> R) -> R {
        let unwinding = Unwinding(&self.unwound);
        let result = call();
        std::mem::forget(unwinding);
        result
    }

    pub(crate) const fn counters(&self) -> OperatorCounters {
        OperatorCounters { records_in: self.records_in, late_records: 0 }
    }

    /// This operator's index if its code unwound, else what was found before it in the chain.
    pub(crate) fn culprit(&self, at: &mut usize, before: Option<usize>) -> Option<usize> {
        let index = *at;
        *at += 1;
        if self.unwound.get() { Some(index) } else { before }
    }
}

struct Unwinding<'a>(&'a Cell<bool>);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// An operator behind a pipeline.
pub struct Then<C, O> {
    before: C,
    stage: Stage<O>,
}

pub(crate) struct Stage<O> {
    operator: O,
    tally: Tally,
}

impl<C, O> Then<C, O> {
    pub(crate) fn new(before: C, operator: O) -> Self {
        Self { before, stage: Stage { operator, tally: Tally::default() } }
    }
}

/// An operator together with what follows it.
pub(crate) struct Link<'a, O, D> {
    stage: &'a mut Stage<O>,
    out: &'a mut D,
}

impl<I: ?Sized, O: Operator<I>, D: Downstream<O::Out>> Push<I> for Link<'_, O, D> {
    #[inline]
    fn push(&mut self, timestamp: i64, item: &I) {
        let Stage { operator, tally } = &mut *self.stage;
        tally.records_in += 1;
        tally.guard(|| operator.record(timestamp, item, self.out));
    }

    #[inline]
    fn full(&self) -> bool {
        self.out.full()
    }

    #[inline]
    fn context(&mut self) -> &mut Context {
        self.out.context()
    }
}

impl<I: ?Sized, O: Operator<I>, D: Downstream<O::Out>> Downstream<I> for Link<'_, O, D> {
    #[inline]
    fn batch_end(&mut self) -> Flow {
        let Stage { operator, tally } = &mut *self.stage;
        tally.guard(|| operator.batch_end(self.out)).then(|| self.out.batch_end())
    }

    fn watermark(&mut self, watermark: i64) -> Flow {
        let Stage { operator, tally } = &mut *self.stage;
        tally.guard(|| operator.watermark(watermark, self.out)).then(|| self.out.watermark(watermark))
    }

    fn timer(&mut self, now_ms: i64) -> Flow {
        let Stage { operator, tally } = &mut *self.stage;
        tally.guard(|| operator.timer(now_ms, self.out)).then(|| self.out.timer(now_ms))
    }

    fn end(&mut self) -> Flow {
        let Stage { operator, tally } = &mut *self.stage;
        tally.guard(|| operator.end(self.out)).then(|| self.out.end())
    }

    fn restore(&mut self) -> Flow {
        let Stage { operator, tally } = &mut *self.stage;
        tally.guard(|| operator.restore(self.out)).then(|| self.out.restore())
    }
}

impl<C: Pipeline, O: Operator<C::Out>> Pipeline for Then<C, O> {
    type Out = O::Out;

    fn open(&mut self, cx: &mut OpenContext<'_>) {
        self.before.open(cx);
        cx.enter();
        self.stage.operator.open(cx);
    }

    #[inline]
    fn batch<D: Downstream<O::Out>>(&mut self, batch: &mut Batch<'_>, out: &mut D) -> Flow {
        self.before.batch(batch, &mut Link { stage: &mut self.stage, out })
    }

    fn watermark<D: Downstream<O::Out>>(&mut self, watermark: i64, out: &mut D) -> Flow {
        self.before.watermark(watermark, &mut Link { stage: &mut self.stage, out })
    }

    fn timer<D: Downstream<O::Out>>(&mut self, now_ms: i64, out: &mut D) -> Flow {
        self.before.timer(now_ms, &mut Link { stage: &mut self.stage, out })
    }

    fn end<D: Downstream<O::Out>>(&mut self, out: &mut D) -> Flow {
        self.before.end(&mut Link { stage: &mut self.stage, out })
    }

    fn restore<D: Downstream<O::Out>>(&mut self, out: &mut D) -> Flow {
        self.before.restore(&mut Link { stage: &mut self.stage, out })
    }

    fn barrier(&mut self, epoch: Epoch) {
        self.before.barrier(epoch);
        let Stage { operator, tally } = &mut self.stage;
        tally.guard(|| operator.barrier(epoch));
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table)) {
        self.before.tables(visit);
        self.stage.operator.tables(visit);
    }

    fn counters(&self, visit: &mut dyn FnMut(OperatorCounters)) {
        self.before.counters(visit);
        visit(self.stage.tally.counters());
    }

    fn culprit(&self, at: &mut usize) -> Option<usize> {
        let before = self.before.culprit(at);
        self.stage.tally.culprit(at, before)
    }
}

/// A pipeline and its sink, as a task with one input.
pub(crate) struct ChainTask<C, S> {
    chain: C,
    sink: S,
    tally: Tally,
}

impl<C, S> ChainTask<C, S> {
    pub(crate) fn new(chain: C, sink: S) -> Self {
        Self { chain, sink, tally: Tally::default() }
    }
}

struct End<'a, S> {
    sink: &'a mut S,
    tally: &'a mut Tally,
    cx: &'a mut Context,
}

impl<T: ?Sized, S: Sink<T>> Push<T> for End<'_, S> {
    #[inline]
    fn push(&mut self, timestamp: i64, item: &T) {
        self.tally.records_in += 1;
        self.tally.guard(|| self.sink.push(timestamp, item, self.cx));
    }

    #[inline]
    fn full(&self) -> bool {
        self.cx.full()
    }

    #[inline]
    fn context(&mut self) -> &mut Context {
        self.cx
    }
}

impl<T: ?Sized, S: Sink<T>> Downstream<T> for End<'_, S> {
    fn batch_end(&mut self) -> Flow {
        Flow::Done
    }

    fn watermark(&mut self, watermark: i64) -> Flow {
        self.cx.emit_watermark(watermark);
        Flow::Done
    }

    fn timer(&mut self, _: i64) -> Flow {
        Flow::Done
    }

    fn end(&mut self) -> Flow {
        Flow::Done
    }

    fn restore(&mut self) -> Flow {
        Flow::Done
    }
}

impl<C: Pipeline, S: Sink<C::Out>> Task for ChainTask<C, S> {
    fn open(&mut self, cx: &mut OpenContext<'_>) {
        self.chain.open(cx);
    }

    fn batch(&mut self, _: usize, batch: &mut Batch<'_>, cx: &mut Context) -> Flow {
        let Self { chain, sink, tally } = self;
        chain.batch(batch, &mut End { sink, tally, cx })
    }

    fn watermark(&mut self, _: usize, watermark: i64, cx: &mut Context) -> Flow {
        let Self { chain, sink, tally } = self;
        chain.watermark(watermark, &mut End { sink, tally, cx })
    }

    fn barrier(&mut self, epoch: Epoch, _: &mut Context) {
        self.chain.barrier(epoch);
    }

    fn timer(&mut self, now_ms: i64, cx: &mut Context) -> Flow {
        let Self { chain, sink, tally } = self;
        chain.timer(now_ms, &mut End { sink, tally, cx })
    }

    fn end(&mut self, _: usize, cx: &mut Context) -> Flow {
        let Self { chain, sink, tally } = self;
        chain.end(&mut End { sink, tally, cx })
    }

    fn restore(&mut self, cx: &mut Context) -> Flow {
        let Self { chain, sink, tally } = self;
        chain.restore(&mut End { sink, tally, cx })
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table)) {
        self.chain.tables(visit);
    }

    fn operators(&self, visit: &mut dyn FnMut(OperatorCounters)) {
        self.chain.counters(visit);
        visit(self.tally.counters());
    }

    fn culprit(&self) -> usize {
        let mut at = 0;
        let before = self.chain.culprit(&mut at);
        self.tally.culprit(&mut at, before).unwrap_or(0)
    }
}
