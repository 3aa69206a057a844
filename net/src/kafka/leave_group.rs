//! LeaveGroup: takes members out of a group.

use crate::kafka::ErrorCode;

message! {
    /// Leaves a group.
    pub struct LeaveGroupRequest {
        /// The group.
        [0..] group_id: String,
        /// The member, up to version 2.
        [0..=2] member_id: String,
        /// The members, from version 3 on.
        [3..] members: Vec<MemberIdentity>,
    }

    /// A member that leaves.
    pub struct MemberIdentity {
        /// Its id.
        [3..] member_id: String,
        /// The static member's instance.
        [3..] group_instance_id: Option<String>,
        /// Why it leaves, in words.
        [5..] reason: Option<String>,
    }

    /// Tells who left.
    pub struct LeaveGroupResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// Success, or what was wrong.
        [0..] error_code: ErrorCode,
        /// The members, from version 3 on.
        [3..] members: Vec<MemberResponse>,
    }

    /// A member that was to leave.
    pub struct MemberResponse {
        /// Its id.
        [3..] member_id: String,
        /// The static member's instance.
        [3..] group_instance_id: Option<String>,
        /// Success, or why it did not leave.
        [3..] error_code: ErrorCode,
    }
}
