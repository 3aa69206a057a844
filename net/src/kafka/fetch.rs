//! Fetch: reads records from partitions.

use crate::{
    kafka::{
        ErrorCode,
        produce::{LeaderIdAndEpoch, NodeEndpoint},
    },
    wire::{RecordSet, SharedStr},
};
use uuid::Uuid;

/// Isolation level: every record up to the high watermark.
pub const READ_UNCOMMITTED: i8 = 0;
/// Isolation level: records up to the last stable offset, with the aborted transactions named.
pub const READ_COMMITTED: i8 = 1;

/// The session id of a fetch outside of any session.
pub const NO_SESSION_ID: i32 = 0;
/// The session epoch of a full fetch that opens a session.
pub const INITIAL_SESSION_EPOCH: i32 = 0;
/// The session epoch of a full fetch that wants no session, and closes the one it names.
pub const FINAL_SESSION_EPOCH: i32 = -1;

message! {
    /// Reads records, waiting up to `max_wait_ms` for `min_bytes` of them.
    pub struct FetchRequest {
        /// The cluster's id, if known.
        [12.., tag 0] cluster_id: Option<SharedStr>,
        /// The follower's broker id, -1 for a consumer.
        [0..=14] replica_id: i32 = -1,
        /// The follower, if it is one.
        [15.., tag 1] replica_state: ReplicaState,
        /// How long to wait for `min_bytes`, in milliseconds.
        [0..] max_wait_ms: i32,
        /// Bytes of records to wait for.
        [0..] min_bytes: i32,
        /// Bytes of records that the response may hold; the first batch may exceed it.
        [3..] max_bytes: i32 = i32::MAX,
        /// [`READ_UNCOMMITTED`] or [`READ_COMMITTED`].
        [4..] isolation_level: i8,
        /// The fetch session, [`NO_SESSION_ID`] if there is none.
        [7..] session_id: i32,
        /// The session's epoch; see [`INITIAL_SESSION_EPOCH`] and [`FINAL_SESSION_EPOCH`].
        [7..] session_epoch: i32 = -1,
        /// The topics; in an incremental fetch those that are new or changed. Their order is that of serving.
        [0..] topics: Vec<FetchTopic>,
        /// In an incremental fetch, what to leave out from now on.
        [7..] forgotten_topics_data: Vec<ForgottenTopic>,
        /// The consumer's rack.
        [11..] rack_id: SharedStr,
    }

    /// A follower that fetches.
    pub struct ReplicaState {
        /// Its broker id, -1 for a consumer.
        [15..] replica_id: i32 = -1,
        /// Its epoch, -1 if it has none.
        [15..] replica_epoch: i64 = -1,
    }

    /// A topic's part of a [`FetchRequest`].
    pub struct FetchTopic {
        /// The topic's name, up to version 12.
        [0..=12] topic: SharedStr,
        /// The topic's id, from version 13 on.
        [13..] topic_id: Uuid,
        /// The partitions.
        [0..] partitions: Vec<FetchPartition>,
    }

    /// A partition's part of a [`FetchRequest`].
    pub struct FetchPartition {
        /// The partition's number.
        [0..] partition: i32,
        /// The leader epoch that the client knows, -1 if none: for fencing.
        [9..] current_leader_epoch: i32 = -1,
        /// The first offset wanted.
        [0..] fetch_offset: i64,
        /// The epoch of the last record fetched, -1 if there is none: to find out about truncation.
        [12..] last_fetched_epoch: i32 = -1,
        /// A follower's first offset.
        [5..] log_start_offset: i64 = -1,
        /// Bytes of records wanted from this partition; the first batch may exceed it.
        [0..] partition_max_bytes: i32,
        /// A follower's directory.
        [17.., tag 0] replica_directory_id: Uuid,
        /// The high watermark that a follower knows.
        [18.., tag 1] high_watermark: i64 = i64::MAX,
    }

    /// Partitions that leave a fetch session.
    pub struct ForgottenTopic {
        /// The topic's name, up to version 12.
        [7..=12] topic: SharedStr,
        /// The topic's id, from version 13 on.
        [13..] topic_id: Uuid,
        /// The partitions' numbers.
        [7..] partitions: Vec<i32>,
    }

    /// Records, partition by partition.
    pub struct FetchResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// An error of the session as a whole.
        [7..] error_code: ErrorCode,
        /// The fetch session, [`NO_SESSION_ID`] if there is none.
        [7..] session_id: i32,
        /// The topics; in an incremental fetch those with something to say.
        [0..] responses: Vec<FetchableTopicResponse>,
        /// Where the leaders named in the partitions are.
        [16.., tag 0] node_endpoints: Vec<NodeEndpoint>,
    }

    /// A topic's part of a [`FetchResponse`].
    pub struct FetchableTopicResponse {
        /// The topic's name, up to version 12.
        [0..=12] topic: SharedStr,
        /// The topic's id, from version 13 on.
        [13..] topic_id: Uuid,
        /// The partitions.
        [0..] partitions: Vec<PartitionData>,
    }

    /// A partition's part of a [`FetchResponse`].
    pub struct PartitionData {
        /// The partition's number.
        [0..] partition_index: i32,
        /// Success, or why there are no records.
        [0..] error_code: ErrorCode,
        /// The offset behind the last record that consumers may see.
        [0..] high_watermark: i64,
        /// The offset behind the last record of a decided transaction.
        [4..] last_stable_offset: i64 = -1,
        /// The log's first offset.
        [5..] log_start_offset: i64 = -1,
        /// Where the client's log and this one part, if they do.
        [12.., tag 0] diverging_epoch: EpochEndOffset,
        /// The partition's leader, with an error that says that it is another.
        [12.., tag 1] current_leader: LeaderIdAndEpoch,
        /// For followers of the metadata log.
        [12.., tag 2] snapshot_id: SnapshotId,
        /// Aborted transactions among the records, for [`READ_COMMITTED`].
        [4..] aborted_transactions: Option<Vec<AbortedTransaction>>,
        /// A replica nearer to the client, -1 if there is none.
        [11..] preferred_read_replica: i32 = -1,
        /// The records: whole batches, the first of which contains the offset asked for. An empty set rather than
        /// null is what Kafka sends when there are none.
        [0..] records: Option<RecordSet> = Some(RecordSet::new()),
    }

    /// The end of an epoch.
    pub struct EpochEndOffset {
        /// The epoch.
        [12..] epoch: i32 = -1,
        /// The offset behind its last record.
        [12..] end_offset: i64 = -1,
    }

    /// A snapshot of the metadata log.
    pub struct SnapshotId {
        /// The offset behind it.
        [0..] end_offset: i64 = -1,
        /// Its epoch.
        [0..] epoch: i32 = -1,
    }

    /// An aborted transaction.
    pub struct AbortedTransaction {
        /// Its producer.
        [4..] producer_id: i64,
        /// Its first offset in the partition.
        [4..] first_offset: i64,
    }
}
