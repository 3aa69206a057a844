//! ListOffsets: finds offsets by timestamp.

use crate::kafka::ErrorCode;

/// Timestamp that stands for the offset behind the last visible record: the high watermark, or the last stable offset
/// for readers of committed records.
pub const LATEST_TIMESTAMP: i64 = -1;
/// Timestamp that stands for the log's first offset.
pub const EARLIEST_TIMESTAMP: i64 = -2;
/// Timestamp that stands for the record of the highest timestamp, from version 7 on.
pub const MAX_TIMESTAMP: i64 = -3;
/// Timestamp that stands for the first offset on the leader's own disk, from version 8 on.
pub const EARLIEST_LOCAL_TIMESTAMP: i64 = -4;
/// Timestamp that stands for the last offset in tiered storage, from version 9 on.
pub const LATEST_TIERED_TIMESTAMP: i64 = -5;
/// Timestamp that stands for the first offset still to go to tiered storage, from version 11 on.
pub const EARLIEST_PENDING_UPLOAD_TIMESTAMP: i64 = -6;

message! {
    /// Asks for the first offset whose record is not older than a timestamp, or for one of the log's ends.
    pub struct ListOffsetsRequest {
        /// The follower's broker id, -1 for a consumer.
        [0..] replica_id: i32 = -1,
        /// [`READ_UNCOMMITTED`](crate::kafka::fetch::READ_UNCOMMITTED) or
        /// [`READ_COMMITTED`](crate::kafka::fetch::READ_COMMITTED).
        [2..] isolation_level: i8,
        /// The topics.
        [0..] topics: Vec<ListOffsetsTopic>,
        /// How long the broker may look in tiered storage, in milliseconds.
        [10..] timeout_ms: i32,
    }

    /// A topic's part of a [`ListOffsetsRequest`].
    pub struct ListOffsetsTopic {
        /// The topic's name.
        [0..] name: String,
        /// The partitions.
        [0..] partitions: Vec<ListOffsetsPartition>,
    }

    /// A partition's part of a [`ListOffsetsRequest`].
    pub struct ListOffsetsPartition {
        /// The partition's number.
        [0..] partition_index: i32,
        /// The leader epoch that the client knows, -1 if none: for fencing.
        [4..] current_leader_epoch: i32 = -1,
        /// Milliseconds since the Unix epoch, or one of this module's negative values.
        [0..] timestamp: i64,
    }

    /// Tells offsets.
    pub struct ListOffsetsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [2..] throttle_time_ms: i32,
        /// The topics.
        [0..] topics: Vec<ListOffsetsTopicResponse>,
    }

    /// A topic's part of a [`ListOffsetsResponse`].
    pub struct ListOffsetsTopicResponse {
        /// The topic's name.
        [0..] name: String,
        /// The partitions.
        [0..] partitions: Vec<ListOffsetsPartitionResponse>,
    }

    /// A partition's part of a [`ListOffsetsResponse`].
    pub struct ListOffsetsPartitionResponse {
        /// The partition's number.
        [0..] partition_index: i32,
        /// Success, or why there is no answer.
        [0..] error_code: ErrorCode,
        /// The record's timestamp, -1 for a log's end or if no record is as young as that.
        [1..] timestamp: i64 = -1,
        /// The offset, -1 if no record is as young as that.
        [1..] offset: i64 = -1,
        /// The leader epoch of the record at the offset.
        [4..] leader_epoch: i32 = -1,
    }
}
