//! The plan of a job: what is built on each shard, and agreed on before it starts.

mod layout;

pub(crate) use layout::TableLayout;
pub use layout::{LayoutChange, LayoutError, StateLayout};

use crate::{
    data::Descriptor,
    epoch::{SourceId, TaskId},
    exchange::{EdgeId, ExchangeOptions, Partitioning},
    key::{KeyGroups, Placement},
    sink::{SinkEncoding, SinkOptions},
    task::Task,
};
use millrace_runtime::ShardId;
use std::{collections::BTreeMap, fmt};
use xxhash_rust::xxh3::Xxh3;

/// How long the name of an operator, a table or a topic may be, in bytes: no topic's name that Kafka allows is longer.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// How much of a name that is too long is shown, in characters.
const NAME_SHOWN_CHARS: usize = 40;

/// A job, ready to be started on one shard: built once per shard from the same function, with the same parameters.
pub struct Plan {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) groups: KeyGroups,
    pub(crate) exchange: ExchangeOptions,
    pub(crate) stages: Vec<Stage>,
    pub(crate) edges: Vec<EdgeSpec>,
    hash: u64,
}

/// The number of a stage within its job's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub u16);

impl StageId {
    /// The stage's task on a shard.
    #[must_use]
    pub const fn task_on(self, shard: ShardId) -> TaskId {
        TaskId((self.0 as u32) << 16 | shard.0 as u32)
    }

    /// The stage that a task belongs to.
    #[must_use]
    pub const fn of_task(task: TaskId) -> Self {
        Self((task.0 >> 16) as u16)
    }

    /// The stage as a source.
    #[must_use]
    pub const fn source(self) -> SourceId {
        SourceId(self.0 as u32)
    }
}

/// One vertex: a task on each shard of the job.
pub(crate) struct Stage {
    pub(crate) id: StageId,
    pub(crate) name: String,
    pub(crate) operators: Vec<OperatorSpec>,
    /// The edges that each input reads: several are a union.
    pub(crate) inputs: Vec<Vec<EdgeId>>,
    pub(crate) source: Option<SourceSpec>,
    pub(crate) outputs: Vec<EdgeId>,
    pub(crate) topics: Vec<TopicSpec>,
    pub(crate) task: Box<dyn Task>,
}

/// One operator of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSpec {
    /// What it is: "filter", "window".
    pub kind: &'static str,
    /// Its name: given by [`named`](crate::stream::Stream::named), else its kind.
    pub name: String,
    /// Whether the name was given.
    pub is_named: bool,
    /// Whether it keeps state, which is found again by the name.
    pub is_stateful: bool,
}

/// An edge between two stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeSpec {
    /// Its number.
    pub id: EdgeId,
    /// What its values are.
    pub descriptor: Descriptor,
    /// Which shard a record goes to.
    pub partitioning: Partitioning,
}

/// A topic that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// Its name.
    pub topic: String,
    /// What its values are, if it is read in place.
    pub values: Option<Descriptor>,
}

/// A topic that a stage writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub topic: String,
    /// How it is written.
    pub options: SinkOptions,
    /// What its values are, if they are archived values of one type.
    pub values: Option<Descriptor>,
}

