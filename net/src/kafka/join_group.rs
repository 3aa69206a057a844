//! JoinGroup: enters a group, or its next generation.

use crate::kafka::ErrorCode;
use bytes::Bytes;

message! {
    /// Enters a group.
    pub struct JoinGroupRequest {
        /// The group.
        [0..] group_id: String,
        /// After how long without a heartbeat the member is dead, in milliseconds.
        [0..] session_timeout_ms: i32,
        /// How long a rebalance waits for the member, in milliseconds; -1 in version 0, where the session's timeout
        /// stands for it.
        [1..] rebalance_timeout_ms: i32 = -1,
        /// The member's id, empty at the first attempt.
        [0..] member_id: String,
        /// The static member's instance.
        [5..] group_instance_id: Option<String>,
        /// The class of protocols, `consumer` for consumers.
        [0..] protocol_type: String,
        /// The protocols that the member supports, the best first.
        [0..] protocols: Vec<JoinGroupRequestProtocol>,
        /// Why the member joins, in words.
        [8..] reason: Option<String>,
    }

    /// A protocol that a member supports.
    pub struct JoinGroupRequestProtocol {
        /// Its name.
        [0..] name: String,
        /// What the member says in it: its subscription, for consumers.
        [0..] metadata: Bytes,
    }

    /// Tells a member its generation, and the leader all members.
    pub struct JoinGroupResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [2..] throttle_time_ms: i32,
        /// Success, or why the member is not in.
        [0..] error_code: ErrorCode,
        /// The generation.
        [0..] generation_id: i32 = -1,
        /// The class of protocols.
        [7..] protocol_type: Option<String>,
        /// The protocol that was chosen.
        [0.., nullable 7..] protocol_name: Option<String>,
        /// The leader's member id.
        [0..] leader: String,
        /// Whether the leader must not compute an assignment.
        [9..] skip_assignment: bool,
        /// The member's own id.
        [0..] member_id: String,
        /// All members, for the leader; empty for the others.
        [0..] members: Vec<JoinGroupResponseMember>,
    }

    /// A member, as the leader sees it.
    pub struct JoinGroupResponseMember {
        /// Its id.
        [0..] member_id: String,
        /// The static member's instance.
        [5..] group_instance_id: Option<String>,
        /// What it said in the chosen protocol.
        [0..] metadata: Bytes,
    }
}
