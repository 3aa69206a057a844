//! Produce: appends records to partitions.

use crate::{
    kafka::ErrorCode,
    wire::{RecordSet, SharedStr},
};
use uuid::Uuid;

/// acks: answer when every replica in sync has the records.
pub const ACKS_ALL: i16 = -1;
/// acks: do not answer at all.
pub const ACKS_NONE: i16 = 0;
/// acks: answer when the leader has the records.
pub const ACKS_LEADER: i16 = 1;

message! {
    /// Appends record sets to partitions. Versions 0-2 carry message sets of magic 0 and 1, later ones batches of
    /// magic 2. With [`ACKS_NONE`] there is no response.
    pub struct ProduceRequest {
        /// The transaction's id, null outside of one.
        [3..] transactional_id: Option<SharedStr>,
        /// One of [`ACKS_ALL`], [`ACKS_NONE`], [`ACKS_LEADER`].
        [0..] acks: i16,
        /// How long the broker may wait for the replicas, in milliseconds.
        [0..] timeout_ms: i32,
        /// The topics.
        [0..] topic_data: Vec<TopicProduceData>,
    }

    /// A topic's part of a [`ProduceRequest`].
    pub struct TopicProduceData {
        /// The topic's name, up to version 12.
        [0..=12] name: SharedStr,
        /// The topic's id, from version 13 on.
        [13..] topic_id: Uuid,
        /// The partitions.
        [0..] partition_data: Vec<PartitionProduceData>,
    }

    /// A partition's part of a [`ProduceRequest`].
    pub struct PartitionProduceData {
        /// The partition's number.
        [0..] index: i32,
        /// The records. Null is allowed by the schema; Kafka answers it with an error.
        [0..] records: Option<RecordSet>,
    }

    /// Tells where records went.
    pub struct ProduceResponse {
        /// The topics, in the request's order.
        [0..] responses: Vec<TopicProduceResponse>,
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// Where the leaders named in the partitions are.
        [10.., tag 0] node_endpoints: Vec<NodeEndpoint>,
    }

    /// A topic's part of a [`ProduceResponse`].
    pub struct TopicProduceResponse {
        /// The topic's name, up to version 12.
        [0..=12] name: SharedStr,
        /// The topic's id, from version 13 on.
        [13..] topic_id: Uuid,
        /// The partitions, in the request's order.
        [0..] partition_responses: Vec<PartitionProduceResponse>,
    }

    /// A partition's part of a [`ProduceResponse`].
    pub struct PartitionProduceResponse {
        /// The partition's number.
        [0..] index: i32,
        /// Success, or why nothing was appended.
        [0..] error_code: ErrorCode,
        /// The offset of the first record, -1 with an error.
        [0..] base_offset: i64,
        /// The append's time in milliseconds since the Unix epoch, if the topic's timestamps are that; else -1.
        [2..] log_append_time_ms: i64 = -1,
        /// The log's first offset.
        [5..] log_start_offset: i64 = -1,
        /// The records for which the whole batch was refused.
        [8..] record_errors: Vec<BatchIndexAndErrorMessage>,
        /// Why the batch was refused, in words.
        [8..] error_message: Option<String>,
        /// The partition's leader, with NOT_LEADER_OR_FOLLOWER.
        [10.., tag 0] current_leader: LeaderIdAndEpoch,
    }

    /// A record for which a batch was refused.
    pub struct BatchIndexAndErrorMessage {
        /// The record's place in the batch, from 0.
        [8..] batch_index: i32,
        /// What was wrong with it.
        [8..] batch_index_error_message: Option<String>,
    }

    /// Who leads a partition.
    pub struct LeaderIdAndEpoch {
        /// The leader's broker id, -1 if it is unknown.
        [0..] leader_id: i32 = -1,
        /// The latest known leader epoch.
        [0..] leader_epoch: i32 = -1,
    }

    /// Where a broker is.
    pub struct NodeEndpoint {
        /// Its id.
        [0..] node_id: i32,
        /// Its host name or address.
        [0..] host: String,
        /// Its port.
        [0..] port: i32,
        /// Its rack.
        [0..] rack: Option<String>,
    }
}