/// What is wrong with a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No stage at all.
    #[error("the job has no stream: begin with `job.source(topic)` and end with a sink")]
    Empty,
    /// A stream that leads nowhere.
    #[error("{stream} ends nowhere: give it a sink (`to_topic`, `sink`), or remove it")]
    Unended {
        /// Which.
        stream: String,
    },
    /// Two operators that keep state have the same name.
    #[error(
        "{count} operators that keep state are called `{name}`, in stages {stages}: their state is found again by name, \
         so give each its own with `.named(..)`"
    )]
    AmbiguousName {
        /// The name.
        name: String,
        /// How many have it.
        count: usize,
        /// The stages that they are in.
        stages: String,
    },
    /// A name that could not be kept with the job's state.
    #[error("the name of {what} `{start}..` has {len} bytes, more than the {max} that it may have")]
    NameTooLong {
        /// What it is the name of: an operator, a topic, a stage.
        what: &'static str,
        /// How it begins.
        start: String,
        /// How long it is, in bytes.
        len: usize,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// A window where event time does not flow.
    #[error(
        "`{operator}` would never fire: no watermark reaches it; call `.event_time(..)` on the source's stream"
    )]
    NoWatermarks {
        /// The operator.
        operator: String,
    },
    /// `event_time` where partitions can't be told apart any more.
    #[error("`event_time` belongs to a source's own stream, before `key_by`, `branch` and `union`")]
    EventTimeTooLate,
    /// A parameter that is no value of its type.
    #[error("parameter `{name}`: `{value}` is not a {expected}")]
    Parameter {
        /// Its name.
        name: String,
        /// What was given.
        value: String,
        /// The type.
        expected: &'static str,
    },
    /// A parameter that the job does not know.
    #[error("unknown parameter `{name}`; the job has {known}")]
    UnknownParameter {
        /// Its name.
        name: String,
        /// Those that it has.
        known: String,
    },
    /// A dynamic stream that is read as another type than it has.
    #[error("a stream of `{found}` is read as `{expected}`: {reason}")]
    TypeMismatch {
        /// What the stream has.
        found: String,
        /// What it is read as.
        expected: String,
        /// The field that differs.
        reason: String,
    },
    /// A window that no record fits.
    #[error("{0}")]
    Invalid(String),
}

/// Everything that is wrong with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildErrors {
    /// The job.
    pub job: String,
    /// What is wrong, at least one thing.
    pub errors: Vec<BuildError>,
}

