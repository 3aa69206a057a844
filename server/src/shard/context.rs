//! What everything on a shard works with: who it is, what it knows of the cluster, its log, its coordinator, and the way
//! to the other shards.

use super::{Calls, Counters, Partitions, controller::ProducerIds};
use crate::{
    cluster::{
        COMMIT_TOPIC, COMMIT_TOPIC_NAME, Image, METADATA_TOPIC, METADATA_TOPIC_NAME, MetadataRecord, Topic,
        is_internal, own_partition, owner,
    },
    config::{self, Config},
    coordinator::{Coordinator, OFFSETS_TOPIC},
    job::{Controller, Dataflow, epochs::Epochs},
};
use millrace_engine::registry::Registry;
use millrace_net::{budget::Budget, listener::Acceptor};
use millrace_record::TopicId;
use millrace_runtime::ShardId;
use millrace_storage::{Class, Durability, LogOptions};
use std::{
    cell::{OnceCell, Ref, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    sync::Arc,
};

/// What all shards of a server are told when they start.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The configuration.
    pub config: Config,
    /// This node's id on the wire.
    pub node_id: i32,
}

impl ServerOptions {
    /// The longest batch that a topic takes, in bytes.
    #[must_use]
    pub fn batch_len_max(&self, topic: &Topic) -> usize {
        let own = topic.configs.get("max.message.bytes").and_then(|value| value.trim().parse().ok());
        own.unwrap_or_else(|| usize::try_from(self.config.topic.message_bytes_max.0).unwrap_or(usize::MAX))
    }

    /// How the logs of a topic behave.
    #[must_use]
    pub fn log_options(&self, topic: &Topic) -> LogOptions {
        let own = topic.configs.get("segment.bytes").and_then(|value| value.trim().parse().ok());
        let (class, durability) = match (is_internal(&topic.name), self.config.topic.durability) {
            (true, _) => (Class::Control, Durability::Fsync),
            (false, config::Durability::Fsync) => (Class::Produce, Durability::Fsync),
            (false, config::Durability::Os) => (Class::Produce, Durability::Os),
        };
        LogOptions {
            class,
            durability,
            segment_bytes: own.unwrap_or(self.config.topic.segment_bytes.0),
            ..LogOptions::default()
        }
    }

    /// The server's own default of a topic's setting, where the configuration has one.
    #[must_use]
    pub fn topic_default(&self, name: &str) -> Option<String> {
        match name {
            "max.message.bytes" => Some(self.config.topic.message_bytes_max.0.to_string()),
            "segment.bytes" => Some(self.config.topic.segment_bytes.0.to_string()),
            _ => None,
        }
    }
}

/// A shard's context. Clones are the same.
#[derive(Clone)]
pub struct Context(Rc<Inner>);

struct Inner {
    id: ShardId,
    count: u16,
    options: Arc<ServerOptions>,
    image: RefCell<Image>,
    calls: Rc<Calls<Context>>,
    partitions: Partitions,
    coordinator: Coordinator,
    producer_ids: ProducerIds,
    counters: Counters,
    /// For records in responses that wait to be taken.
    unsent: Budget,
    registry: Registry,
    dataflow: Dataflow,
    controller: Controller,
    /// Set on the first shard when jobs are recovered.
    epochs: OnceCell<Epochs>,
    /// Set when the shard listens.
    acceptor: OnceCell<Acceptor>,
    /// Held by the controller while it changes the metadata log.
    writing: tokio::sync::Mutex<()>,
}

/// What a shard's context is made of.
pub struct Parts {
    /// The shard.
    pub id: ShardId,
    /// How many there are.
    pub count: u16,
    /// What the server was started with.
    pub options: Arc<ServerOptions>,
    /// The way to the other shards.
    pub calls: Rc<Calls<Context>>,
    /// The shard's partitions.
    pub partitions: Partitions,
    /// The shard's groups.
    pub coordinator: Coordinator,
    /// The jobs of the binary.
    pub registry: Registry,
    /// The shard's part in jobs.
    pub dataflow: Dataflow,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts of shard {}", self.id)
    }
}

