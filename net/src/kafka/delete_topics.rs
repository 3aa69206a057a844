//! DeleteTopics: removes topics.

use crate::kafka::ErrorCode;
use uuid::Uuid;

message! {
    /// Deletes topics.
    pub struct DeleteTopicsRequest {
        /// The topics, by name or id, from version 6 on.
        [6..] topics: Vec<DeleteTopicState>,
        /// The topics' names, up to version 5.
        [0..=5] topic_names: Vec<String>,
        /// How long the broker may take, in milliseconds.
        [0..] timeout_ms: i32,
    }

    /// A topic to delete.
    pub struct DeleteTopicState {
        /// Its name, null if it is meant by id.
        [6..] name: Option<String>,
        /// Its id, nil if it is meant by name.
        [6..] topic_id: Uuid,
    }

    /// Tells what was deleted.
    pub struct DeleteTopicsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// The topics.
        [0..] responses: Vec<DeletableTopicResult>,
    }

    /// A topic that was to be deleted.
    pub struct DeletableTopicResult {
        /// Its name; null if it was meant by an id that does not exist.
        [0.., nullable 6..] name: Option<String>,
        /// Its id.
        [6..] topic_id: Uuid,
        /// Success, or why it was not deleted.
        [0..] error_code: ErrorCode,
        /// The error in words.
        [5..] error_message: Option<String>,
    }
}
