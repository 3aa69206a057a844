//! Heartbeat: keeps a member's session.

use crate::kafka::ErrorCode;

message! {
    /// Says that a member is alive.
    pub struct HeartbeatRequest {
        /// The group.
        [0..] group_id: String,
        /// The group's generation.
        [0..] generation_id: i32,
        /// The member.
        [0..] member_id: String,
        /// The static member's instance.
        [3..] group_instance_id: Option<String>,
    }

    /// Tells whether the generation still stands.
    pub struct HeartbeatResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// Success, or what to do.
        [0..] error_code: ErrorCode,
    }
}
