//! ApiVersions: what is served, and at which versions.

use millrace_net::kafka::{
    ErrorCode,
    api_versions::{ApiVersionsRequest, ApiVersionsResponse},
};

/// From this version on a client says which software it is.
const SOFTWARE_FROM: i16 = 3;

pub(super) fn answer(version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    let named = is_name(&request.client_software_name) && is_name(&request.client_software_version);
    if version >= SOFTWARE_FROM && !named {
        return ApiVersionsResponse { error_code: ErrorCode::INVALID_REQUEST, ..Default::default() };
    }
    ApiVersionsResponse::served()
}

/// Kafka's rule: letters and digits, with dots and dashes between them. What is counted by these names is bounded so.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_without_a_sound_name_is_told_so() {
        let code = |version, name: &str, software: &str| {
            let request = ApiVersionsRequest {
                client_software_name: name.into(),
                client_software_version: software.into(),
            };
            answer(version, &request).error_code
        };
        assert_eq!(code(3, "apache-kafka-java", "4.2.0"), ErrorCode::NONE);
        assert_eq!(code(4, "a", "1"), ErrorCode::NONE);
        for bad in ["", " ", "-a", "a.", "a b", "\u{e9}"] {
            assert_eq!(code(3, bad, "1"), ErrorCode::INVALID_REQUEST, "{bad:?}");
            assert_eq!(code(3, "a", bad), ErrorCode::INVALID_REQUEST, "{bad:?}");
            assert_eq!(code(2, bad, bad), ErrorCode::NONE, "older versions have no names");
        }
    }
}
