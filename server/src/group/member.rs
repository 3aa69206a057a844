//! One member of a group.

use super::Replies;
use bytes::Bytes;
use millrace_runtime::Instant;
use std::time::Duration;

/// A member and what it waits for.
#[derive(Debug)]
pub struct Member<R: Replies> {
    /// The id the coordinator gave it.
    pub id: String,
    /// The id that survives restarts of a static member.
    pub instance_id: Option<String>,
    /// The client's name for itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// How long it may take to join again when the group rebalances.
    pub rebalance_timeout: Duration,
    /// What it can do, best first, with its metadata for each.
    pub protocols: Vec<(String, Bytes)>,
    /// What the leader gave it.
    pub assignment: Bytes,
    /// When it is thrown out unless it is heard of. Stands still while it waits for an answer of ours.
    pub(super) session_ends: Instant,
    pub(super) awaiting_join: Option<R::Join>,
    pub(super) awaiting_sync: Option<R::Sync>,
}

/// A member as described to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSummary {
    /// The id the coordinator gave it.
    pub id: String,
    /// The id of a static member.
    pub instance_id: Option<String>,
    /// The client's name for itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// Its metadata for the group's protocol.
    pub metadata: Bytes,
    /// What the leader gave it.
    pub assignment: Bytes,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// How long it may take to join again.
    pub rebalance_timeout: Duration,
}

impl<R: Replies> Member<R> {
    /// Whether it can do `protocol`.
    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Its metadata for `protocol`; empty if it has none.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }

    /// Starts its session anew.
    pub(super) fn heard(&mut self, now: Instant) {
        self.session_ends = now + self.session_timeout;
    }

    /// Whether we owe it an answer: it is then alive by definition.
    pub(super) fn waits(&self) -> bool {
        self.awaiting_join.is_some() || self.awaiting_sync.is_some()
    }

    pub(super) fn summary(&self, protocol: &str) -> MemberSummary {
        MemberSummary {
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: self.metadata(protocol),
            assignment: self.assignment.clone(),
            session_timeout: self.session_timeout,
            rebalance_timeout: self.rebalance_timeout,
        }
    }
}
