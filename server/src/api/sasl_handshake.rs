//! SaslHandshake: there is no authentication yet, so this is not the time for it.

use millrace_net::kafka::{
    ErrorCode,
    sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse},
};

pub(super) fn answer(_request: &SaslHandshakeRequest) -> SaslHandshakeResponse {
    SaslHandshakeResponse { error_code: ErrorCode::ILLEGAL_SASL_STATE, ..Default::default() }
}