impl fmt::Display for BuildErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job `{}` can't be built:", self.job)?;
        for error in &self.errors {
            write!(f, "\n- {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildErrors {}

impl Plan {
    pub(crate) fn new(
        name: String,
        version: u32,
        groups: KeyGroups,
        exchange: ExchangeOptions,
        stages: Vec<Stage>,
        edges: Vec<EdgeSpec>,
    ) -> Self {
        let mut plan = Self { name, version, groups, exchange, stages, edges, hash: 0 };
        plan.hash = plan.compute_hash();
        plan
    }

    /// The job's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The job's version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The number of key groups.
    #[must_use]
    pub const fn key_groups(&self) -> KeyGroups {
        self.groups
    }

    /// A hash over everything that the shards must agree on: stages, operators, edges, types, topics and options. Closures
    /// can't be hashed; they are the same because the binary is.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The topics that the job reads, each with the source that does.
    pub fn sources(&self) -> impl Iterator<Item = (SourceId, &SourceSpec)> {
        self.stages.iter().filter_map(|stage| Some((stage.id.source(), stage.source.as_ref()?)))
    }

    /// The topics that the job writes to.
    pub fn topics(&self) -> impl Iterator<Item = &TopicSpec> {
        self.stages.iter().flat_map(|stage| &stage.topics)
    }

    /// The stages, each as the names of its operators.
    pub fn stages(&self) -> impl Iterator<Item = (StageId, &str)> {
        self.stages.iter().map(|stage| (stage.id, stage.name.as_str()))
    }

    /// The tasks on all shards of a placement: those that must have staged before an epoch is prepared.
    pub fn tasks<'a>(&'a self, placement: &'a Placement) -> impl Iterator<Item = TaskId> + 'a {
        self.stages.iter().flat_map(|stage| placement.shards().iter().map(|shard| stage.id.task_on(*shard)))
    }

    /// How many frames can be on their way between two shards at most: what a ring must hold, for this job alone.
    #[must_use]
    pub fn ring_frames(&self) -> usize {
        let keyed = self.edges.iter().filter(|edge| edge.partitioning == Partitioning::Keyed).count();
        keyed * self.exchange.credits as usize
    }

    fn compute_hash(&self) -> u64 {
        let mut hash = PlanHasher(Xxh3::new());
        hash.text(&self.name);
        hash.number(u64::from(self.version));
        hash.number(u64::from(self.groups.count()));
        for number in [self.exchange.frame_bytes, self.exchange.credits as usize, self.exchange.spill_bytes] {
            hash.number(number as u64);
        }
        hash.number(self.edges.len() as u64);
        for edge in &self.edges {
            hash.number(edge.descriptor.hash());
            hash.number(edge.partitioning as u64);
        }
        hash.number(self.stages.len() as u64);
        for stage in &self.stages {
            hash.stage(stage);
        }
        hash.0.digest()
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<&str> = self.stages.iter().map(|stage| stage.name.as_str()).collect();
        f.debug_struct("Plan").field("name", &self.name).field("stages", &stages).finish_non_exhaustive()
    }
}

struct PlanHasher(Xxh3);

impl PlanHasher {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn descriptor(&mut self, descriptor: Option<&Descriptor>) {
        self.number(descriptor.map_or(0, Descriptor::hash));
    }

    fn stage(&mut self, stage: &Stage) {
        self.number(stage.operators.len() as u64);
        for operator in &stage.operators {
            self.text(operator.kind);
            self.text(&operator.name);
            self.number(u64::from(operator.is_stateful));
        }
        self.number(stage.inputs.len() as u64);
        for edges in stage.inputs.iter().chain([&stage.outputs]) {
            self.number(edges.len() as u64);
            for edge in edges {
                self.number(u64::from(edge.0));
            }
        }
        if let Some(source) = &stage.source {
            self.text(&source.topic);
            self.descriptor(source.values.as_ref());
        }
        self.number(stage.topics.len() as u64);
        for topic in &stage.topics {
            self.text(&topic.topic);
            self.descriptor(topic.values.as_ref());
            self.number(topic.options.batch_bytes as u64);
            self.number(u64::from(topic.options.credits));
            self.number(match topic.options.encoding {
                SinkEncoding::Archived => u64::MAX,
                SinkEncoding::Kafka(codec) => codec as u64,
            });
        }
    }
}

/// Refuses names that are longer than a [`StateLayout`] holds. They may be made of parameters, so of anything.
pub(crate) fn long_names(stages: &[Stage]) -> Vec<BuildError> {
    let mut errors = Vec::new();
    let mut check = |what, name: &str, max| {
        if name.len() > max {
            let start = name.chars().take(NAME_SHOWN_CHARS).collect();
            errors.push(BuildError::NameTooLong { what, start, len: name.len(), max });
        }
    };
    for stage in stages {
        stage.operators.iter().for_each(|operator| check("operator", &operator.name, NAME_BYTES_MAX));
        let sources = stage.source.iter().map(|source| &source.topic);
        let topics = sources.chain(stage.topics.iter().map(|topic| &topic.topic));
        topics.for_each(|topic| check("topic", topic, NAME_BYTES_MAX));
        check("stage", &stage.name, layout::TEXT_BYTES_MAX);
    }
    errors
}

/// Refuses names of operators with state that are not unique.
pub(crate) fn ambiguous_names(stages: &[Stage]) -> Vec<BuildError> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for stage in stages {
        for operator in stage.operators.iter().filter(|operator| operator.is_stateful) {
            by_name.entry(&operator.name).or_default().push(&stage.name);
        }
    }
    let ambiguous = by_name.into_iter().filter(|(_, stages)| stages.len() > 1);
    let errors = ambiguous.map(|(name, stages)| BuildError::AmbiguousName {
        name: name.to_owned(),
        count: stages.len(),
        stages: stages.iter().map(|stage| format!("`{stage}`")).collect::<Vec<_>>().join(", "),
    });
    errors.collect()
}

#[cfg(test)]
mod tests;
