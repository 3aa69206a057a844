//! Topics and offsets, for commands and tests.

use super::cluster::{Cluster, ClusterError, accepted};
use crate::kafka::{
    ApiKey,
    create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
    create_topics::{CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest},
    delete_topics::{DeleteTopicState, DeleteTopicsRequest},
    describe_configs::{
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, RESOURCE_TOPIC,
    },
    list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
    },
    metadata::{MetadataResponse, MetadataResponseTopic},
};
use millrace_runtime::Instant;
use std::time::Duration;

/// Administers a cluster.
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: Cluster,
    timeout: Duration,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Its number of partitions; `None` for the broker's default.
    pub partitions: Option<i32>,
    /// Its replicas per partition; `None` for the broker's default.
    pub replication_factor: Option<i16>,
    /// Its settings, under Kafka's names.
    pub configs: Vec<(String, String)>,
}

/// The way Kafka says "the broker's default".
const DEFAULT: i16 = -1;

impl Admin {
    /// Administers `cluster`. Each operation takes at most `timeout`.
    #[must_use]
    pub const fn new(cluster: Cluster, timeout: Duration) -> Self {
        Self { cluster, timeout }
    }

    /// The cluster.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`ClusterError`]. An attempt whose answer was lost may have succeeded: the next is TOPIC_ALREADY_EXISTS.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<CreatableTopicResult, ClusterError> {
        let configs = topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) });
        let creatable = CreatableTopic {
            name: topic.name.clone(),
            num_partitions: topic.partitions.unwrap_or(DEFAULT.into()),
            replication_factor: topic.replication_factor.unwrap_or(DEFAULT),
            configs: configs.collect(),
            ..Default::default()
        };
        let timeout_ms = self.timeout_ms();
        let request = CreateTopicsRequest { topics: vec![creatable], timeout_ms, validate_only: false };
        let response = self.cluster.call_any(self.deadline(), &request).await?;
        let created = response.topics.into_iter().find(|created| created.name == topic.name);
        let created = created.ok_or_else(|| missing(ApiKey::CreateTopics, &topic.name))?;
        accepted(ApiKey::CreateTopics, &topic.name, created.error_code, created.error_message.as_ref())?;
        self.cluster.forget(&topic.name);
        Ok(created)
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClusterError> {
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState { name: Some(name.to_owned()), ..Default::default() }],
            topic_names: vec![name.to_owned()],
            timeout_ms: self.timeout_ms(),
        };
        let response = self.cluster.call_any(self.deadline(), &request).await?;
        let deleted = response.responses.iter().find(|deleted| deleted.name.as_deref() == Some(name));
        let deleted = deleted.ok_or_else(|| missing(ApiKey::DeleteTopics, name))?;
        self.cluster.forget(name);
        accepted(ApiKey::DeleteTopics, name, deleted.error_code, deleted.error_message.as_ref())
    }

    /// Raises a topic's number of partitions to `count`.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn create_partitions(&self, name: &str, count: i32) -> Result<(), ClusterError> {
        let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments: None };
        let timeout_ms = self.timeout_ms();
        let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms, validate_only: false };
        let response = self.cluster.call_any(self.deadline(), &request).await?;
        let created = response.results.iter().find(|created| created.name == name);
        let created = created.ok_or_else(|| missing(ApiKey::CreatePartitions, name))?;
        self.cluster.forget(name);
        accepted(ApiKey::CreatePartitions, name, created.error_code, created.error_message.as_ref())
    }

    /// All topics and brokers.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn list_topics(&self) -> Result<MetadataResponse, ClusterError> {
        let cluster = &self.cluster;
        cluster.retry(self.deadline(), async || Ok(cluster.metadata(None, false).await?)).await
    }

    /// One topic, which is not created by being asked for.
    ///
    /// # Errors
    /// [`ClusterError`]; UNKNOWN_TOPIC_OR_PARTITION if it does not exist.
    pub async fn describe_topic(&self, name: &str) -> Result<MetadataResponseTopic, ClusterError> {
        let cluster = &self.cluster;
        let ask = async || Ok(cluster.metadata(Some(&[name]), false).await?);
        let response = cluster.retry(self.deadline(), ask).await?;
        let topic = response.topics.into_iter().find(|topic| topic.name.as_deref() == Some(name));
        let topic = topic.ok_or_else(|| missing(ApiKey::Metadata, name))?;
        accepted(ApiKey::Metadata, name, topic.error_code, None)?;
        Ok(topic)
    }

    /// A topic's settings.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn describe_topic_configs(
        &self,
        name: &str,
    ) -> Result<Vec<DescribeConfigsResourceResult>, ClusterError> {
        let resource = DescribeConfigsResource {
            resource_type: RESOURCE_TOPIC,
            resource_name: name.to_owned(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let response = self.cluster.call_any(self.deadline(), &request).await?;
        let result = response.results.into_iter().next();
        let result = result.ok_or_else(|| missing(ApiKey::DescribeConfigs, name))?;
        accepted(ApiKey::DescribeConfigs, name, result.error_code, result.error_message.as_ref())?;
        Ok(result.configs)
    }

    /// The offset for a timestamp, or one of a log's ends; see [`list_offsets`](crate::kafka::list_offsets).
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn list_offset(
        &self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> Result<ListOffsetsPartitionResponse, ClusterError> {
        let ask = || self.ask_offset(topic, partition, timestamp);
        self.cluster.retry(self.deadline(), async || ask().await).await
    }

    async fn ask_offset(
        &self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> Result<ListOffsetsPartitionResponse, ClusterError> {
        let (_, leader) = self.cluster.leader(topic, partition).await?;
        let partitions = vec![ListOffsetsPartition {
            partition_index: partition,
            current_leader_epoch: leader.epoch,
            timestamp,
        }];
        let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions }];
        let request = ListOffsetsRequest { topics, timeout_ms: self.timeout_ms(), ..Default::default() };
        let answer = async {
            let response = self.cluster.broker(leader.node_id).await?.call(&request).await?;
            let mut partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
            let what = || format!("{topic}-{partition}");
            let answer = partitions.find(|answer| answer.partition_index == partition);
            let answer = answer.ok_or_else(|| missing(ApiKey::ListOffsets, &what()))?;
            accepted(ApiKey::ListOffsets, what(), answer.error_code, None)?;
            Ok(answer)
        };
        answer.await.inspect_err(|_| self.cluster.forget(topic))
    }
}

fn missing(api: ApiKey, what: &str) -> ClusterError {
    ClusterError::Missing { api, what: what.to_owned() }
}
