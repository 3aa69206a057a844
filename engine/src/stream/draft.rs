//! The graph of a job while it is built: finished stages, and drafts of those that are still growing.

use crate::{
    data::Descriptor,
    exchange::{EdgeId, Partitioning},
    plan::{BuildError, EdgeSpec, OperatorSpec, SourceSpec, Stage, StageId, TopicSpec},
    sink::SinkOptions,
    task::Task,
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// The graph, shared by the streams of one job while it is built.
#[derive(Clone, Default)]
pub(crate) struct Graph(Rc<RefCell<GraphInner>>);

#[derive(Default)]
pub(crate) struct GraphInner {
    pub(crate) stages: Vec<Stage>,
    pub(crate) edges: Vec<EdgeSpec>,
    pub(crate) errors: Vec<BuildError>,
    /// Streams that nobody has ended yet, by number, with a name to call them in an error.
    open: BTreeMap<u32, String>,
    next: u32,
}

impl Graph {
    pub(crate) fn error(&self, error: BuildError) {
        self.0.borrow_mut().errors.push(error);
    }

    /// Adds an edge whose values are described by `descriptor`.
    pub(crate) fn edge(&self, descriptor: &Descriptor, partitioning: Partitioning) -> EdgeId {
        let edges = &mut self.0.borrow_mut().edges;
        let id = EdgeId(edges.len() as u32);
        edges.push(EdgeSpec { id, descriptor: descriptor.clone(), partitioning });
        id
    }

    pub(crate) fn descriptor(&self, edge: EdgeId) -> Descriptor {
        self.0.borrow().edges[edge.0 as usize].descriptor.clone()
    }

    fn open(&self, what: &str) -> u32 {
        let inner = &mut *self.0.borrow_mut();
        inner.next += 1;
        inner.open.insert(inner.next, what.to_owned());
        inner.next
    }

    fn close(&self, number: u32) {
        self.0.borrow_mut().open.remove(&number);
    }

    /// Ends the building.
    pub(crate) fn finish(self) -> (Vec<Stage>, Vec<EdgeSpec>, Vec<BuildError>) {
        let mut inner = self.0.take();
        let open = std::mem::take(&mut inner.open).into_values();
        inner.errors.extend(open.map(|stream| BuildError::Unended { stream }));
        (inner.stages, inner.edges, inner.errors)
    }
}

/// A stage that is still growing.
pub(crate) struct Draft {
    pub(crate) graph: Graph,
    number: u32,
    pub(crate) operators: Vec<OperatorSpec>,
    inputs: Vec<Vec<EdgeId>>,
    pub(crate) source: Option<SourceSpec>,
    edges: Vec<EdgeId>,
    topics: Vec<TopicSpec>,
    /// Whether watermarks arrive here.
    pub(crate) timed: bool,
}

impl Draft {
    pub(crate) fn new(graph: &Graph, what: &str, timed: bool) -> Self {
        Self {
            graph: graph.clone(),
            number: graph.open(what),
            operators: Vec::new(),
            inputs: Vec::new(),
            source: None,
            edges: Vec::new(),
            topics: Vec::new(),
            timed,
        }
    }

    /// A stage with one input that reads these edges.
    pub(crate) fn reading(graph: &Graph, what: &str, edges: Vec<EdgeId>, timed: bool) -> Self {
        let mut draft = Self::new(graph, what, timed);
        draft.inputs.push(edges);
        draft
    }

    /// Adds another input.
    pub(crate) fn input(&mut self, edges: Vec<EdgeId>) {
        self.inputs.push(edges);
    }

    pub(crate) fn operator(&mut self, kind: &'static str, stateful: bool) {
        self.operators.push(OperatorSpec {
            kind,
            name: kind.to_owned(),
            is_named: false,
            is_stateful: stateful,
        });
    }

    /// Names the last operator.
    pub(crate) fn name_last(&mut self, name: &str) {
        if let Some(last) = self.operators.last_mut() {
            name.clone_into(&mut last.name);
            last.is_named = true;
        }
    }

    /// Adds an edge out of the stage; returns its index among the stage's outputs.
    pub(crate) fn output(&mut self, descriptor: &Descriptor, partitioning: Partitioning) -> (usize, EdgeId) {
        let edge = self.graph.edge(descriptor, partitioning);
        self.edges.push(edge);
        (self.edges.len() - 1, edge)
    }

    /// Adds a topic that the stage writes to; returns its index among the stage's topics.
    pub(crate) fn topic(&mut self, topic: &str, options: SinkOptions, values: Option<&Descriptor>) -> usize {
        self.topics.push(TopicSpec { topic: topic.to_owned(), options, values: values.cloned() });
        self.topics.len() - 1
    }

    /// Drops a stage that is not needed.
    pub(crate) fn discard(self) {
        self.graph.close(self.number);
    }

    /// Ends the stage.
    pub(crate) fn finish(self, task: Box<dyn Task>) {
        self.graph.close(self.number);
        let names: Vec<&str> = self.operators.iter().map(|operator| operator.name.as_str()).collect();
        let stages = &mut self.graph.0.borrow_mut().stages;
        stages.push(Stage {
            id: StageId(u16::try_from(stages.len()).expect("a job has fewer than 65,536 stages")),
            name: names.join(" -> "),
            operators: self.operators,
            inputs: self.inputs,
            source: self.source,
            outputs: self.edges,
            topics: self.topics,
            task,
        });
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.operators.iter().map(|operator| &operator.name)).finish()
    }
}
