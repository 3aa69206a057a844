//! DescribeGroups: groups with their members.

use crate::kafka::{ErrorCode, metadata::OPERATIONS_NOT_ASKED};
use bytes::Bytes;

message! {
    /// Asks about groups.
    pub struct DescribeGroupsRequest {
        /// The groups.
        [0..] groups: Vec<String>,
        /// Whether to tell what the client may do to them.
        [3..] include_authorized_operations: bool,
    }

    /// Tells about groups.
    pub struct DescribeGroupsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// The groups.
        [0..] groups: Vec<DescribedGroup>,
    }

    /// A group.
    pub struct DescribedGroup {
        /// Success, or why nothing can be said.
        [0..] error_code: ErrorCode,
        /// The error in words.
        [6..] error_message: Option<String>,
        /// The group.
        [0..] group_id: String,
        /// Its state: `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`.
        [0..] group_state: String,
        /// Its class of protocols.
        [0..] protocol_type: String,
        /// Its protocol, if it is stable.
        [0..] protocol_data: String,
        /// Its members, none if it is dead.
        [0..] members: Vec<DescribedGroupMember>,
        /// What the client may do to it, as bits.
        [3..] authorized_operations: i32 = OPERATIONS_NOT_ASKED,
    }

    /// A member of a group.
    pub struct DescribedGroupMember {
        /// Its id.
        [0..] member_id: String,
        /// The static member's instance.
        [4..] group_instance_id: Option<String>,
        /// What its client calls itself.
        [0..] client_id: String,
        /// Where its client is, `/` before the address as Kafka has it.
        [0..] client_host: String,
        /// What it said in the group's protocol, if the group is stable.
        [0..] member_metadata: Bytes,
        /// What it is to do, if the group is stable.
        [0..] member_assignment: Bytes,
    }
}
