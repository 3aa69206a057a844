//! IncrementalAlterConfigs: changes single settings of a resource.

use crate::kafka::ErrorCode;

message! {
    /// Changes settings.
    pub struct IncrementalAlterConfigsRequest {
        /// The resources.
        [0..] resources: Vec<IncrementalAlterConfigsResource>,
        /// Whether only to check.
        [0..] validate_only: bool,
    }

    /// A resource and what is to change about it.
    pub struct IncrementalAlterConfigsResource {
        /// What kind: 2 is a topic, 4 a broker.
        [0..] resource_type: i8,
        /// Its name.
        [0..] resource_name: String,
        /// The changes.
        [0..] configs: Vec<IncrementalAlterableConfig>,
    }

    /// A change of a setting.
    pub struct IncrementalAlterableConfig {
        /// Its name.
        [0..] name: String,
        /// What to do: 0 sets it, 1 takes it back to its default, 2 adds to a list, 3 takes from one.
        [0..] config_operation: i8,
        /// The value; null where it is taken back.
        [0..] value: Option<String>,
    }

    /// Tells what was changed.
    pub struct IncrementalAlterConfigsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// The resources.
        [0..] responses: Vec<IncrementalAlterConfigsResourceResponse>,
    }

    /// A resource that was to be changed.
    pub struct IncrementalAlterConfigsResourceResponse {
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
