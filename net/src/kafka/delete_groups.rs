//! DeleteGroups: removes groups with their offsets.

use crate::kafka::ErrorCode;

message! {
    /// Deletes groups.
    pub struct DeleteGroupsRequest {
        /// The groups.
        [0..] groups_names: Vec<String>,
    }

    /// Tells what was deleted.
    pub struct DeleteGroupsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// The groups.
        [0..] results: Vec<DeletableGroupResult>,
    }

    /// A group that was to be deleted.
    pub struct DeletableGroupResult {
        /// The group.
        [0..] group_id: String,
        /// Success, or why it was not deleted.
        [0..] error_code: ErrorCode,
    }
}
