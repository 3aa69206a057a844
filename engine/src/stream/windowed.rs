//! Streams cut into windows.

use super::{Draft, Keyed, Pipeline, Rows, Stream};
use crate::{
    aggregate::{Aggregate, AggregatesOf},
    data::Archived,
    exchange::Partitioning,
    key::Key,
    operator::WindowAggregate,
    window::{Assigner, Windowed},
};
use std::marker::PhantomData;

/// The records of each key, cut into windows. What comes next is an aggregate.
#[must_use = "windows without an aggregate do nothing; the build refuses them"]
pub struct WindowedStream<K, A, W> {
    draft: Draft,
    windows: W,
    late: Option<usize>,
    of: PhantomData<fn(A) -> K>,
}

impl<K: Key + 'static, A: Archived, W: Assigner> WindowedStream<K, A, W> {
    pub(crate) const fn new(draft: Draft, windows: W) -> Self {
        Self { draft, windows, late: None, of: PhantomData }
    }

    /// Hands out the records that come when their window has fired, as a stream of their own. Without this they are
    /// counted and dropped. On-time and late records together are all records.
    pub fn with_late(mut self) -> (Self, Stream<Rows<A>>) {
        let (output, edge) = self.draft.output(A::DESCRIPTOR, Partitioning::Local);
        self.late = Some(output);
        let late = Draft::reading(&self.draft.graph, "a stream of late records", vec![edge], true);
        (self, Stream::new(late, Rows::new()))
    }

    /// Makes one result of the records of a key in a window, when the watermark passes the window's end. A tuple of
    /// aggregates gives a tuple of results.
    ///
    /// Results have the window's last millisecond as their timestamp.
    pub fn aggregate<G>(mut self, aggregate: G) -> Stream<impl Pipeline<Out = Windowed<K, G::Output>>>
    where
        G: Aggregate<A, Output: 'static>,
    {
        self.draft.operator("window", true);
        let operator = WindowAggregate::new(self.windows, aggregate, self.late);
        Stream::new(self.draft, Keyed::<A, WindowAggregate<K, W, G>>::new(operator))
    }

    /// Like [`aggregate`](Self::aggregate), with closures that need no annotation:
    /// `.aggregate_with(|of| (of.count(), of.average(|flight| flight.delay)))`.
    pub fn aggregate_with<G>(
        self,
        aggregate: impl FnOnce(&AggregatesOf<A>) -> G,
    ) -> Stream<impl Pipeline<Out = Windowed<K, G::Output>>>
    where
        G: Aggregate<A, Output: 'static>,
    {
        self.aggregate(aggregate(&AggregatesOf::new()))
    }
}

impl<K, A, W: std::fmt::Debug> std::fmt::Debug for WindowedStream<K, A, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowedStream").field("windows", &self.windows).finish_non_exhaustive()
    }
}
