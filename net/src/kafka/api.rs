//! The table of what is served: one line per API.

pub(super) use super::{
    alter_configs::{AlterConfigsRequest, AlterConfigsResponse},
    api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse},
    create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse},
    create_topics::{CreateTopicsRequest, CreateTopicsResponse},
    delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse},
    delete_records::{DeleteRecordsRequest, DeleteRecordsResponse},
    delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse},
    describe_cluster::{DescribeClusterRequest, DescribeClusterResponse},
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse},
    describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse},
    fetch::{FetchRequest, FetchResponse},
    find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse},
    heartbeat::{HeartbeatRequest, HeartbeatResponse},
    incremental_alter_configs::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse},
    init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
    join_group::{JoinGroupRequest, JoinGroupResponse},
    leave_group::{LeaveGroupRequest, LeaveGroupResponse},
    list_groups::{ListGroupsRequest, ListGroupsResponse},
    list_offsets::{ListOffsetsRequest, ListOffsetsResponse},
    metadata::{MetadataRequest, MetadataResponse},
    offset_commit::{OffsetCommitRequest, OffsetCommitResponse},
    offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse},
    offset_fetch::{OffsetFetchRequest, OffsetFetchResponse},
    offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse},
    produce::{ProduceRequest, ProduceResponse},
    sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse},
    sync_group::{SyncGroupRequest, SyncGroupResponse},
};
use crate::wire::{DecodeError, Field, Format, Reader, Writer};
use std::fmt;

/// A request with the type of its response, for the side that calls.
pub trait Call: Field {
    /// The API.
    const API: ApiKey;
    /// What answers it.
    type Response: Field;
}

