//! OffsetCommit: stores how far a group has read.

use crate::kafka::ErrorCode;
use uuid::Uuid;

message! {
    /// Stores a group's offsets.
    pub struct OffsetCommitRequest {
        /// The group.
        [0..] group_id: String,
        /// The group's generation, or the member's epoch; -1 for a commit from outside of the group.
        [1..] generation_id_or_member_epoch: i32 = -1,
        /// The member, empty for a commit from outside of the group.
        [1..] member_id: String,
        /// The static member's instance.
        [7..] group_instance_id: Option<String>,
        /// How long to keep the offsets, in milliseconds, -1 for the broker's setting.
        [2..=4] retention_time_ms: i64 = -1,
        /// The topics.
        [0..] topics: Vec<OffsetCommitRequestTopic>,
    }

    /// A topic's part of an [`OffsetCommitRequest`].
    pub struct OffsetCommitRequestTopic {
        /// The topic's name, up to version 9.
        [0..=9] name: String,
        /// The topic's id, from version 10 on.
        [10..] topic_id: Uuid,
        /// The partitions.
        [0..] partitions: Vec<OffsetCommitRequestPartition>,
    }

    /// A partition's part of an [`OffsetCommitRequest`].
    pub struct OffsetCommitRequestPartition {
        /// The partition's number.
        [0..] partition_index: i32,
        /// The offset of the next record to read.
        [0..] committed_offset: i64,
        /// The leader epoch of the last record read, -1 if unknown.
        [6..] committed_leader_epoch: i32 = -1,
        /// Whatever the client wants to get back with the offset. Null and empty are the same to Kafka.
        [0..] committed_metadata: Option<String>,
    }

    /// Tells what was stored.
    pub struct OffsetCommitResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [3..] throttle_time_ms: i32,
        /// The topics.
        [0..] topics: Vec<OffsetCommitResponseTopic>,
    }

    /// A topic's part of an [`OffsetCommitResponse`].
    pub struct OffsetCommitResponseTopic {
        /// The topic's name, up to version 9.
        [0..=9] name: String,
        /// The topic's id, from version 10 on.
        [10..] topic_id: Uuid,
        /// The partitions.
        [0..] partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// A partition's part of an [`OffsetCommitResponse`].
    pub struct OffsetCommitResponsePartition {
        /// The partition's number.
        [0..] partition_index: i32,
        /// Success, or why the offset was not stored.
        [0..] error_code: ErrorCode,
    }
}
