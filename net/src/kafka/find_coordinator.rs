//! FindCoordinator: where a group or transaction is coordinated.

use crate::kafka::ErrorCode;

/// Key type: a consumer group's id.
pub const KEY_TYPE_GROUP: i8 = 0;
/// Key type: a transactional id.
pub const KEY_TYPE_TRANSACTION: i8 = 1;
/// Key type: a share group's partition.
pub const KEY_TYPE_SHARE: i8 = 2;

message! {
    /// Asks who coordinates; from version 4 on for several keys.
    pub struct FindCoordinatorRequest {
        /// The group's or transaction's id, up to version 3.
        [0..=3] key: String,
        /// [`KEY_TYPE_GROUP`], [`KEY_TYPE_TRANSACTION`] or [`KEY_TYPE_SHARE`].
        [1..] key_type: i8,
        /// The ids, from version 4 on.
        [4..] coordinator_keys: Vec<String>,
    }

    /// Tells who coordinates.
    pub struct FindCoordinatorResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// Success, or why there is no answer; up to version 3.
        [0..=3] error_code: ErrorCode,
        /// The error in words, up to version 3.
        [1..=3] error_message: Option<String>,
        /// The coordinator's broker id, up to version 3.
        [0..=3] node_id: i32,
        /// Its host, up to version 3.
        [0..=3] host: String,
        /// Its port, up to version 3.
        [0..=3] port: i32,
        /// The coordinators, from version 4 on.
        [4..] coordinators: Vec<Coordinator>,
    }

    /// One key's coordinator.
    pub struct Coordinator {
        /// The key.
        [4..] key: String,
        /// The coordinator's broker id.
        [4..] node_id: i32,
        /// Its host.
        [4..] host: String,
        /// Its port.
        [4..] port: i32,
        /// Success, or why there is no answer.
        [4..] error_code: ErrorCode,
        /// The error in words.
        [4..] error_message: Option<String>,
    }
}
