//! CreateTopics: makes topics.

use crate::kafka::ErrorCode;
use uuid::Uuid;

message! {
    /// Creates topics.
    pub struct CreateTopicsRequest {
        /// The topics.
        [0..] topics: Vec<CreatableTopic>,
        /// How long the broker may take, in milliseconds.
        [0..] timeout_ms: i32 = 60_000,
        /// Whether only to check.
        [1..] validate_only: bool,
    }

    /// A topic to create.
    pub struct CreatableTopic {
        /// Its name.
        [0..] name: String,
        /// Its number of partitions, -1 for the broker's default or with an assignment.
        [0..] num_partitions: i32,
        /// Its replicas per partition, -1 for the broker's default or with an assignment.
        [0..] replication_factor: i16,
        /// Which broker gets what, or nothing.
        [0..] assignments: Vec<CreatableReplicaAssignment>,
        /// Its settings.
        [0..] configs: Vec<CreatableTopicConfig>,
    }

    /// Who gets a partition.
    pub struct CreatableReplicaAssignment {
        /// The partition's number.
        [0..] partition_index: i32,
        /// The brokers, the preferred leader first.
        [0..] broker_ids: Vec<i32>,
    }

    /// A topic's setting.
    pub struct CreatableTopicConfig {
        /// Its name.
        [0..] name: String,
        /// Its value.
        [0..] value: Option<String>,
    }

    /// Tells what was created.
    pub struct CreateTopicsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [2..] throttle_time_ms: i32,
        /// The topics.
        [0..] topics: Vec<CreatableTopicResult>,
    }

    /// A topic that was to be created.
    pub struct CreatableTopicResult {
        /// Its name.
        [0..] name: String,
        /// Its id.
        [7..] topic_id: Uuid,
        /// Success, or why it was not created.
        [0..] error_code: ErrorCode,
        /// The error in words.
        [1..] error_message: Option<String>,
        /// Why `configs` is missing.
        [5.., tag 0] topic_config_error_code: ErrorCode,
        /// Its number of partitions.
        [5..] num_partitions: i32 = -1,
        /// Its replicas per partition.
        [5..] replication_factor: i16 = -1,
        /// All its settings.
        [5..] configs: Option<Vec<CreatableTopicConfigs>>,
    }

    /// A setting of a created topic.
    pub struct CreatableTopicConfigs {
        /// Its name.
        [5..] name: String,
        /// Its value.
        [5..] value: Option<String>,
        /// Whether it cannot be changed.
        [5..] read_only: bool,
        /// Where it comes from; see [`describe_configs`](crate::kafka::describe_configs).
        [5..] config_source: i8 = -1,
        /// Whether its value is a secret.
        [5..] is_sensitive: bool,
    }
}
