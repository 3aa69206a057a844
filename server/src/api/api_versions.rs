//! ApiVersions: what is served, and at which versions.

use millrace_net::kafka::api_versions::{ApiVersionsRequest, ApiVersionsResponse};

pub(super) fn answer(_request: &ApiVersionsRequest) -> ApiVersionsResponse {
    ApiVersionsResponse::served()
}
