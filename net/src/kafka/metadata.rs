//! Metadata: brokers, topics, partitions and who leads them.

use crate::kafka::ErrorCode;
use uuid::Uuid;

/// What the fields of authorized operations hold when they were not asked for.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

message! {
    /// Asks for topics.
    pub struct MetadataRequest {
        /// The topics; null means all. In version 0, which has no null, an empty list means all; in later versions it
        /// means none. [`MetadataRequest::wants_all_topics`] knows.
        [0.., nullable 1..] topics: Option<Vec<MetadataRequestTopic>>,
        /// Whether topics that do not exist may be created.
        [4..] allow_auto_topic_creation: bool = true,
        /// Whether to tell what the client may do to the cluster.
        [8..=10] include_cluster_authorized_operations: bool,
        /// Whether to tell what the client may do to the topics.
        [8..] include_topic_authorized_operations: bool,
    }

    /// A topic's part of a [`MetadataRequest`].
    pub struct MetadataRequestTopic {
        /// The topic's id, nil if the topic is meant by name. Kafka looks at it from version 12 on.
        [10..] topic_id: Uuid,
        /// The topic's name, null if it is meant by id.
        [0.., nullable 10..] name: Option<String>,
    }

    /// Tells brokers and topics.
    pub struct MetadataResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [3..] throttle_time_ms: i32,
        /// The brokers that clients may reach.
        [0..] brokers: Vec<MetadataResponseBroker>,
        /// The cluster's id.
        [2..] cluster_id: Option<String>,
        /// The broker id of the controller, -1 if there is none.
        [1..] controller_id: i32 = -1,
        /// The topics.
        [0..] topics: Vec<MetadataResponseTopic>,
        /// What the client may do to the cluster, as bits.
        [8..=10] cluster_authorized_operations: i32 = OPERATIONS_NOT_ASKED,
        /// An error of the request as a whole.
        [13..] error_code: ErrorCode,
    }

    /// A broker in a [`MetadataResponse`].
    pub struct MetadataResponseBroker {
        /// Its id.
        [0..] node_id: i32,
        /// Its host name or address.
        [0..] host: String,
        /// Its port.
        [0..] port: i32,
        /// Its rack.
        [1..] rack: Option<String>,
    }

    /// A topic in a [`MetadataResponse`].
    pub struct MetadataResponseTopic {
        /// Success, or why nothing can be said.
        [0..] error_code: ErrorCode,
        /// The topic's name; null if it was asked for by an id that does not exist.
        [0.., nullable 12..] name: Option<String>,
        /// The topic's id, nil if it does not exist.
        [10..] topic_id: Uuid,
        /// Whether it is one of the broker's own.
        [1..] is_internal: bool,
        /// The partitions.
        [0..] partitions: Vec<MetadataResponsePartition>,
        /// What the client may do to the topic, as bits.
        [8..] topic_authorized_operations: i32 = OPERATIONS_NOT_ASKED,
    }

    /// A partition in a [`MetadataResponse`].
    pub struct MetadataResponsePartition {
        /// Success, or why it cannot be used.
        [0..] error_code: ErrorCode,
        /// The partition's number.
        [0..] partition_index: i32,
        /// The broker id of the leader, -1 if there is none.
        [0..] leader_id: i32,
        /// The leader's epoch.
        [7..] leader_epoch: i32 = -1,
        /// The brokers with a replica.
        [0..] replica_nodes: Vec<i32>,
        /// The brokers whose replica is in sync.
        [0..] isr_nodes: Vec<i32>,
        /// The brokers whose replica is offline.
        [5..] offline_replicas: Vec<i32>,
    }
}

impl MetadataRequest {
    /// Whether the request, sent at `version`, asks for every topic.
    #[must_use]
    pub fn wants_all_topics(&self, version: i16) -> bool {
        self.topics.as_ref().is_none_or(|topics| version == 0 && topics.is_empty())
    }
}
