//! Kafka's error codes.

use crate::wire::{DecodeError, Field, Format, Reader, Writer};
use std::fmt;

/// A code of Kafka's protocol, 0 for success. Codes that this list does not know keep their number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

macro_rules! error_codes {
    ($( $(#[$meta:meta])* $name:ident = $code:literal $($retriable:ident)?, )*) => {
        impl ErrorCode {
            $( $(#[$meta])* pub const $name: Self = Self($code); )*

            /// The code's name in Kafka's documentation, if it is known here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $code => Some(stringify!($name)), )*
                    _ => None,
                }
            }

            /// Whether the same request may succeed when it is sent again, after a refresh of the metadata if the
            /// code says that it was sent to the wrong place.
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self.0 {
                    $( $code => error_codes!(@retriable $($retriable)?), )*
                    _ => false,
                }
            }
        }
    };
    (@retriable) => { false };
    (@retriable retriable) => { true };
}

error_codes! {
    /// The server failed in a way it has no code for.
    UNKNOWN_SERVER_ERROR = -1,
    /// Success.
    NONE = 0,
    /// The offset is below the log's start or above its end.
    OFFSET_OUT_OF_RANGE = 1,
    /// A batch's checksum or form is wrong, or a key is missing in a compacted topic.
    CORRUPT_MESSAGE = 2 retriable,
    /// The server has no such topic or partition.
    UNKNOWN_TOPIC_OR_PARTITION = 3 retriable,
    /// The size to fetch makes no sense.
    INVALID_FETCH_SIZE = 4,
    /// The partition is between two leaders.
    LEADER_NOT_AVAILABLE = 5 retriable,
    /// The broker does not lead the partition.
    NOT_LEADER_OR_FOLLOWER = 6 retriable,
    /// The broker gave up waiting.
    REQUEST_TIMED_OUT = 7 retriable,
    /// The broker is not there.
    BROKER_NOT_AVAILABLE = 8,
    /// The broker has no replica of the partition.
    REPLICA_NOT_AVAILABLE = 9 retriable,
    /// A batch is larger than the topic's `max.message.bytes`.
    MESSAGE_TOO_LARGE = 10,
    /// Another broker became controller.
    STALE_CONTROLLER_EPOCH = 11,
    /// The metadata string of a commit is too long.
    OFFSET_METADATA_TOO_LARGE = 12,
    /// The server closed the connection before it answered.
    NETWORK_EXCEPTION = 13 retriable,
    /// The coordinator is reading its state.
    COORDINATOR_LOAD_IN_PROGRESS = 14 retriable,
    /// There is no coordinator yet.
    COORDINATOR_NOT_AVAILABLE = 15 retriable,
    /// The broker does not coordinate the group or transaction.
    NOT_COORDINATOR = 16 retriable,
    /// The topic's name is not allowed, or the topic is internal.
    INVALID_TOPIC_EXCEPTION = 17,
    /// The record set is larger than a segment.
    RECORD_LIST_TOO_LARGE = 18,
    /// Fewer replicas in sync than the topic demands; nothing was written.
    NOT_ENOUGH_REPLICAS = 19 retriable,
    /// Written, to fewer replicas in sync than the topic demands.
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20 retriable,
    /// acks is none of -1, 0 and 1.
    INVALID_REQUIRED_ACKS = 21,
    /// The group's generation is another.
    ILLEGAL_GENERATION = 22,
    /// The member's protocols fit none of the group's.
    INCONSISTENT_GROUP_PROTOCOL = 23,
    /// The group's id is not allowed.
    INVALID_GROUP_ID = 24,
    /// The group has no such member.
    UNKNOWN_MEMBER_ID = 25,
    /// The session's timeout is outside of what the broker allows.
    INVALID_SESSION_TIMEOUT = 26,
    /// The group is rebalancing: join again.
    REBALANCE_IN_PROGRESS = 27,
    /// The commit's data is too large.
    INVALID_COMMIT_OFFSET_SIZE = 28,
    /// No right to the topic.
    TOPIC_AUTHORIZATION_FAILED = 29,
    /// No right to the group.
    GROUP_AUTHORIZATION_FAILED = 30,
    /// No right to the cluster.
    CLUSTER_AUTHORIZATION_FAILED = 31,
    /// A record's timestamp is out of the topic's range.
    INVALID_TIMESTAMP = 32,
    /// The server has no such SASL mechanism.
    UNSUPPORTED_SASL_MECHANISM = 33,
    /// The request does not fit the state of authentication.
    ILLEGAL_SASL_STATE = 34,
    /// The API's version is not served.
    UNSUPPORTED_VERSION = 35,
    /// The topic exists.
    TOPIC_ALREADY_EXISTS = 36,
    /// The number of partitions makes no sense.
    INVALID_PARTITIONS = 37,
    /// The replication factor is below 1 or above the number of brokers.
    INVALID_REPLICATION_FACTOR = 38,
    /// The assignment of replicas makes no sense.
    INVALID_REPLICA_ASSIGNMENT = 39,
    /// A setting's name or value is not allowed.
    INVALID_CONFIG = 40,
    /// The broker is not the controller.
    NOT_CONTROLLER = 41 retriable,
    /// The request contradicts itself or the protocol.
    INVALID_REQUEST = 42,
    /// The records' format does not support the request.
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43,
    /// A policy of the server forbids it.
    POLICY_VIOLATION = 44,
    /// A producer's sequence number leaves a gap.
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45,
    /// A producer's batch was written before and is no longer remembered.
    DUPLICATE_SEQUENCE_NUMBER = 46,
    /// A producer's epoch is older than the partition's last.
    INVALID_PRODUCER_EPOCH = 47,
    /// The transaction's state does not allow it.
    INVALID_TXN_STATE = 48,
    /// The producer id is not the one of the transactional id.
    INVALID_PRODUCER_ID_MAPPING = 49,
    /// The transaction's timeout is above the server's maximum.
    INVALID_TRANSACTION_TIMEOUT = 50,
    /// Another operation of the same transaction is under way.
    CONCURRENT_TRANSACTIONS = 51 retriable,
    /// The transaction's coordinator was replaced.
    TRANSACTION_COORDINATOR_FENCED = 52,
    /// No right to the transactional id.
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53,
    /// Security features are off.
    SECURITY_DISABLED = 54,
    /// Not tried, because another part of the request failed.
    OPERATION_NOT_ATTEMPTED = 55,
    /// The disk failed or is full.
    KAFKA_STORAGE_ERROR = 56 retriable,
    /// The broker has no such log directory.
    LOG_DIR_NOT_FOUND = 57,
    /// Authentication failed.
    SASL_AUTHENTICATION_FAILED = 58,
    /// The partition knows nothing of the producer.
    UNKNOWN_PRODUCER_ID = 59,
    /// The partition is being moved.
    REASSIGNMENT_IN_PROGRESS = 60,
    /// Delegation tokens are off.
    DELEGATION_TOKEN_AUTH_DISABLED = 61,
    /// No such delegation token.
    DELEGATION_TOKEN_NOT_FOUND = 62,
    /// The delegation token is another's.
    DELEGATION_TOKEN_OWNER_MISMATCH = 63,
    /// Delegation tokens are not given over this channel.
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64,
    /// No right to the delegation token.
    DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65,
    /// The delegation token is past its time.
    DELEGATION_TOKEN_EXPIRED = 66,
    /// No such type of principal.
    INVALID_PRINCIPAL_TYPE = 67,
    /// The group has members.
    NON_EMPTY_GROUP = 68,
    /// No such group.
    GROUP_ID_NOT_FOUND = 69,
    /// No such fetch session.
    FETCH_SESSION_ID_NOT_FOUND = 70 retriable,
    /// The fetch session's epoch is another.
    INVALID_FETCH_SESSION_EPOCH = 71 retriable,
    /// The leader has no listener of the name that the request came by.
    LISTENER_NOT_FOUND = 72 retriable,
    /// Topics cannot be deleted here.
    TOPIC_DELETION_DISABLED = 73,
    /// The leader epoch is older than the partition's.
    FENCED_LEADER_EPOCH = 74 retriable,
    /// The leader epoch is newer than the partition's.
    UNKNOWN_LEADER_EPOCH = 75 retriable,
    /// The client's version cannot read the records' compression.
    UNSUPPORTED_COMPRESSION_TYPE = 76,
    /// The broker's epoch is another.
    STALE_BROKER_EPOCH = 77,
    /// A new leader's high watermark is behind what may be told.
    OFFSET_NOT_AVAILABLE = 78 retriable,
    /// Join again, with the member id that came with this.
    MEMBER_ID_REQUIRED = 79,
    /// The preferred leader is not there.
    PREFERRED_LEADER_NOT_AVAILABLE = 80 retriable,
    /// The group has as many members as it may.
    GROUP_MAX_SIZE_REACHED = 81,
    /// A static member of the same instance id replaced this one.
    FENCED_INSTANCE_ID = 82,
    /// No replica may become leader.
    ELIGIBLE_LEADERS_NOT_AVAILABLE = 83 retriable,
    /// The preferred leader leads already.
    ELECTION_NOT_NEEDED = 84 retriable,
    /// No partition is being moved.
    NO_REASSIGNMENT_IN_PROGRESS = 85,
    /// The group's members are subscribed to the topic.
    GROUP_SUBSCRIBED_TO_TOPIC = 86,
    /// A record is not allowed, for reasons that the answer names.
    INVALID_RECORD = 87,
    /// Offsets of an open transaction are pending.
    UNSTABLE_OFFSET_COMMIT = 88 retriable,
    /// The quota is used up.
    THROTTLING_QUOTA_EXCEEDED = 89 retriable,
    /// A newer producer has the same transactional id.
    PRODUCER_FENCED = 90,
    /// No such resource.
    RESOURCE_NOT_FOUND = 91,
    /// The request names a resource twice.
    DUPLICATE_RESOURCE = 92,
    /// The credential is not allowed.
    UNACCEPTABLE_CREDENTIAL = 93,
    /// The set of voters is another.
    INCONSISTENT_VOTER_SET = 94,
    /// The feature cannot go to that version.
    INVALID_UPDATE_VERSION = 95,
    /// The features could not be updated.
    FEATURE_UPDATE_FAILED = 96,
    /// The forwarded principal could not be read.
    PRINCIPAL_DESERIALIZATION_FAILURE = 97,
    /// No such snapshot.
    SNAPSHOT_NOT_FOUND = 98,
    /// The position in the snapshot makes no sense.
    POSITION_OUT_OF_RANGE = 99,
    /// The server has no topic of that id.
    UNKNOWN_TOPIC_ID = 100 retriable,
    /// Another broker has the id.
    DUPLICATE_BROKER_REGISTRATION = 101,
    /// No broker has the id.
    BROKER_ID_NOT_REGISTERED = 102,
    /// The topic's id is another than the log's.
    INCONSISTENT_TOPIC_ID = 103 retriable,
    /// The cluster's id is another.
    INCONSISTENT_CLUSTER_ID = 104,
    /// No such transactional id.
    TRANSACTIONAL_ID_NOT_FOUND = 105,
    /// A fetch session was used with and without topic ids.
    FETCH_SESSION_TOPIC_ID_ERROR = 106 retriable,
    /// A replica may not join the set in sync.
    INELIGIBLE_REPLICA = 107,
    /// The partition has a new leader.
    NEW_LEADER_ELECTED = 108,
    /// The offset lies in tiered storage.
    OFFSET_MOVED_TO_TIERED_STORAGE = 109,
    /// The member's epoch is fenced: join again.
    FENCED_MEMBER_EPOCH = 110,
    /// Another member still holds the instance id.
    UNRELEASED_INSTANCE_ID = 111,
    /// The group does not support the assignor.
    UNSUPPORTED_ASSIGNOR = 112,
    /// The member's epoch is behind.
    STALE_MEMBER_EPOCH = 113,
    /// The request went to the wrong kind of endpoint.
    MISMATCHED_ENDPOINT_TYPE = 114,
    /// The kind of endpoint is not supported.
    UNSUPPORTED_ENDPOINT_TYPE = 115,
    /// No such controller.
    UNKNOWN_CONTROLLER_ID = 116,
    /// The telemetry subscription is unknown or out of date.
    UNKNOWN_SUBSCRIPTION_ID = 117,
    /// The telemetry is larger than the server takes.
    TELEMETRY_TOO_LARGE = 118,
    /// The broker's registration is not valid.
    INVALID_REGISTRATION = 119,
    /// The transaction failed; abort it and go on.
    TRANSACTION_ABORTABLE = 120,
    /// The record's state in its share group does not allow it.
    INVALID_RECORD_STATE = 121,
    /// No such share session.
    SHARE_SESSION_NOT_FOUND = 122 retriable,
    /// The share session's epoch is another.
    INVALID_SHARE_SESSION_EPOCH = 123 retriable,
    /// The share group's state epoch is another.
    FENCED_STATE_EPOCH = 124,
    /// The voter's key does not fit.
    INVALID_VOTER_KEY = 125,
    /// The voter is there already.
    DUPLICATE_VOTER = 126,
    /// No such voter.
    VOTER_NOT_FOUND = 127,
    /// The regular expression is not valid.
    INVALID_REGULAR_EXPRESSION = 128,
    /// The client must start over from its bootstrap servers.
    REBOOTSTRAP_REQUIRED = 129,
    /// The streams group's topology is not valid.
    STREAMS_INVALID_TOPOLOGY = 130,
    /// The streams group's topology epoch is not valid.
    STREAMS_INVALID_TOPOLOGY_EPOCH = 131,
    /// The streams group's topology was replaced.
    STREAMS_TOPOLOGY_FENCED = 132,
    /// The broker has as many share sessions as it may.
    SHARE_SESSION_LIMIT_REACHED = 133 retriable,
}

impl ErrorCode {
    /// Whether the code means success.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Success, or the code as an error.
    ///
    /// # Errors
    /// The code, unless it is [`ErrorCode::NONE`].
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_none() { Ok(()) } else { Err(self) }
    }
}

