//! Consumer groups, as Kafka's classic protocol has them: members join, one of them assigns partitions, all learn their
//! assignment, and offsets are committed under a generation.
//!
//! [`Group`] is a pure state machine: requests and the clock go in, [`Effect`]s come out. It neither waits nor writes;
//! the shard that owns the group's partition of `__consumer_offsets` carries effects out. [`Replies`] are whatever
//! answers a request later (a join waits for the others, a sync for the leader).
//!
//! Laws:
//! - every request that was taken is answered exactly once, at the latest when a timeout passes;
//! - a generation has one protocol and one leader, and only members of the present generation commit or sync;
//! - assignments are durable before any member learns its own.

mod commit;
mod join;
mod member;
mod protocol;
mod state;
mod sync;
#[cfg(test)]
mod tests;

pub use join::{JoinAnswer, JoinRequest};
pub use member::{Member, MemberSummary};
pub use state::{Effect, Group, GroupState, Timeouts};
pub use sync::{SyncAnswer, SyncRequest};

/// How a group's owner remembers whom to answer later.
pub trait Replies {
    /// Answers a join.
    type Join: std::fmt::Debug;
    /// Answers a sync.
    type Sync: std::fmt::Debug;
}

/// Why a group refuses a request. Each has its Kafka error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The member is not of this group, or was thrown out.
    #[error("unknown member")]
    UnknownMember,
    /// The generation is not the present one.
    #[error("illegal generation")]
    IllegalGeneration,
    /// The group is rebalancing: join again.
    #[error("rebalance in progress")]
    RebalanceInProgress,
    /// Join again with the member id that comes with this answer.
    #[error("member id required")]
    MemberIdRequired,
    /// The protocols have nothing in common with the group's, or the type differs.
    #[error("inconsistent group protocol")]
    InconsistentProtocol,
    /// The session timeout is outside of the allowed range.
    #[error("invalid session timeout")]
    InvalidSessionTimeout,
    /// The group's id is empty.
    #[error("invalid group id")]
    InvalidGroupId,
    /// Another member took over this instance id.
    #[error("fenced instance id")]
    FencedInstanceId,
    /// The group still has members.
    #[error("group is not empty")]
    NotEmpty,
    /// There is no such group.
    #[error("unknown group")]
    UnknownGroup,
}
