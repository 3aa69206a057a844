//! OffsetDelete: drops what a group committed for some partitions.

use crate::kafka::ErrorCode;

message! {
    /// Drops committed offsets.
    pub struct OffsetDeleteRequest {
        /// The group.
        [0..] group_id: String,
        /// The topics.
        [0..] topics: Vec<OffsetDeleteRequestTopic>,
    }

    /// A topic and the partitions of it whose offsets go.
    pub struct OffsetDeleteRequestTopic {
        /// Its name.
        [0..] name: String,
        /// The partitions.
        [0..] partitions: Vec<OffsetDeleteRequestPartition>,
    }

    /// A partition.
    pub struct OffsetDeleteRequestPartition {
        /// Its number.
        [0..] partition_index: i32,
    }

    /// Tells what was dropped.
    pub struct OffsetDeleteResponse {
        /// Success, or why nothing was dropped.
        [0..] error_code: ErrorCode,
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// The topics; none if nothing was dropped.
        [0..] topics: Vec<OffsetDeleteResponseTopic>,
    }

    /// A topic of the answer.
    pub struct OffsetDeleteResponseTopic {
        /// Its name.
        [0..] name: String,
        /// The partitions.
        [0..] partitions: Vec<OffsetDeleteResponsePartition>,
    }

    /// A partition of the answer.
    pub struct OffsetDeleteResponsePartition {
        /// Its number.
        [0..] partition_index: i32,
        /// Success, or why its offset stays.
        [0..] error_code: ErrorCode,
    }
}
