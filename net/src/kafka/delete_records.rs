//! DeleteRecords: raises the start of logs.

use crate::kafka::ErrorCode;

/// Offset that stands for the high watermark.
pub const HIGH_WATERMARK: i64 = -1;

message! {
    /// Deletes the records before an offset.
    pub struct DeleteRecordsRequest {
        /// The topics.
        [0..] topics: Vec<DeleteRecordsTopic>,
        /// How long the broker may take, in milliseconds.
        [0..] timeout_ms: i32,
    }

    /// A topic's part of a [`DeleteRecordsRequest`].
    pub struct DeleteRecordsTopic {
        /// The topic's name.
        [0..] name: String,
        /// The partitions.
        [0..] partitions: Vec<DeleteRecordsPartition>,
    }

    /// A partition's part of a [`DeleteRecordsRequest`].
    pub struct DeleteRecordsPartition {
        /// The partition's number.
        [0..] partition_index: i32,
        /// The first offset to keep, or [`HIGH_WATERMARK`].
        [0..] offset: i64,
    }

    /// Tells where logs start now.
    pub struct DeleteRecordsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// The topics.
        [0..] topics: Vec<DeleteRecordsTopicResult>,
    }

    /// A topic's part of a [`DeleteRecordsResponse`].
    pub struct DeleteRecordsTopicResult {
        /// The topic's name.
        [0..] name: String,
        /// The partitions.
        [0..] partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// A partition's part of a [`DeleteRecordsResponse`].
    pub struct DeleteRecordsPartitionResult {
        /// The partition's number.
        [0..] partition_index: i32,
        /// The log's first offset.
        [0..] low_watermark: i64,
        /// Success, or why nothing was deleted.
        [0..] error_code: ErrorCode,
    }
}
