//! Streams with a key: records of one key are together, on one shard.

use super::{ChainTask, Draft, Graph, Keyed, Pipeline, Stream, WindowedStream};
use crate::{
    data::Encode,
    exchange::{EdgeId, Partitioning},
    key::{EncodeKey, HashedKey, Key},
    operator::{Process, ProcessOperator},
    plan::BuildError,
    sink::Sink,
    task::Context,
    window::Assigner,
};
use std::marker::PhantomData;

/// A stream whose records have a key. What comes next is an operator that keeps state by key.
#[must_use = "a keyed stream that is not used does nothing; the build refuses it"]
pub struct KeyedStream<C, F, K> {
    stream: Stream<C>,
    key: F,
    of: PhantomData<fn() -> K>,
}

/// What the records of a stream are behind an edge.
type Landed<C> = <<C as Pipeline>::Out as Encode>::Archived;

/// Sends each record to the shard of its key.
struct KeyedSink<F> {
    key: F,
    output: usize,
    /// The key's canonical bytes.
    bytes: Vec<u8>,
}

impl<T: Encode + ?Sized, K: EncodeKey, F: Fn(&T) -> K + 'static> Sink<T> for KeyedSink<F> {
    #[inline]
    fn push(&mut self, timestamp: i64, item: &T, cx: &mut Context) {
        self.bytes.clear();
        (self.key)(item).encode(&mut self.bytes);
        cx.send(self.output, timestamp, Some(HashedKey::new(&self.bytes)), item);
    }
}

impl<C: Pipeline> Stream<C> {
    /// Brings records of the same key together. Whatever has canonical key bytes is a key: numbers, strings, byte arrays,
    /// tuples of these. An archived number is made native first: `.key_by(|bid| bid.auction.to_native())`.
    ///
    /// A key is made for each record: a `String` allocates, `[u8; 3]` does not.
    pub fn key_by<K, F>(self, key: F) -> KeyedStream<C, F, K>
    where
        C::Out: Encode,
        K: Key + 'static,
        F: Fn(&C::Out) -> K + 'static,
    {
        KeyedStream { stream: self, key, of: PhantomData }
    }
}

impl<C, F, K> KeyedStream<C, F, K>
where
    C: Pipeline<Out: Encode>,
    F: Fn(&C::Out) -> K + 'static,
    K: Key + 'static,
{
    /// The graph that the stream belongs to, and whether watermarks flow.
    pub(crate) fn origin(&self) -> (Graph, bool) {
        (self.stream.draft.graph.clone(), self.stream.draft.timed)
    }

    /// Ends the stage with a keyed edge.
    pub(crate) fn into_edge(self) -> EdgeId {
        let Stream { mut draft, chain } = self.stream;
        let (output, edge) = draft.output(C::Out::DESCRIPTOR, Partitioning::Keyed);
        draft.operator("key_by", false);
        let sink = KeyedSink { key: self.key, output, bytes: Vec::new() };
        draft.finish(Box::new(ChainTask::new(chain, sink)));
        edge
    }

    /// Ends the stage and begins the next, behind the exchange.
    fn exchange(self) -> Draft {
        let (graph, timed) = self.origin();
        let edge = self.into_edge();
        Draft::reading(&graph, "a keyed stream", vec![edge], timed)
    }

    /// Cuts the records of each key into windows of event time.
    pub fn window<W: Assigner>(self, windows: W) -> WindowedStream<K, Landed<C>, W> {
        let draft = self.exchange();
        if !draft.timed {
            draft.graph.error(BuildError::NoWatermarks { operator: "window".to_owned() });
        }
        WindowedStream::new(draft, windows)
    }

    /// Runs a function with state and timers for each key.
    pub fn process<P: Process<K, Landed<C>>>(
        self,
        name: &str,
        process: P,
    ) -> Stream<impl Pipeline<Out = P::Out>> {
        let mut draft = self.exchange();
        draft.operator("process", true);
        draft.name_last(name);
        Stream::new(draft, Keyed::<Landed<C>, ProcessOperator<K, P>>::new(ProcessOperator::new(process)))
    }
}

impl<C, F, K> std::fmt::Debug for KeyedStream<C, F, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}
