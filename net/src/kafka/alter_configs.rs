//! AlterConfigs: replaces all of a resource's settings. Clients of today change single ones by IncrementalAlterConfigs.

use crate::kafka::ErrorCode;

message! {
    /// Replaces settings.
    pub struct AlterConfigsRequest {
        /// The resources.
        [0..] resources: Vec<AlterConfigsResource>,
        /// Whether only to check.
        [0..] validate_only: bool,
    }

    /// A resource and all the settings that it is to have.
    pub struct AlterConfigsResource {
        /// What kind: 2 is a topic, 4 a broker.
        [0..] resource_type: i8,
        /// Its name.
        [0..] resource_name: String,
        /// The settings; others go back to their defaults.
        [0..] configs: Vec<AlterableConfig>,
    }

    /// A setting.
    pub struct AlterableConfig {
        /// Its name.
        [0..] name: String,
        /// Its value.
        [0..] value: Option<String>,
    }

    /// Tells what was changed.
    pub struct AlterConfigsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// The resources.
        [0..] responses: Vec<AlterConfigsResourceResponse>,
    }

    /// A resource that was to be changed.
    pub struct AlterConfigsResourceResponse {
        /// Success, or why it was not changed.
        [0..] error_code: ErrorCode,
        /// The error in words.
        [0..] error_message: Option<String>,
        /// What kind.
        [0..] resource_type: i8,
        /// Its name.
        [0..] resource_name: String,
    }
}
