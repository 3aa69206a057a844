//! The state that the metadata log leads to.

use super::{Job, MetadataRecord};
use millrace_record::TopicId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id, never given twice.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions it has, numbered from 0.
    pub partitions: i32,
    /// The settings that differ from the server's, under Kafka's names.
    pub configs: BTreeMap<String, String>,
}

/// All topics, and what else the metadata log tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    topics: BTreeMap<TopicId, Topic>,
    by_name: BTreeMap<String, TopicId>,
    next_producer_id: i64,
    jobs: BTreeMap<u64, Job>,
    cluster_id: Option<Uuid>,
}

impl Image {
    /// Applies one record. Records that speak of an unknown topic change nothing: it was removed.
    pub fn apply(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::Topic { id, name, partitions, configs } => {
                let topic =
                    Topic { id: *id, name: name.clone(), partitions: *partitions, configs: configs.clone() };
                self.by_name.insert(name.clone(), *id);
                self.topics.insert(*id, topic);
            }
            MetadataRecord::Partitions { id, partitions } => {
                if let Some(topic) = self.topics.get_mut(id) {
                    topic.partitions = *partitions;
                }
            }
            MetadataRecord::Config { id, name, value } => {
                let Some(topic) = self.topics.get_mut(id) else { return };
                match value {
                    Some(value) => topic.configs.insert(name.clone(), value.clone()),
                    None => topic.configs.remove(name),
                };
            }
            MetadataRecord::RemoveTopic { id } => {
                if let Some(topic) = self.topics.remove(id)
                    && self.by_name.get(&topic.name) == Some(id)
                {
                    self.by_name.remove(&topic.name);
                }
            }
            MetadataRecord::Job(job) => drop(self.jobs.insert(job.id, job.clone())),
            MetadataRecord::JobState { id, state } => {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.state = state.clone();
                }
            }
            MetadataRecord::JobLayout { id, layout } => {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.layout = Some(layout.clone());
                }
            }
            MetadataRecord::Cluster { id } => self.cluster_id = Some(*id),
            MetadataRecord::ProducerIds { next } => self.next_producer_id = self.next_producer_id.max(*next),
        }
    }

    /// The topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name).and_then(|id| self.topics.get(id))
    }

    /// The topic of this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id)
    }

    /// All topics, in order of name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values().filter_map(|id| self.topics.get(id))
    }

    /// All jobs, in order of number.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// The job of this number.
    #[must_use]
    pub fn job(&self, id: u64) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// The number of the next job.
    #[must_use]
    pub fn next_job_id(&self) -> u64 {
        self.jobs.last_key_value().map_or(1, |(last, _)| last + 1)
    }

    /// The cluster's id, as Kafka prints ids; empty before its first record.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        self.cluster_id.map(|id| TopicId(id).to_string()).unwrap_or_default()
    }

    /// The first producer id that was not given out.
    #[must_use]
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }
}