macro_rules! apis {
    ($( $(#[$meta:meta])* $api:ident = $code:literal, $min:literal..=$max:literal, flexible $flexible:expr =>
        $request:ident, $response:ident; )*) => {
        /// An API that is served.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $( $(#[$meta])* $api = $code, )*
        }

        impl ApiKey {
            /// Every API that is served, by number.
            pub const ALL: &[Self] = &[$( Self::$api, )*];

            /// The API of that number, if it is served.
            #[must_use]
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$api), )*
                    _ => None,
                }
            }

            /// Its name, as Kafka's documentation has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$api => stringify!($api), )* }
            }

            /// The lowest version served.
            #[must_use]
            pub const fn min_version(self) -> i16 {
                match self { $( Self::$api => $min, )* }
            }

            /// The highest version served.
            #[must_use]
            pub const fn max_version(self) -> i16 {
                match self { $( Self::$api => $max, )* }
            }

            /// The version from which on messages are flexible: varint lengths, tagged fields.
            #[must_use]
            pub const fn flexible_from(self) -> i16 {
                match self { $( Self::$api => $flexible, )* }
            }
        }

        /// The body of a request, by API.
        #[derive(Clone, Debug, PartialEq)]
        pub enum RequestBody {
            $( $(#[$meta])* $api($request), )*
        }

        impl RequestBody {
            /// Which API.
            #[must_use]
            pub const fn api(&self) -> ApiKey {
                match self { $( Self::$api(_) => ApiKey::$api, )* }
            }

            /// Reads the body of a request of `api` at `version`, which must be served.
            pub(super) fn decode(
                reader: &mut Reader<'_>,
                api: ApiKey,
                version: i16,
            ) -> Result<Self, DecodeError> {
                let format = Format::new(version, api.flexible_from());
                match api { $( ApiKey::$api => $request::decode(reader, format).map(Self::$api), )* }
            }

            /// Writes the body at `version`.
            pub(crate) fn encode(&self, writer: &mut Writer, version: i16) {
                let format = Format::new(version, self.api().flexible_from());
                match self { $( Self::$api(body) => body.encode(writer, format), )* }
            }
        }

        /// A response, by API.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Response {
            $( $(#[$meta])* $api($response), )*
        }

        impl Response {
            /// Which API.
            #[must_use]
            pub const fn api(&self) -> ApiKey {
                match self { $( Self::$api(_) => ApiKey::$api, )* }
            }

            /// Reads the body of a response of `api` at `version`, which must be served.
            pub(crate) fn decode(
                reader: &mut Reader<'_>,
                api: ApiKey,
                version: i16,
            ) -> Result<Self, DecodeError> {
                let format = Format::new(version, api.flexible_from());
                match api { $( ApiKey::$api => $response::decode(reader, format).map(Self::$api), )* }
            }

            /// Writes the body at `version`.
            pub(crate) fn encode(&self, writer: &mut Writer, version: i16) {
                let format = Format::new(version, self.api().flexible_from());
                match self { $( Self::$api(body) => body.encode(writer, format), )* }
            }
        }

        $(
            impl From<$request> for RequestBody {
                fn from(body: $request) -> Self {
                    Self::$api(body)
                }
            }

            impl From<$response> for Response {
                fn from(body: $response) -> Self {
                    Self::$api(body)
                }
            }

            impl Call for $request {
                const API: ApiKey = ApiKey::$api;
                type Response = $response;
            }
        )*

        /// Calls `$check!(api, RequestType, ResponseType)` for every line of the table.
        #[cfg(test)]
        macro_rules! for_every_api {
            ($check:ident) => { $( $check!($api, $request, $response); )* };
        }
    };
}

/// A version that no message has: the API never became flexible.
const NEVER: i16 = i16::MAX;

apis! {
    /// Appends records.
    Produce = 0, 0..=13, flexible 9 => ProduceRequest, ProduceResponse;
    /// Reads records.
    Fetch = 1, 4..=18, flexible 12 => FetchRequest, FetchResponse;
    /// Finds offsets by timestamp, or a log's ends.
    ListOffsets = 2, 1..=11, flexible 6 => ListOffsetsRequest, ListOffsetsResponse;
    /// Tells brokers, topics, partitions and their leaders.
    Metadata = 3, 0..=13, flexible 9 => MetadataRequest, MetadataResponse;
    /// Stores a group's offsets.
    OffsetCommit = 8, 2..=10, flexible 8 => OffsetCommitRequest, OffsetCommitResponse;
    /// Reads a group's offsets.
    OffsetFetch = 9, 1..=10, flexible 6 => OffsetFetchRequest, OffsetFetchResponse;
    /// Finds a group's or transaction's coordinator.
    FindCoordinator = 10, 0..=6, flexible 3 => FindCoordinatorRequest, FindCoordinatorResponse;
    /// Enters a group and its next generation.
    JoinGroup = 11, 0..=9, flexible 6 => JoinGroupRequest, JoinGroupResponse;
    /// Keeps a member's session.
    Heartbeat = 12, 0..=4, flexible 4 => HeartbeatRequest, HeartbeatResponse;
    /// Leaves a group.
    LeaveGroup = 13, 0..=5, flexible 4 => LeaveGroupRequest, LeaveGroupResponse;
    /// Hands out a generation's assignment.
    SyncGroup = 14, 0..=5, flexible 4 => SyncGroupRequest, SyncGroupResponse;
    /// Tells groups with their members.
    DescribeGroups = 15, 0..=6, flexible 5 => DescribeGroupsRequest, DescribeGroupsResponse;
    /// Lists groups.
    ListGroups = 16, 0..=5, flexible 3 => ListGroupsRequest, ListGroupsResponse;
    /// Names a mechanism of authentication.
    SaslHandshake = 17, 0..=1, flexible NEVER => SaslHandshakeRequest, SaslHandshakeResponse;
    /// Tells this table.
    ApiVersions = 18, 0..=4, flexible 3 => ApiVersionsRequest, ApiVersionsResponse;
    /// Creates topics.
    CreateTopics = 19, 2..=7, flexible 5 => CreateTopicsRequest, CreateTopicsResponse;
    /// Deletes topics.
    DeleteTopics = 20, 1..=6, flexible 4 => DeleteTopicsRequest, DeleteTopicsResponse;
    /// Raises the start of logs.
    DeleteRecords = 21, 0..=2, flexible 2 => DeleteRecordsRequest, DeleteRecordsResponse;
    /// Gives a producer its id and epoch.
    InitProducerId = 22, 0..=5, flexible 2 => InitProducerIdRequest, InitProducerIdResponse;
    /// Tells where a leader's epoch ended.
    OffsetForLeaderEpoch = 23, 2..=4, flexible 4 => OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    /// Tells settings.
    DescribeConfigs = 32, 1..=4, flexible 4 => DescribeConfigsRequest, DescribeConfigsResponse;
    /// Replaces the settings of topics.
    AlterConfigs = 33, 0..=2, flexible 2 => AlterConfigsRequest, AlterConfigsResponse;
    /// Adds partitions to topics.
    CreatePartitions = 37, 0..=3, flexible 2 => CreatePartitionsRequest, CreatePartitionsResponse;
    /// Deletes groups.
    DeleteGroups = 42, 0..=2, flexible 2 => DeleteGroupsRequest, DeleteGroupsResponse;
    /// Changes settings of topics.
    IncrementalAlterConfigs = 44, 0..=1, flexible 1 =>
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    /// Drops a group's offsets.
    OffsetDelete = 47, 0..=0, flexible NEVER => OffsetDeleteRequest, OffsetDeleteResponse;
    /// Tells the brokers.
    DescribeCluster = 60, 0..=2, flexible 0 => DescribeClusterRequest, DescribeClusterResponse;
}

#[cfg(test)]
pub(super) use for_every_api;

impl ApiKey {
    /// The API's number.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether `version` is served.
    #[must_use]
    pub const fn serves(self, version: i16) -> bool {
        self.min_version() <= version && version <= self.max_version()
    }

    /// Whether messages of `version` are flexible.
    #[must_use]
    pub const fn is_flexible(self, version: i16) -> bool {
        version >= self.flexible_from()
    }

    /// What ApiVersions says of the API.
    #[must_use]
    pub const fn advertised(self) -> ApiVersion {
        ApiVersion { api_key: self.code(), min_version: self.min_version(), max_version: self.max_version() }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
