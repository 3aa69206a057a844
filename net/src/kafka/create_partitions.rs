//! CreatePartitions: adds partitions to topics.

use crate::kafka::ErrorCode;

message! {
    /// Raises the number of partitions.
    pub struct CreatePartitionsRequest {
        /// The topics.
        [0..] topics: Vec<CreatePartitionsTopic>,
        /// How long the broker may take, in milliseconds.
        [0..] timeout_ms: i32,
        /// Whether only to check.
        [0..] validate_only: bool,
    }

    /// A topic that is to grow.
    pub struct CreatePartitionsTopic {
        /// Its name.
        [0..] name: String,
        /// The number of partitions that it is to have.
        [0..] count: i32,
        /// Who gets the new partitions; null leaves it to the broker.
        [0..] assignments: Option<Vec<CreatePartitionsAssignment>>,
    }

    /// Who gets a new partition.
    pub struct CreatePartitionsAssignment {
        /// The brokers, the preferred leader first.
        [0..] broker_ids: Vec<i32>,
    }

    /// Tells what grew.
    pub struct CreatePartitionsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// The topics: every one of the request's.
        [0..] results: Vec<CreatePartitionsTopicResult>,
    }

    /// A topic that was to grow.
    pub struct CreatePartitionsTopicResult {
        /// Its name.
        [0..] name: String,
        /// Success, or why it did not grow.
        [0..] error_code: ErrorCode,
        /// The error in words.
        [0..] error_message: Option<String>,
    }
}
