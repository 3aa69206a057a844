//! Changing the cluster's metadata: one shard writes its log, all apply it before the change is answered.

use super::Context;
use crate::{
    cluster::{
        ConfigBase, ConfigChange, CreateTopic, Defaults, Image, METADATA_TOPIC, MetadataRecord, Topic,
        TopicError, alter_topic, create_partitions, create_topic, delete_topic,
    },
    coordinator::OFFSETS_TOPIC,
};
use bytes::Bytes;
use millrace_record::TopicId;
use millrace_runtime::{Queue, ShardId, random_bytes, spawn_into};
use std::{cell::RefCell, ops::Range};
use uuid::Builder;

/// The shard that writes the metadata log.
const CONTROLLER: ShardId = ShardId(0);

/// Producer ids that a shard takes at a time: the log sees one record for as many.
const PRODUCER_ID_BLOCK: i64 = 1000;

impl Context {
    /// Makes a topic, and returns it when all shards know it.
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn create_topic(&self, request: CreateTopic) -> Result<Topic, TopicError> {
        let defaults = self.defaults();
        let name = request.name.clone();
        self.change(move |image| create_topic(image, &request, new_topic_id(), defaults)).await?;
        // Applied here too before the change was answered.
        self.image().topic(&name).cloned().ok_or(TopicError::Unknown)
    }

    /// The topic that [`Context::create_topic`] would make.
    ///
    /// # Errors
    /// [`TopicError`].
    pub fn validate_topic(&self, request: &CreateTopic) -> Result<Topic, TopicError> {
        let mut image = self.image().clone();
        let record = create_topic(&image, request, new_topic_id(), self.defaults())?;
        image.apply(&record);
        image.topic(&request.name).cloned().ok_or(TopicError::Unknown)
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn create_partitions(
        &self,
        name: String,
        count: i32,
        assignments: Option<Vec<Vec<i32>>>,
        validate_only: bool,
    ) -> Result<(), TopicError> {
        let defaults = self.defaults();
        let grow =
            move |image: &Image| create_partitions(image, &name, count, assignments.as_deref(), defaults);
        if validate_only {
            return grow(&self.image()).map(drop);
        }
        self.change(grow).await.map(drop)
    }

    /// Changes a topic's settings, or only tries to.
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn alter_topic(
        &self,
        name: String,
        base: ConfigBase,
        changes: Vec<(String, ConfigChange)>,
        validate_only: bool,
    ) -> Result<(), TopicError> {
        let options = self.options().clone();
        let alter = move |image: &Image| {
            alter_topic(image, &name, base, &changes, |setting| options.topic_default(setting))
        };
        if validate_only {
            return alter(&self.image()).map(drop);
        }
        self.change(alter).await.map(drop)
    }

    /// Removes a topic with its records.
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn delete_topic(&self, id: TopicId) -> Result<(), TopicError> {
        self.change(move |image| delete_topic(image, id)).await.map(drop)
    }

    /// Makes the topic that holds consumer groups, unless it is there.
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn make_offsets_topic(&self) -> Result<(), TopicError> {
        let configs =
            [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")];
        let request = CreateTopic {
            name: OFFSETS_TOPIC.to_owned(),
            partitions: self.options().config.group.offsets_partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: configs.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).to_vec(),
        };
        match self.create_topic(request).await {
            Ok(_) | Err(TopicError::Exists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A producer id that nobody had before.
    ///
    /// # Errors
    /// [`TopicError`].
    pub async fn next_producer_id(&self) -> Result<i64, TopicError> {
        loop {
            if let Some(id) = self.producer_ids().take() {
                return Ok(id);
            }
            let take = |image: &Image| {
                Ok(MetadataRecord::ProducerIds { next: image.next_producer_id() + PRODUCER_ID_BLOCK })
            };
            if let MetadataRecord::ProducerIds { next } = self.change(take).await? {
                self.producer_ids().put(next - PRODUCER_ID_BLOCK..next);
            }
        }
    }

    /// Writes a record that needs no check.
    ///
    /// # Errors
    /// [`TopicError::NotWritten`].
    pub(crate) async fn record(&self, record: MetadataRecord) -> Result<(), TopicError> {
        self.change(move |_| Ok(record)).await.map(drop)
    }

    fn defaults(&self) -> Defaults {
        let topic = &self.options().config.topic;
        Defaults {
            partitions: topic.partitions,
            node: self.options().node_id,
            clamp_replication_factor: topic.clamp_replication_factor,
        }
    }

    /// Has the controller check a change, write its record and make it known.
    pub(crate) async fn change<C>(&self, check: C) -> Result<MetadataRecord, TopicError>
    where
        C: FnOnce(&Image) -> Result<MetadataRecord, TopicError> + Send + 'static,
    {
        self.on(CONTROLLER, move |controller| async move {
            // Whoever asked may go away at any moment; a change that is begun is finished all the same, or shards would
            // differ in what they know.
            let changing = spawn_into(Queue::Control, async move { controller.write(check).await });
            changing.await.unwrap_or_else(|| Err(TopicError::NotWritten("the server is stopping".to_owned())))
        })
        .await
    }

    /// One change after the other: each is checked against an image that holds all before it.
    async fn write<C>(&self, check: C) -> Result<MetadataRecord, TopicError>
    where
        C: FnOnce(&Image) -> Result<MetadataRecord, TopicError>,
    {
        let _turn = self.writing().lock().await;
        let record = check(&self.image())?;
        let value = Bytes::from(record.encode());
        let appended = self.partitions().append_records(METADATA_TOPIC, 0, &[(Bytes::new(), Some(value))]);
        appended.await.map_err(|error| TopicError::NotWritten(error.to_string()))?;
        for shard in 0..self.count() {
            let record = record.clone();
            self.on(ShardId(shard), |there| async move { there.apply(&record).await }).await;
        }
        Ok(record)
    }
}

fn new_topic_id() -> TopicId {
    TopicId(Builder::from_random_bytes(random_bytes()).into_uuid())
}

/// The producer ids that a shard holds in store.
#[derive(Debug, Default)]
pub(super) struct ProducerIds(RefCell<Range<i64>>);

impl ProducerIds {
    fn take(&self) -> Option<i64> {
        self.0.borrow_mut().next()
    }

    fn put(&self, range: Range<i64>) {
        self.0.replace(range);
    }
}
