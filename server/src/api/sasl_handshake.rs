//! SaslHandshake: there is no authentication yet, so no mechanism is known.

use millrace_net::kafka::{
    ErrorCode,
    sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse},
};

pub(super) fn answer(_request: &SaslHandshakeRequest) -> SaslHandshakeResponse {
    SaslHandshakeResponse { error_code: ErrorCode::UNSUPPORTED_SASL_MECHANISM, ..Default::default() }
}
