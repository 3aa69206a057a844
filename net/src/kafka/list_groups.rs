//! ListGroups: the groups that a broker coordinates.

use crate::kafka::ErrorCode;

message! {
    /// Asks for the groups.
    pub struct ListGroupsRequest {
        /// Only groups in these states; all if empty.
        [4..] states_filter: Vec<String>,
        /// Only groups of these types; all if empty.
        [5..] types_filter: Vec<String>,
    }

    /// Tells the groups.
    pub struct ListGroupsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// Success, or why there is no answer.
        [0..] error_code: ErrorCode,
        /// The groups.
        [0..] groups: Vec<ListedGroup>,
    }

    /// A group.
    pub struct ListedGroup {
        /// The group.
        [0..] group_id: String,
        /// Its class of protocols.
        [0..] protocol_type: String,
        /// Its state.
        [4..] group_state: String,
        /// Its type: `classic`, `consumer`, `share`.
        [5..] group_type: String,
    }
}
