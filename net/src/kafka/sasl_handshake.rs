//! SaslHandshake: names a mechanism of authentication.

use crate::kafka::ErrorCode;

message! {
    /// Chooses a mechanism.
    pub struct SaslHandshakeRequest {
        /// Its name.
        [0..] mechanism: String,
    }

    /// Tells whether the mechanism is to be had.
    pub struct SaslHandshakeResponse {
        /// Success, or what is wrong.
        [0..] error_code: ErrorCode,
        /// The mechanisms that are to be had.
        [0..] mechanisms: Vec<String>,
    }
}
