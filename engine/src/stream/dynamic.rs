//! Where the typed graph meets hand-built tasks.

use super::{Draft, Graph, KeyedStream, Pipeline, Rows, Stream};
use crate::{
    Data,
    data::{Compatibility, Descriptor, Encode},
    exchange::{EdgeId, Partitioning},
    key::Key,
    plan::BuildError,
    registry::JobBuilder,
    task::Task,
};

/// A stream of which only the descriptor is known: an edge into or out of a hand-built [`Task`].
#[must_use = "a stream that ends in no sink does nothing; the build refuses it"]
pub struct DynamicStream {
    graph: Graph,
    edge: EdgeId,
    timed: bool,
    /// Keeps count of streams that nobody ends.
    draft: Draft,
}

impl DynamicStream {
    fn new(graph: &Graph, edge: EdgeId, timed: bool) -> Self {
        Self { graph: graph.clone(), edge, timed, draft: Draft::new(graph, "a dynamic stream", timed) }
    }

    /// What the records are.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        self.graph.descriptor(self.edge)
    }

    /// Reads the records as `T`, whose descriptor must be equal. Bytes that a hand-built task wrote are checked record by
    /// record.
    pub fn typed<T: Data>(self) -> Stream<Rows<T::Archived>> {
        let found = self.descriptor();
        let reason = match T::DESCRIPTOR.compatibility(&found) {
            Ok(Compatibility::Equal) => None,
            Ok(Compatibility::Migratable(_)) => Some("the layouts differ".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = reason {
            let expected = T::DESCRIPTOR.to_string();
            self.graph.error(BuildError::TypeMismatch { found: found.to_string(), expected, reason });
        }
        let draft = Draft::reading(&self.graph, "a dynamic stream", vec![self.edge], self.timed);
        self.draft.discard();
        Stream::new(draft, Rows::new())
    }
}

impl std::fmt::Debug for DynamicStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DynamicStream({})", self.descriptor())
    }
}

impl<C: Pipeline> Stream<C> {
    /// Forgets the type, for a hand-built task on the same shard.
    pub fn into_dynamic(self) -> DynamicStream
    where
        C::Out: Encode,
    {
        let (graph, timed) = (self.draft.graph.clone(), self.draft.timed);
        let edges = self.into_local_edges(1);
        DynamicStream::new(&graph, edges[0], timed)
    }
}

impl<C, F, K> KeyedStream<C, F, K>
where
    C: Pipeline<Out: Encode>,
    F: Fn(&C::Out) -> K + 'static,
    K: Key + 'static,
{
    /// Forgets the type, for a hand-built task that gets records by key.
    pub fn into_dynamic(self) -> DynamicStream {
        let (graph, timed) = self.origin();
        let edge = self.into_edge();
        DynamicStream::new(&graph, edge, timed)
    }
}

impl JobBuilder {
    /// Adds a hand-built task: each of `inputs` becomes an input in this order, and for each of `outputs` there is a stream of
    /// records that it describes, each to the same shard or by key.
    pub fn task(
        &mut self,
        name: &str,
        inputs: Vec<DynamicStream>,
        outputs: &[(Descriptor, Partitioning)],
        task: impl Task + 'static,
    ) -> Vec<DynamicStream> {
        let timed = inputs.iter().all(|input| input.timed);
        let mut draft = Draft::new(self.graph(), name, timed);
        for input in inputs {
            draft.input(vec![input.edge]);
            input.draft.discard();
        }
        draft.operator("task", true);
        draft.name_last(name);
        let edges =
            outputs.iter().map(|(descriptor, partitioning)| draft.output(descriptor, *partitioning).1);
        let edges: Vec<_> = edges.collect();
        draft.finish(Box::new(task));
        edges.into_iter().map(|edge| DynamicStream::new(self.graph(), edge, timed)).collect()
    }
}
