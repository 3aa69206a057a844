//! Joining a group.

use super::{Effect, Group, GroupError, GroupState, Member, Replies};
use bytes::Bytes;
use millrace_runtime::{Instant, random_bytes};
use std::time::Duration;

/// A request to join.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The id from an earlier answer; empty at first.
    pub member_id: String,
    /// The id of a static member.
    pub instance_id: Option<String>,
    /// The client's name for itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// How long it may take to join again when the group rebalances.
    pub rebalance_timeout: Duration,
    /// The kind of protocol: "consumer".
    pub protocol_type: String,
    /// What it can do, best first, with its metadata for each.
    pub protocols: Vec<(String, Bytes)>,
    /// A first join is answered with an id to come back with, so that a client which dies between leaves no member
    /// behind (version 4 of the request and above).
    pub requires_known_id: bool,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinAnswer {
    /// Why it was refused, if it was.
    pub error: Option<GroupError>,
    /// The generation it joined; -1 if refused.
    pub generation: i32,
    /// The group's kind of protocol.
    pub protocol_type: Option<String>,
    /// The protocol of the generation.
    pub protocol: Option<String>,
    /// Who assigns.
    pub leader: String,
    /// The leader is to keep the assignment there is (a static leader that came back).
    pub skip_assignment: bool,
    /// The leader's id before it came back, if it is to keep the assignment.
    pub former_leader: Option<String>,
    /// The joining member's id.
    pub member_id: String,
    /// For the leader: all members with their metadata; empty for others.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

impl JoinAnswer {
    /// A refusal.
    #[must_use]
    pub fn refused(error: GroupError, member_id: String) -> Self {
        Self {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            skip_assignment: false,
            former_leader: None,
            member_id,
            members: Vec::new(),
        }
    }
}

impl<R: Replies> Group<R> {
    /// A member joins. The answer comes as an [`Effect::Join`], mostly when all others have joined too.
    pub fn join(&mut self, request: JoinRequest, reply: R::Join, now: Instant) {
        if let Err(error) = self.admit(&request) {
            self.effects.push(Effect::Join(reply, JoinAnswer::refused(error, request.member_id)));
            return;
        }
        let known_instance =
            request.instance_id.as_ref().and_then(|instance| self.instances.get(instance)).cloned();
        match known_instance {
            Some(old) if request.member_id.is_empty() => self.replace_static(&old, request, reply, now),
            Some(known) if known != request.member_id => {
                let answer = JoinAnswer::refused(GroupError::FencedInstanceId, request.member_id);
                self.effects.push(Effect::Join(reply, answer));
            }
            _ if request.member_id.is_empty() => self.join_first(request, reply, now),
            _ if self.pending.remove(&request.member_id).is_some() => {
                let id = request.member_id.clone();
                self.add(id, request, reply, now);
            }
            _ if self.members.contains_key(&request.member_id) => self.join_again(request, reply, now),
            _ => {
                let answer = JoinAnswer::refused(GroupError::UnknownMember, request.member_id);
                self.effects.push(Effect::Join(reply, answer));
            }
        }
    }

    fn admit(&self, request: &JoinRequest) -> Result<(), GroupError> {
        if self.id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let allowed = self.timeouts.session_min..=self.timeouts.session_max;
        if !allowed.contains(&request.session_timeout) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        if !self.accepts(&request.protocol_type, &request.protocols) {
            return Err(GroupError::InconsistentProtocol);
        }
        Ok(())
    }

    fn join_first(&mut self, request: JoinRequest, reply: R::Join, now: Instant) {
        let id = new_member_id(request.instance_id.as_deref().unwrap_or(&request.client_id));
        if request.requires_known_id && request.instance_id.is_none() {
            self.pending.insert(id.clone(), now + request.session_timeout);
            let answer = JoinAnswer::refused(GroupError::MemberIdRequired, id);
            self.effects.push(Effect::Join(reply, answer));
            return;
        }
        self.add(id, request, reply, now);
    }

    fn add(&mut self, id: String, request: JoinRequest, reply: R::Join, now: Instant) {
        if let Some(instance) = &request.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.members.insert(id.clone(), member(id, request, reply, now));
        self.keep_gathering(now);
        if self.state == GroupState::PreparingRebalance {
            self.try_complete_join(now);
        } else {
            self.prepare_rebalance(now);
        }
    }

    /// A member that we know: a rejoin because we asked for one, because it changed its mind, or because an answer of
    /// ours was lost.
    fn join_again(&mut self, request: JoinRequest, reply: R::Join, now: Instant) {
        let id = request.member_id.clone();
        let Some(member) = self.members.get_mut(&id) else { return };
        member.heard(now);
        let changed = member.protocols != request.protocols;
        let is_leader = self.leader.as_ref() == Some(&id);
        match self.state {
            GroupState::CompletingRebalance if !changed => {
                let answer = self.joined(&id);
                self.effects.push(Effect::Join(reply, answer));
            }
            GroupState::Stable if !changed && !is_leader => {
                let answer = self.joined(&id);
                self.effects.push(Effect::Join(reply, answer));
            }
            GroupState::PreparingRebalance => {
                self.update(&id, request, reply);
                self.try_complete_join(now);
            }
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.update(&id, request, reply);
                self.prepare_rebalance(now);
            }
        }
    }

    fn update(&mut self, id: &str, request: JoinRequest, reply: R::Join) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.protocols = request.protocols;
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        member.client_id = request.client_id;
        member.client_host = request.client_host;
        // The client gave up on its earlier request, or it would not ask again.
        if let Some(earlier) = member.awaiting_join.replace(reply) {
            let answer = JoinAnswer::refused(GroupError::RebalanceInProgress, id.to_owned());
            self.effects.push(Effect::Join(earlier, answer));
        }
    }

    /// A static member restarted: it takes the place, and in a stable group the assignment, of its former self, which
    /// is fenced.
    fn replace_static(&mut self, old: &str, request: JoinRequest, reply: R::Join, now: Instant) {
        let Some(mut former) = self.members.remove(old) else { return };
        let id = new_member_id(request.instance_id.as_deref().unwrap_or_default());
        if let Some(fenced) = former.awaiting_join.take() {
            let answer = JoinAnswer::refused(GroupError::FencedInstanceId, old.to_owned());
            self.effects.push(Effect::Join(fenced, answer));
        }
        if let Some(fenced) = former.awaiting_sync.take() {
            let answer = super::SyncAnswer::refused(GroupError::FencedInstanceId);
            self.effects.push(Effect::Sync(fenced, answer));
        }
        if let Some(instance) = &request.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        let was_leader = self.leader.as_deref() == Some(old);
        if was_leader {
            self.leader = Some(id.clone());
        }
        let unchanged = former.protocols == request.protocols;
        let mut successor = member(id.clone(), request, reply, now);
        successor.assignment = former.assignment;
        match self.state {
            GroupState::Stable if unchanged => {
                let reply = successor.awaiting_join.take();
                self.members.insert(id.clone(), successor);
                let mut answer = self.joined(&id);
                answer.skip_assignment = was_leader;
                answer.former_leader = was_leader.then(|| old.to_owned());
                if let Some(reply) = reply {
                    // The new id must outlive a restart of ours, or its holder would be a stranger after it.
                    self.effects.push(Effect::Store(Vec::new()));
                    self.effects.push(Effect::Join(reply, answer));
                }
            }
            GroupState::PreparingRebalance => {
                self.members.insert(id, successor);
                self.try_complete_join(now);
            }
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.insert(id, successor);
                self.prepare_rebalance(now);
            }
        }
    }

    /// The answer to a member of the present generation.
    pub(super) fn joined(&self, id: &str) -> JoinAnswer {
        let protocol = self.protocol.clone().unwrap_or_default();
        let is_leader = self.leader.as_deref() == Some(id);
        let members = if is_leader {
            let all = self.members.values();
            all.map(|member| (member.id.clone(), member.instance_id.clone(), member.metadata(&protocol)))
                .collect()
        } else {
            Vec::new()
        };
        JoinAnswer {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: Some(protocol),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            former_leader: None,
            member_id: id.to_owned(),
            members,
        }
    }
}

fn member<R: Replies>(id: String, request: JoinRequest, reply: R::Join, now: Instant) -> Member<R> {
    Member {
        id,
        instance_id: request.instance_id,
        client_id: request.client_id,
        client_host: request.client_host,
        session_timeout: request.session_timeout,
        rebalance_timeout: request.rebalance_timeout,
        protocols: request.protocols,
        assignment: Bytes::new(),
        session_ends: now + request.session_timeout,
        awaiting_join: Some(reply),
        awaiting_sync: None,
    }
}

/// `prefix-UUID`, as Kafka names members.
fn new_member_id(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Builder::from_random_bytes(random_bytes()).into_uuid())
}
