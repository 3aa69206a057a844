//! What the cluster consists of: topics, their partitions and settings.
//!
//! The truth is a log of [`MetadataRecord`]s, written by one shard; every shard applies it to an [`Image`] of its own, in
//! order, so that all see the same history. A topic's record is durable before its first append, and its removal before
//! the delete is answered.

mod alter;
mod change;
mod image;
mod job;
mod name;
mod ownership;
mod record;
mod topic_config;

pub use alter::{ConfigBase, ConfigChange, alter_topic};
pub use change::{CreateTopic, Defaults, TopicError, create_partitions, create_topic, delete_topic};
pub use image::{Image, Topic};
pub use job::{Job, JobState};
pub use name::{NAME_LEN_MAX, is_internal, validate_name};
pub use ownership::{
    COMMIT_TOPIC, COMMIT_TOPIC_NAME, METADATA_TOPIC, METADATA_TOPIC_NAME, own_partition, owner,
};
pub use record::{MetadataRecord, RecordError};
pub use topic_config::{ConfigKind, TOPIC_CONFIGS, TopicConfig, topic_config};
