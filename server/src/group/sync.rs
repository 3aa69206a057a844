//! Handing out assignments.

use super::{Effect, Group, GroupError, GroupState, Replies};
use bytes::Bytes;
use millrace_runtime::Instant;

/// A request for one's assignment; the leader's brings everyone's.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The member's id.
    pub member_id: String,
    /// The id of a static member.
    pub instance_id: Option<String>,
    /// The generation it joined.
    pub generation: i32,
    /// The kind of protocol it takes the group to speak, if it says so.
    pub protocol_type: Option<String>,
    /// The protocol it takes the generation to have, if it says so.
    pub protocol: Option<String>,
    /// From the leader: member id and assignment.
    pub assignments: Vec<(String, Bytes)>,
}

/// The answer to a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncAnswer {
    /// Why it was refused, if it was.
    pub error: Option<GroupError>,
    /// The group's kind of protocol.
    pub protocol_type: Option<String>,
    /// The protocol of the generation.
    pub protocol: Option<String>,
    /// What the leader gave the member.
    pub assignment: Bytes,
}

impl SyncAnswer {
    /// A refusal.
    #[must_use]
    pub fn refused(error: GroupError) -> Self {
        Self { error: Some(error), protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

impl<R: Replies> Group<R> {
    /// A member asks for its assignment. The answer comes as an [`Effect`], when the leader has assigned and the
    /// assignment is durable.
    pub fn sync(&mut self, request: SyncRequest, reply: R::Sync, now: Instant) {
        if let Err(error) = self.check_sync(&request) {
            self.effects.push(Effect::Sync(reply, SyncAnswer::refused(error)));
            return;
        }
        let id = request.member_id;
        match self.state {
            GroupState::Empty => {
                self.effects.push(Effect::Sync(reply, SyncAnswer::refused(GroupError::UnknownMember)));
            }
            GroupState::PreparingRebalance => {
                self.effects.push(Effect::Sync(reply, SyncAnswer::refused(GroupError::RebalanceInProgress)));
            }
            GroupState::Stable => {
                let answer = self.synced(&id);
                if let Some(member) = self.members.get_mut(&id) {
                    member.heard(now);
                }
                self.effects.push(Effect::Sync(reply, answer));
            }
            GroupState::CompletingRebalance => {
                let Some(member) = self.members.get_mut(&id) else { return };
                if let Some(earlier) = member.awaiting_sync.replace(reply) {
                    let answer = SyncAnswer::refused(GroupError::RebalanceInProgress);
                    self.effects.push(Effect::Sync(earlier, answer));
                }
                if self.leader.as_ref() == Some(&id) {
                    self.assign(request.assignments, now);
                }
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.instance_id.as_deref(), request.generation)?;
        let differs = |asked: &Option<String>, ours: &Option<String>| asked.is_some() && asked != ours;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    /// The leader has spoken: everyone who waits is answered once the assignment is stored.
    fn assign(&mut self, assignments: Vec<(String, Bytes)>, now: Instant) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        for (id, assignment) in assignments {
            // Members that left meanwhile are none of ours any more.
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.state = GroupState::Stable;
        let ids: Vec<String> = self.members.keys().cloned().collect();
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let answer = self.synced(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            if let Some(reply) = member.awaiting_sync.take() {
                member.heard(now);
                answers.push((reply, answer));
            }
        }
        self.effects.push(Effect::Store(answers));
    }

    fn synced(&self, id: &str) -> SyncAnswer {
        SyncAnswer {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(id).map_or_else(Bytes::new, |member| member.assignment.clone()),
        }
    }
}
