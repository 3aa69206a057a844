//! OffsetForLeaderEpoch: where a leader's epoch ended, so that clients find out about truncation.

use crate::kafka::ErrorCode;

/// The replica id of somebody who may look beyond the high watermark.
pub const DEBUGGING_REPLICA_ID: i32 = -2;

message! {
    /// Asks where epochs ended.
    pub struct OffsetForLeaderEpochRequest {
        /// The follower's broker id, -1 for a consumer.
        [3..] replica_id: i32 = DEBUGGING_REPLICA_ID,
        /// The topics.
        [0..] topics: Vec<OffsetForLeaderTopic>,
    }

    /// A topic's part of an [`OffsetForLeaderEpochRequest`].
    pub struct OffsetForLeaderTopic {
        /// The topic's name.
        [0..] topic: String,
        /// The partitions.
        [0..] partitions: Vec<OffsetForLeaderPartition>,
    }

    /// A partition's part of an [`OffsetForLeaderEpochRequest`].
    pub struct OffsetForLeaderPartition {
        /// The partition's number.
        [0..] partition: i32,
        /// The leader epoch that the client knows, -1 if none: for fencing.
        [2..] current_leader_epoch: i32 = -1,
        /// The epoch to look up.
        [0..] leader_epoch: i32,
    }

    /// Tells where epochs ended.
    pub struct OffsetForLeaderEpochResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [2..] throttle_time_ms: i32,
        /// The topics.
        [0..] topics: Vec<OffsetForLeaderTopicResult>,
    }

    /// A topic's part of an [`OffsetForLeaderEpochResponse`].
    pub struct OffsetForLeaderTopicResult {
        /// The topic's name.
        [0..] topic: String,
        /// The partitions.
        [0..] partitions: Vec<EpochEndOffset>,
    }

    /// A partition's part of an [`OffsetForLeaderEpochResponse`].
    pub struct EpochEndOffset {
        /// Success, or why there is no answer.
        [0..] error_code: ErrorCode,
        /// The partition's number.
        [0..] partition: i32,
        /// The largest epoch that is not above the one asked for, -1 if there is none.
        [1..] leader_epoch: i32 = -1,
        /// The offset behind that epoch's last record, -1 if there is none.
        [0..] end_offset: i64 = -1,
    }
}
