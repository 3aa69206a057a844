//! SyncGroup: the leader hands in a generation's assignment, every member gets its part.

use crate::kafka::ErrorCode;
use bytes::Bytes;

message! {
    /// Asks for the member's assignment; the leader's brings everybody's.
    pub struct SyncGroupRequest {
        /// The group.
        [0..] group_id: String,
        /// The group's generation.
        [0..] generation_id: i32,
        /// The member.
        [0..] member_id: String,
        /// The static member's instance.
        [3..] group_instance_id: Option<String>,
        /// The class of protocols that the member believes in.
        [5..] protocol_type: Option<String>,
        /// The protocol that the member believes in.
        [5..] protocol_name: Option<String>,
        /// The leader's assignment; empty from the others.
        [0..] assignments: Vec<SyncGroupRequestAssignment>,
    }

    /// One member's assignment.
    pub struct SyncGroupRequestAssignment {
        /// The member.
        [0..] member_id: String,
        /// What it is to do.
        [0..] assignment: Bytes,
    }

    /// Tells a member its assignment.
    pub struct SyncGroupResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// Success, or why there is none.
        [0..] error_code: ErrorCode,
        /// The group's class of protocols.
        [5..] protocol_type: Option<String>,
        /// The group's protocol.
        [5..] protocol_name: Option<String>,
        /// What the member is to do.
        [0..] assignment: Bytes,
    }
}
