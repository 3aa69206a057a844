//! ApiVersions: which APIs are served at which versions.

use crate::kafka::{ApiKey, ErrorCode};

message! {
    /// Asks what the broker serves.
    pub struct ApiVersionsRequest {
        /// The client's library.
        [3..] client_software_name: String,
        /// The library's version.
        [3..] client_software_version: String,
    }

    /// Tells what the broker serves.
    pub struct ApiVersionsResponse {
        /// Success, or UNSUPPORTED_VERSION.
        [0..] error_code: ErrorCode,
        /// The APIs.
        [0..] api_keys: Vec<ApiVersion>,
        /// How long the request was held back for a quota, in milliseconds.
        [1..] throttle_time_ms: i32,
        /// Features that the broker supports.
        [3.., tag 0] supported_features: Vec<SupportedFeatureKey>,
        /// The epoch of the finalized features, -1 if it is unknown.
        [3.., tag 1] finalized_features_epoch: i64 = -1,
        /// Features that the cluster agreed on. Clients switch to the newer transactions by `transaction.version`.
        [3.., tag 2] finalized_features: Vec<FinalizedFeatureKey>,
        /// A relic of the migration from ZooKeeper.
        [3.., tag 3] zk_migration_ready: bool,
    }

    /// An API with the versions that are served.
    #[derive(Copy, Eq)]
    pub struct ApiVersion {
        /// The API's number.
        [0..] api_key: i16,
        /// The lowest version.
        [0..] min_version: i16,
        /// The highest version.
        [0..] max_version: i16,
    }

    /// A feature that the broker supports.
    pub struct SupportedFeatureKey {
        /// Its name.
        [3..] name: String,
        /// The lowest level.
        [3..] min_version: i16,
        /// The highest level.
        [3..] max_version: i16,
    }

    /// A feature that the cluster agreed on.
    pub struct FinalizedFeatureKey {
        /// Its name.
        [3..] name: String,
        /// The highest level.
        [3..] max_version_level: i16,
        /// The lowest level.
        [3..] min_version_level: i16,
    }
}

impl ApiVersionsResponse {
    /// Everything that is served, and no features.
    #[must_use]
    pub fn served() -> Self {
        Self { api_keys: ApiKey::ALL.iter().map(|api| api.advertised()).collect(), ..Self::default() }
    }
}