impl Default for ErrorCode {
    fn default() -> Self {
        Self::NONE
    }
}

impl std::error::Error for ErrorCode {}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "error code {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Field for ErrorCode {
    const ENCODED_SIZE_MIN: usize = 2;

    fn decode(reader: &mut Reader<'_>, format: Format) -> Result<Self, DecodeError> {
        i16::decode(reader, format).map(Self)
    }

    fn encode(&self, writer: &mut Writer, format: Format) {
        self.0.encode(writer, format);
    }
}

#[cfg(test)]
impl crate::wire::sample::Sample for ErrorCode {
    fn sample(source: &mut crate::wire::sample::Source<'_>, format: Format) -> Self {
        Self(i16::sample(source, format))
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;
    use kafka_protocol::error::ResponseError;

    #[test]
    fn names_and_retriability_are_kafkas() {
        for code in -1..=133 {
            let ours = ErrorCode(code);
            assert!(ours.name().is_some(), "{code} has no name");
            let Some(theirs) = ResponseError::try_from_code(code) else { continue };
            if matches!(theirs, ResponseError::Unknown(_)) {
                continue;
            }
            let camel: String = ours
                .name()
                .unwrap_or_default()
                .split('_')
                .map(|word| word[..1].to_owned() + &word[1..].to_lowercase())
                .collect();
            assert_eq!(camel, format!("{theirs:?}"), "{code}");
            // Kafka's own client retries this one; the crate says otherwise.
            if ours != ErrorCode::CONCURRENT_TRANSACTIONS {
                assert_eq!(ours.is_retriable(), theirs.is_retriable(), "{ours}");
            }
        }
        assert_eq!(ErrorCode(999).to_string(), "error code 999");
        assert_eq!(ErrorCode::NOT_COORDINATOR.to_string(), "NOT_COORDINATOR (16)");
    }
}
