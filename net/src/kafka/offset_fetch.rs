//! OffsetFetch: reads how far a group has read.

use crate::kafka::ErrorCode;
use uuid::Uuid;

message! {
    /// Asks for a group's offsets; from version 8 on for those of several groups.
    pub struct OffsetFetchRequest {
        /// The group, up to version 7.
        [0..=7] group_id: String,
        /// The topics, up to version 7; null means all.
        [0..=7, nullable 2..] topics: Option<Vec<OffsetFetchRequestTopic>> = Some(Vec::new()),
        /// The groups, from version 8 on.
        [8..] groups: Vec<OffsetFetchRequestGroup>,
        /// Whether offsets of open transactions make the broker answer with an error that asks for patience.
        [7..] require_stable: bool,
    }

    /// A topic's part of an [`OffsetFetchRequest`].
    pub struct OffsetFetchRequestTopic {
        /// The topic's name, up to version 9.
        [0..=9] name: String,
        /// The topic's id, from version 10 on.
        [10..] topic_id: Uuid,
        /// The partitions' numbers.
        [0..] partition_indexes: Vec<i32>,
    }

    /// A group's part of an [`OffsetFetchRequest`].
    pub struct OffsetFetchRequestGroup {
        /// The group.
        [8..] group_id: String,
        /// The member, for groups of the newer protocol.
        [9..] member_id: Option<String>,
        /// The member's epoch, for groups of the newer protocol.
        [9..] member_epoch: i32 = -1,
        /// The topics; null means all.
        [8..] topics: Option<Vec<OffsetFetchRequestTopic>>,
    }

    /// Tells offsets.
    pub struct OffsetFetchResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [3..] throttle_time_ms: i32,
        /// The topics, up to version 7.
        [0..=7] topics: Vec<OffsetFetchResponseTopic>,
        /// An error of the group as a whole, up to version 7.
        [2..=7] error_code: ErrorCode,
        /// The groups, from version 8 on.
        [8..] groups: Vec<OffsetFetchResponseGroup>,
    }

    /// A group's part of an [`OffsetFetchResponse`].
    pub struct OffsetFetchResponseGroup {
        /// The group.
        [8..] group_id: String,
        /// The topics.
        [8..] topics: Vec<OffsetFetchResponseTopic>,
        /// An error of the group as a whole.
        [8..] error_code: ErrorCode,
    }

    /// A topic's part of an [`OffsetFetchResponse`].
    pub struct OffsetFetchResponseTopic {
        /// The topic's name, up to version 9.
        [0..=9] name: String,
        /// The topic's id, from version 10 on.
        [10..] topic_id: Uuid,
        /// The partitions.
        [0..] partitions: Vec<OffsetFetchResponsePartition>,
    }

    /// A partition's part of an [`OffsetFetchResponse`].
    pub struct OffsetFetchResponsePartition {
        /// The partition's number.
        [0..] partition_index: i32,
        /// The offset of the next record to read, -1 if none was stored.
        [0..] committed_offset: i64,
        /// The leader epoch that was stored with it, -1 if none.
        [5..] committed_leader_epoch: i32 = -1,
        /// What the client stored with it.
        [0..] metadata: Option<String>,
        /// Success, or why there is no answer.
        [0..] error_code: ErrorCode,
    }
}
