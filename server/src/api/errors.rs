//! Every refusal's code on the wire: the one place where our errors become Kafka's.

use crate::{cluster::TopicError, coordinator::CoordinatorError, group::GroupError, shard::PartitionError};
use millrace_net::kafka::ErrorCode;
use millrace_storage::{AppendError, LogStartError, ReadError, SequenceError};

/// An error that has a code.
pub(super) trait Code {
    /// The code.
    fn code(&self) -> ErrorCode;
}

impl Code for GroupError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownMember => ErrorCode::UNKNOWN_MEMBER_ID,
            Self::IllegalGeneration => ErrorCode::ILLEGAL_GENERATION,
            Self::RebalanceInProgress => ErrorCode::REBALANCE_IN_PROGRESS,
            Self::MemberIdRequired => ErrorCode::MEMBER_ID_REQUIRED,
            Self::InconsistentProtocol => ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
            Self::InvalidSessionTimeout => ErrorCode::INVALID_SESSION_TIMEOUT,
            Self::InvalidGroupId => ErrorCode::INVALID_GROUP_ID,
            Self::FencedInstanceId => ErrorCode::FENCED_INSTANCE_ID,
            Self::NotEmpty => ErrorCode::NON_EMPTY_GROUP,
            Self::UnknownGroup => ErrorCode::GROUP_ID_NOT_FOUND,
        }
    }
}

impl Code for CoordinatorError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotCoordinator => ErrorCode::NOT_COORDINATOR,
            Self::Loading => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            Self::NotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            Self::Damaged => ErrorCode::UNKNOWN_SERVER_ERROR,
            Self::TooLarge => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
            Self::Group(error) => error.code(),
        }
    }
}

impl Code for TopicError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidName(_) | Self::Internal(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            Self::Exists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
            Self::Unknown => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Self::InvalidPartitions(_) => ErrorCode::INVALID_PARTITIONS,
            Self::InvalidReplicationFactor(_) => ErrorCode::INVALID_REPLICATION_FACTOR,
            Self::InvalidAssignment(_) => ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            Self::InvalidConfig(_) => ErrorCode::INVALID_CONFIG,
            Self::InvalidRequest(_) => ErrorCode::INVALID_REQUEST,
            Self::NotWritten(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl Code for PartitionError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotHosted => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Self::UnknownLeaderEpoch { .. } => ErrorCode::UNKNOWN_LEADER_EPOCH,
            Self::FencedLeaderEpoch { .. } => ErrorCode::FENCED_LEADER_EPOCH,
            Self::Append(error) => error.code(),
            Self::Read(error) => error.code(),
            Self::Start(error) => error.code(),
            Self::Failed | Self::Create(_) => ErrorCode::KAFKA_STORAGE_ERROR,
            Self::Record(_) => ErrorCode::MESSAGE_TOO_LARGE,
        }
    }
}

impl Code for AppendError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            Self::Sequence(error) => error.code(),
            Self::Batch(_) => ErrorCode::CORRUPT_MESSAGE,
            Self::Closed => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            Self::Read(error) => error.code(),
            _ => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl Code for SequenceError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfOrder { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            _ => ErrorCode::INVALID_PRODUCER_EPOCH,
        }
    }
}

impl Code for ReadError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            Self::Closed => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            _ => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}

impl Code for LogStartError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            Self::Closed => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            _ => ErrorCode::KAFKA_STORAGE_ERROR,
        }
    }
}
