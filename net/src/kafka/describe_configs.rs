//! DescribeConfigs: settings of topics and brokers.

use crate::kafka::ErrorCode;

/// Resource type: a topic.
pub const RESOURCE_TOPIC: i8 = 2;
/// Resource type: a broker, by its id; an empty name means all brokers' defaults.
pub const RESOURCE_BROKER: i8 = 4;
/// Resource type: a broker's loggers.
pub const RESOURCE_BROKER_LOGGER: i8 = 8;

/// Source: set for the topic.
pub const SOURCE_TOPIC: i8 = 1;
/// Source: set for the broker while it runs.
pub const SOURCE_DYNAMIC_BROKER: i8 = 2;
/// Source: set for all brokers while they run.
pub const SOURCE_DYNAMIC_DEFAULT_BROKER: i8 = 3;
/// Source: the broker's configuration.
pub const SOURCE_STATIC_BROKER: i8 = 4;
/// Source: nobody set it.
pub const SOURCE_DEFAULT: i8 = 5;

/// Type: true or false.
pub const TYPE_BOOLEAN: i8 = 1;
/// Type: text.
pub const TYPE_STRING: i8 = 2;
/// Type: a 32-bit integer.
pub const TYPE_INT: i8 = 3;
/// Type: a 16-bit integer.
pub const TYPE_SHORT: i8 = 4;
/// Type: a 64-bit integer.
pub const TYPE_LONG: i8 = 5;
/// Type: a floating-point number.
pub const TYPE_DOUBLE: i8 = 6;
/// Type: texts separated by commas.
pub const TYPE_LIST: i8 = 7;
/// Type: the name of a Java class.
pub const TYPE_CLASS: i8 = 8;
/// Type: a secret.
pub const TYPE_PASSWORD: i8 = 9;

message! {
    /// Asks for settings.
    pub struct DescribeConfigsRequest {
        /// Of what.
        [0..] resources: Vec<DescribeConfigsResource>,
        /// Whether to tell where else each setting is set.
        [1..] include_synonyms: bool,
        /// Whether to tell what each setting does.
        [3..] include_documentation: bool,
    }

    /// Something that has settings.
    pub struct DescribeConfigsResource {
        /// [`RESOURCE_TOPIC`], [`RESOURCE_BROKER`] or [`RESOURCE_BROKER_LOGGER`].
        [0..] resource_type: i8,
        /// Its name.
        [0..] resource_name: String,
        /// The settings wanted; null and empty mean all.
        [0..] configuration_keys: Option<Vec<String>>,
    }

    /// Tells settings.
    pub struct DescribeConfigsResponse {
        /// How long the request was held back for a quota, in milliseconds.
        [0..] throttle_time_ms: i32,
        /// Of what.
        [0..] results: Vec<DescribeConfigsResult>,
    }

    /// The settings of one thing.
    pub struct DescribeConfigsResult {
        /// Success, or why nothing can be said.
        [0..] error_code: ErrorCode,
        /// The error in words.
        [0..] error_message: Option<String>,
        /// [`RESOURCE_TOPIC`], [`RESOURCE_BROKER`] or [`RESOURCE_BROKER_LOGGER`].
        [0..] resource_type: i8,
        /// Its name.
        [0..] resource_name: String,
        /// The settings.
        [0..] configs: Vec<DescribeConfigsResourceResult>,
    }

    /// A setting.
    pub struct DescribeConfigsResourceResult {
        /// Its name.
        [0..] name: String,
        /// Its value; null if it is a secret.
        [0..] value: Option<String>,
        /// Whether it cannot be changed.
        [0..] read_only: bool,
        /// One of this module's sources.
        [1..] config_source: i8 = -1,
        /// Whether its value is a secret.
        [0..] is_sensitive: bool,
        /// Where else it is set, the strongest first.
        [1..] synonyms: Vec<DescribeConfigsSynonym>,
        /// One of this module's types, 0 if it is unknown.
        [3..] config_type: i8,
        /// What it does.
        [3..] documentation: Option<String>,
    }

    /// A place where a setting is set.
    pub struct DescribeConfigsSynonym {
        /// Its name there.
        [1..] name: String,
        /// Its value there.
        [1..] value: Option<String>,
        /// One of this module's sources.
        [1..] source: i8,
    }
}