impl Context {
    /// The context of a shard.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { id, count, options, calls, partitions, coordinator, registry, dataflow } = parts;
        let unsent_bytes_max =
            usize::try_from(options.config.memory.connection_bytes.0).unwrap_or(usize::MAX);
        Self(Rc::new(Inner {
            id,
            count,
            options,
            image: RefCell::default(),
            calls,
            partitions,
            coordinator,
            producer_ids: ProducerIds::default(),
            counters: Counters::default(),
            unsent: Budget::new(unsent_bytes_max),
            registry,
            dataflow,
            controller: Controller::default(),
            epochs: OnceCell::new(),
            acceptor: OnceCell::new(),
            writing: tokio::sync::Mutex::default(),
        }))
    }

    /// This shard.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.0.id
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.0.count
    }

    /// What the server was started with.
    #[must_use]
    pub fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    /// What the cluster consists of. Not to be held over an await.
    #[must_use]
    pub fn image(&self) -> Ref<'_, Image> {
        self.0.image.borrow()
    }

    /// The partitions of this shard.
    #[must_use]
    pub fn partitions(&self) -> &Partitions {
        &self.0.partitions
    }

    /// The groups of this shard.
    #[must_use]
    pub fn coordinator(&self) -> &Coordinator {
        &self.0.coordinator
    }

    /// The jobs of this binary.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// This shard's part in jobs.
    #[must_use]
    pub fn dataflow(&self) -> &Dataflow {
        &self.0.dataflow
    }

    /// The server's jobs; on the first shard.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        &self.0.controller
    }

    /// The server's epochs; on the first shard, once jobs are recovered.
    ///
    /// # Panics
    /// Elsewhere: nobody is told to talk to another shard about epochs, or earlier.
    #[must_use]
    pub fn epochs(&self) -> &Epochs {
        self.0.epochs.get().expect("epochs are the first shard's, and are known before any job is")
    }

    pub(super) fn set_epochs(&self, epochs: Epochs) {
        assert!(self.0.epochs.set(epochs).is_ok(), "jobs are recovered once");
    }

    /// The memory of records in responses that wait for their clients, all connections of this shard together.
    #[must_use]
    pub fn unsent(&self) -> &Budget {
        &self.0.unsent
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The shard's listener, once it listens.
    #[must_use]
    pub fn acceptor(&self) -> Option<&Acceptor> {
        self.0.acceptor.get()
    }

    pub(super) fn set_acceptor(&self, acceptor: Acceptor) {
        self.0.acceptor.set(acceptor).expect("a shard listens once");
    }

    pub(super) fn producer_ids(&self) -> &ProducerIds {
        &self.0.producer_ids
    }

    pub(super) fn writing(&self) -> &tokio::sync::Mutex<()> {
        &self.0.writing
    }

    /// The shard that owns a partition.
    #[must_use]
    pub fn owner(&self, topic: TopicId, partition: i32) -> ShardId {
        owner(topic, partition, self.0.count)
    }

    /// Runs `work` on another shard, or on this one.
    pub async fn on<W, F, T>(&self, shard: ShardId, work: W) -> T
    where
        W: FnOnce(Self) -> F + Send + 'static,
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        self.0.calls.on(shard, work).await
    }

    /// Applies a record of the metadata log: to the image, and to what this shard owns of the topic.
    pub async fn apply(&self, record: &MetadataRecord) {
        let gone = match record {
            MetadataRecord::RemoveTopic { id } => self.image().topic_by_id(*id).cloned(),
            _ => None,
        };
        self.0.image.borrow_mut().apply(record);
        match record {
            MetadataRecord::Topic { id, .. }
            | MetadataRecord::Partitions { id, .. }
            | MetadataRecord::Config { id, .. } => self.open_owned(*id).await,
            MetadataRecord::RemoveTopic { id } => {
                if let Some(topic) = gone {
                    if topic.name == OFFSETS_TOPIC {
                        self.coordinator().close();
                    }
                    self.partitions().remove_topic(*id).await;
                }
            }
            MetadataRecord::Job(job) => self.open_changelog(job.changelog).await,
            MetadataRecord::ProducerIds { .. }
            | MetadataRecord::Cluster { .. }
            | MetadataRecord::JobState { .. }
            | MetadataRecord::JobLayout { .. } => {}
        }
        if let MetadataRecord::Partitions { .. } = record {
            self.dataflow().partitions_added(self);
        }
    }

    /// Hosts the server's own logs: of metadata, and of commits.
    pub(super) async fn host_own(&self) {
        for (id, name) in [(METADATA_TOPIC, METADATA_TOPIC_NAME), (COMMIT_TOPIC, COMMIT_TOPIC_NAME)] {
            let topic = Topic { id, name: name.to_owned(), partitions: 1, configs: BTreeMap::new() };
            if let Err(error) = self.partitions().open(&topic, 0, self.options()).await {
                tracing::error!(topic = name, %error, "cannot open a log of the server's own");
            }
        }
    }

    /// Opens this shard's partition of a job's changelog, and those that other numbers of shards have left it.
    async fn open_changelog(&self, changelog: TopicId) {
        let own = own_partition(changelog, self.id(), self.count());
        let known = self.partitions().starts_of(changelog).into_iter().map(|(partition, _)| partition);
        for partition in known.chain([own]).collect::<BTreeSet<_>>() {
            if let Err(error) = self.partitions().open_changelog(changelog, partition).await {
                tracing::error!(%changelog, partition, %error, "cannot open a job's changelog");
            }
        }
    }

    /// Applies the records of a start at once: topics that came and went meanwhile are never opened.
    pub(super) async fn apply_loaded(&self, records: &[MetadataRecord]) {
        records.iter().for_each(|record| self.0.image.borrow_mut().apply(record));
        let topics: Vec<TopicId> = self.image().topics().map(|topic| topic.id).collect();
        for topic in topics {
            self.open_owned(topic).await;
        }
        let changelogs: Vec<TopicId> = self.image().jobs().map(|job| job.changelog).collect();
        for changelog in changelogs {
            self.open_changelog(changelog).await;
        }
    }

    /// Opens this shard's partitions of a topic that are not open yet, with the topic's present settings.
    async fn open_owned(&self, id: TopicId) {
        let Some(topic) = self.image().topic_by_id(id).cloned() else { return };
        for partition in (0..topic.partitions).filter(|partition| self.owner(id, *partition) == self.id()) {
            match self.partitions().open(&topic, partition, self.options()).await {
                Ok(true) if topic.name == OFFSETS_TOPIC => self.coordinator().open(self, id, partition),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(topic = topic.name, partition, %error, "cannot open a partition");
                }
            }
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context of shard {}", self.0.id)
    }
}
