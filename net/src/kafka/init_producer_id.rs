//! InitProducerId: gives a producer its id and epoch.

use crate::kafka::ErrorCode;

message! {
    /// Asks for a producer id.
    pub struct InitProducerIdRequest {
        /// The transaction's id, null for a producer that is only idempotent.
        [0..] transactional_id: Option<String>,
        /// How long a transaction may stay idle, in milliseconds.
        [0..] transaction_timeout_ms: i32,
        /// The producer's current id, -1 if it has none.
        [3..] producer_id: i64 = -1,
        /// The producer's current epoch, -1 if it has none.
        [3..] producer_epoch: i16 = -1,
    }

    /// Gives a producer id.
    pub struct InitProducerIdResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// Success, or why there is none.
        [0..] error_code: ErrorCode,
        /// The producer's id.
        [0..] producer_id: i64 = -1,
        /// The producer's epoch.
        [0..] producer_epoch: i16,
    }
}
