//! One stream into several, several into one.

use super::{ChainTask, Draft, Pipeline, Rows, Stream};
use crate::{
    data::Encode,
    exchange::{EdgeId, Partitioning},
    sink::Sink,
    task::Context,
};

/// What the records of a stream are behind an edge.
type Landed<C> = <<C as Pipeline>::Out as Encode>::Archived;

/// Sends each record on some edges without a key.
struct LocalSink {
    outputs: Vec<usize>,
}

impl<T: Encode + ?Sized> Sink<T> for LocalSink {
    #[inline]
    fn push(&mut self, timestamp: i64, item: &T, cx: &mut Context) {
        for &output in &self.outputs {
            cx.send(output, timestamp, None, item);
        }
    }
}

impl<C: Pipeline> Stream<C> {
    /// Ends the stage with `count` edges to the same shard; each carries every record.
    pub(crate) fn into_local_edges(mut self, count: usize) -> Vec<EdgeId>
    where
        C::Out: Encode,
    {
        let edge = |_| self.draft.output(C::Out::DESCRIPTOR, Partitioning::Local);
        let (outputs, edges): (Vec<_>, Vec<_>) = (0..count).map(edge).unzip();
        self.draft.operator("forward", false);
        self.draft.finish(Box::new(ChainTask::new(self.chain, LocalSink { outputs })));
        edges
    }

    /// The same records several times: `let [a, b] = stream.branch();`. Each branch is written to a buffer of its own, so
    /// branch behind what makes records fewer or smaller.
    pub fn branch<const N: usize>(self) -> [Stream<Rows<Landed<C>>>; N]
    where
        C::Out: Encode,
    {
        let (graph, timed) = (self.draft.graph.clone(), self.draft.timed);
        let edges = self.into_local_edges(N);
        std::array::from_fn(|i| {
            let draft = Draft::reading(&graph, "a branch", vec![edges[i]], timed);
            Stream::new(draft, Rows::new())
        })
    }

    /// The records of both, in no particular order between them. The watermark is the smaller one.
    pub fn union<D>(self, other: Stream<D>) -> Stream<Rows<Landed<C>>>
    where
        C::Out: Encode,
        D: Pipeline<Out: Encode<Archived = Landed<C>>>,
    {
        let (graph, timed) = (self.draft.graph.clone(), self.draft.timed && other.draft.timed);
        let mut edges = self.into_local_edges(1);
        edges.extend(other.into_local_edges(1));
        Stream::new(Draft::reading(&graph, "a union", edges, timed), Rows::new())
    }
}
