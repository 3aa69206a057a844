//! Operators: what a chain is made of, one in each file.
//!
//! An operator takes `&T` and pushes its results. Chains of operators are nested generic types: a chain is one
//! monomorphised loop, entered by one dynamic call per batch.
//!
//! Operators whose results follow from one record alone (`map`, `filter`, `flat_map`) take `Fn` closures: a counter in a
//! closure would survive neither a failure nor a restart, and silently break exactly-once. What must be remembered is in
//! a table: [`window`](crate::stream::KeyedStream::window), [`process`](crate::stream::KeyedStream::process), or an
//! [`Operator`] of your own.

mod event_time;
mod filter;
mod flat_map;
mod keyed;
mod map;
mod process;
mod window_aggregate;

pub use process::{KeyContext, OrderedState, PointState, Process, ProcessOpen};

pub(crate) use event_time::EventTime;
pub(crate) use filter::Filter;
pub(crate) use flat_map::FlatMap;
pub(crate) use keyed::KeyedOperator;
pub(crate) use map::{Map, MapRef, MapWith};
pub(crate) use process::ProcessOperator;
pub(crate) use window_aggregate::WindowAggregate;

use crate::{
    epoch::Epoch,
    table::Table,
    task::{Context, Flow, OpenContext},
};

/// Where an operator puts its results.
pub trait Push<T: ?Sized> {
    /// Hands a result to whatever comes next. Always taken: what has no room waits.
    fn push(&mut self, timestamp: i64, item: &T);

    /// Whether to stop as soon as the operator can. A flush of many results asks before each.
    fn full(&self) -> bool;

    /// The task's context: processing time, budget.
    fn context(&mut self) -> &mut Context;
}

/// A step of a chain. Implement it for what the built-in operators can't say, and add it with
/// [`Stream::apply`](crate::stream::Stream::apply); the `testing` module drives one alone.
///
/// Hooks are called in the order of the chain. Watermarks, timers and the end go on to the next operator by themselves
/// when the hook returns `Done`. An operator that returns `More` is called again with the same arguments; one that has
/// returned `Done` may be called again too, and then has nothing to do.
pub trait Operator<I: ?Sized>: 'static {
    /// What it pushes.
    type Out: ?Sized;

    /// Makes tables and scratch space, once.
    fn open(&mut self, _cx: &mut OpenContext<'_>) {}

    /// Takes a record.
    fn record<P: Push<Self::Out>>(&mut self, timestamp: i64, item: &I, out: &mut P);

    /// A batch is over: what was held back within it (to prefetch, say) must be pushed.
    fn batch_end<P: Push<Self::Out>>(&mut self, _out: &mut P) -> Flow {
        Flow::Done
    }

    /// No record at or below `watermark` is expected.
    fn watermark<P: Push<Self::Out>>(&mut self, _watermark: i64, _out: &mut P) -> Flow {
        Flow::Done
    }

    /// Processing time reached a moment asked for by [`Context::wake_at`].
    fn timer<P: Push<Self::Out>>(&mut self, _now_ms: i64, _out: &mut P) -> Flow {
        Flow::Done
    }

    /// No record follows.
    fn end<P: Push<Self::Out>>(&mut self, _out: &mut P) -> Flow {
        Flow::Done
    }

    /// An epoch ends: everything that must survive is put into the tables.
    fn barrier(&mut self, _epoch: Epoch) {}

    /// The tables hold committed state: rebuilds what is derived from them, drops everything else.
    fn restore<P: Push<Self::Out>>(&mut self, _out: &mut P) -> Flow {
        Flow::Done
    }

    /// Shows each table, always in the same order.
    fn tables(&mut self, _visit: &mut dyn FnMut(&mut dyn Table)) {}
}
