//! The group itself: its state, timers, and the rebalance that takes it from one generation to the next.

use super::{
    GroupError, JoinAnswer, Member, MemberSummary, Replies, SyncAnswer,
    protocol::{choose, compatible},
};
use millrace_runtime::Instant;
use std::{collections::BTreeMap, time::Duration};

/// Where a group is in its cycle. The names are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// No members; it may have committed offsets.
    Empty,
    /// Waiting for members to join.
    PreparingRebalance,
    /// Members have joined; waiting for the leader's assignment.
    CompletingRebalance,
    /// Everyone knows its assignment.
    Stable,
}

impl GroupState {
    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What the group wants done, in order.
#[derive(Debug)]
pub enum Effect<R: Replies> {
    /// Answer a join.
    Join(R::Join, JoinAnswer),
    /// Answer a sync.
    Sync(R::Sync, SyncAnswer),
    /// Write the group's record (its generation and assignments), and answer these syncs only when it is durable. If it
    /// can't be written they are to join again.
    Store(Vec<(R::Sync, SyncAnswer)>),
}

/// The coordinator's bounds on what members ask for.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// The shortest session timeout.
    pub session_min: Duration,
    /// The longest session timeout.
    pub session_max: Duration,
    /// How long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
}

/// A consumer group.
#[derive(Debug)]
pub struct Group<R: Replies> {
    /// Its id.
    pub id: String,
    pub(super) state: GroupState,
    pub(super) generation: i32,
    /// What kind of protocol its members speak ("consumer", "connect"); none before the first joined.
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member<R>>,
    /// Ids handed out to members that have yet to join with them, and when they lapse.
    pub(super) pending: BTreeMap<String, Instant>,
    /// Instance id -> member id of static members.
    pub(super) instances: BTreeMap<String, String>,
    pub(super) timeouts: Timeouts,
    /// When the present rebalance ends, whoever has joined by then.
    rebalance_ends: Instant,
    /// The first rebalance of an empty group waits for more members until here, and at the latest until
    /// `rebalance_ends`, although all known ones have joined.
    gathering_until: Option<Instant>,
    pub(super) effects: Vec<Effect<R>>,
}

impl<R: Replies> Group<R> {
    /// A group without members.
    #[must_use]
    pub fn new(id: String, timeouts: Timeouts) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            instances: BTreeMap::new(),
            timeouts,
            rebalance_ends: Instant::from_nanos(0),
            gathering_until: None,
            effects: Vec::new(),
        }
    }

    /// Rebuilds a group from its record after a restart. Its members get a whole session to be heard of.
    pub fn restore(
        &mut self,
        generation: i32,
        protocol_type: Option<String>,
        protocol: Option<String>,
        leader: Option<String>,
        members: Vec<MemberSummary>,
        now: Instant,
    ) {
        self.state = if members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.generation = generation;
        self.protocol_type = protocol_type;
        self.leader = leader;
        self.members.clear();
        self.instances.clear();
        for member in members {
            if let Some(instance) = &member.instance_id {
                self.instances.insert(instance.clone(), member.id.clone());
            }
            let protocols = protocol.iter().map(|name| (name.clone(), member.metadata.clone())).collect();
            let restored = Member {
                id: member.id.clone(),
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                session_timeout: member.session_timeout,
                rebalance_timeout: member.rebalance_timeout,
                protocols,
                assignment: member.assignment,
                session_ends: now + member.session_timeout,
                awaiting_join: None,
                awaiting_sync: None,
            };
            self.members.insert(member.id, restored);
        }
        self.protocol = protocol;
    }

    /// Where the group is in its cycle.
    #[must_use]
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// Whether it never had a generation and nobody is about to join: nothing would be lost with it.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.state == GroupState::Empty
            && self.generation == 0
            && self.members.is_empty()
            && self.pending.is_empty()
    }

    /// The present generation; 0 before the first.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The kind of protocol its members speak.
    #[must_use]
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The protocol of the present generation.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The member that assigns.
    #[must_use]
    pub fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// The members, in order of id.
    #[must_use]
    pub fn members(&self) -> Vec<MemberSummary> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.members.values().map(|member| member.summary(protocol)).collect()
    }

    /// What is to be done since the last call.
    #[must_use = "effects answer requests: dropping them leaves clients waiting"]
    pub fn take_effects(&mut self) -> Vec<Effect<R>> {
        std::mem::take(&mut self.effects)
    }

    /// When [`Group::tick`] wants to be called next, if ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let sessions =
            self.members.values().filter(|member| !member.waits()).map(|member| member.session_ends);
        let pending = self.pending.values().copied();
        let rebalance = match self.state {
            GroupState::PreparingRebalance => {
                Some(self.gathering_until.map_or(self.rebalance_ends, |until| until.min(self.rebalance_ends)))
            }
            GroupState::CompletingRebalance => Some(self.rebalance_ends),
            GroupState::Empty | GroupState::Stable => None,
        };
        sessions.chain(pending).chain(rebalance).min()
    }

    /// Does what is due: throws out members that were silent for too long and ends rebalances that took too long.
    pub fn tick(&mut self, now: Instant) {
        self.pending.retain(|_, lapses| *lapses > now);
        let silent: Vec<String> = self
            .members
            .values()
            .filter(|member| !member.waits() && member.session_ends <= now)
            .map(|member| member.id.clone())
            .collect();
        for id in silent {
            self.remove(&id, now);
        }
        match self.state {
            GroupState::PreparingRebalance => self.try_complete_join(now),
            GroupState::CompletingRebalance if self.rebalance_ends <= now => self.abandon_unsynced(now),
            GroupState::CompletingRebalance | GroupState::Empty | GroupState::Stable => {}
        }
    }

    /// A heartbeat of a member.
    ///
    /// # Errors
    /// [`GroupError`]: among them [`GroupError::RebalanceInProgress`], which asks the member to join again.
    pub fn heartbeat(
        &mut self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), GroupError> {
        self.check_member(id, instance_id, generation)?;
        if let Some(member) = self.members.get_mut(id) {
            member.heard(now);
        }
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// A member goes, named by its id or, if it is static, by its instance id.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`] or [`GroupError::FencedInstanceId`].
    pub fn leave(&mut self, id: &str, instance_id: Option<&str>, now: Instant) -> Result<(), GroupError> {
        let id = match instance_id {
            Some(instance) => {
                let known = self.instances.get(instance).ok_or(GroupError::UnknownMember)?;
                if !id.is_empty() && known != id {
                    return Err(GroupError::FencedInstanceId);
                }
                known.clone()
            }
            None => id.to_owned(),
        };
        if self.pending.remove(&id).is_some() {
            if self.state == GroupState::PreparingRebalance {
                self.try_complete_join(now);
            }
            return Ok(());
        }
        if !self.members.contains_key(&id) {
            return Err(GroupError::UnknownMember);
        }
        self.remove(&id, now);
        Ok(())
    }

    /// That `id` is a member, not fenced, of the present generation.
    pub(super) fn check_member(
        &self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance_id {
            match self.instances.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(known) if known != id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if !self.members.contains_key(id) {
            return Err(GroupError::UnknownMember);
        }
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        Ok(())
    }

    /// Whether `protocols` of kind `protocol_type` go together with the members there are.
    pub(super) fn accepts(&self, protocol_type: &str, protocols: &[(String, bytes::Bytes)]) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        self.protocol_type.as_deref() == Some(protocol_type) && compatible(self.members.values(), protocols)
    }

    /// Takes a member out, answers what it waits for, and rebalances if others remain.
    fn remove(&mut self, id: &str, now: Instant) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        if let Some(reply) = member.awaiting_join {
            let answer = JoinAnswer::refused(GroupError::UnknownMember, member.id.clone());
            self.effects.push(Effect::Join(reply, answer));
        }
        if let Some(reply) = member.awaiting_sync {
            self.effects.push(Effect::Sync(reply, SyncAnswer::refused(GroupError::UnknownMember)));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = None;
        }
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(now),
            GroupState::PreparingRebalance => self.try_complete_join(now),
            GroupState::Empty => {}
        }
    }

    /// Asks everyone to join again.
    pub(super) fn prepare_rebalance(&mut self, now: Instant) {
        self.refuse_syncs(GroupError::RebalanceInProgress, now);
        let longest = self.members.values().map(|member| member.rebalance_timeout).max();
        let longest = longest.unwrap_or(Duration::ZERO);
        // The first members of an empty group wait a little for their companions, which mostly start together.
        let first = self.state == GroupState::Empty;
        self.gathering_until = first.then(|| now + self.timeouts.initial_rebalance_delay.min(longest));
        self.rebalance_ends = now + longest;
        self.state = GroupState::PreparingRebalance;
        self.try_complete_join(now);
    }

    /// One more member joined while the first members are gathering: wait for others a little longer.
    pub(super) fn keep_gathering(&mut self, now: Instant) {
        if let Some(until) = &mut self.gathering_until {
            *until = (now + self.timeouts.initial_rebalance_delay).min(self.rebalance_ends);
        }
    }

    /// Ends the joining phase if nobody is missing or the time is over.
    pub(super) fn try_complete_join(&mut self, now: Instant) {
        let over = self.rebalance_ends <= now;
        let gathering = self.gathering_until.is_some_and(|until| until > now);
        let missing =
            !self.pending.is_empty() || self.members.values().any(|member| member.awaiting_join.is_none());
        if over || (!gathering && !missing) {
            self.complete_join(now);
        }
    }

    /// Begins the next generation with those who joined.
    fn complete_join(&mut self, now: Instant) {
        self.gathering_until = None;
        // Static members that did not come back stay until their session ends; others are out.
        let gone: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in gone {
            self.members.remove(&id);
            if self.leader.as_ref() == Some(&id) {
                self.leader = None;
            }
        }
        self.generation = if self.generation == i32::MAX { 1 } else { self.generation + 1 };
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            self.protocol = None;
            self.leader = None;
            self.effects.push(Effect::Store(Vec::new()));
            return;
        }
        let joined = |member: &&Member<R>| member.awaiting_join.is_some();
        let leader_joined =
            self.leader.as_ref().and_then(|id| self.members.get(id)).is_some_and(|m| joined(&m));
        if !leader_joined {
            let next = self.members.values().find(joined).map(|member| member.id.clone());
            // Only absent static members are left: wait for one of them, or for their sessions to end.
            let Some(next) = next else {
                self.rebalance_ends = now + self.longest_rebalance();
                return;
            };
            self.leader = Some(next);
        }
        self.protocol = choose(self.members.values());
        self.state = GroupState::CompletingRebalance;
        self.rebalance_ends = now + self.longest_rebalance();
        self.answer_joins(now);
    }

    fn longest_rebalance(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or(Duration::ZERO)
    }

    fn answer_joins(&mut self, now: Instant) {
        let waiting: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_some())
            .map(|member| member.id.clone())
            .collect();
        for id in waiting {
            let answer = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.heard(now);
                if let Some(reply) = member.awaiting_join.take() {
                    self.effects.push(Effect::Join(reply, answer));
                }
            }
        }
    }

    /// The leader did not assign in time: those that have not synced are out, the rest rebalances.
    fn abandon_unsynced(&mut self, now: Instant) {
        let silent: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_sync.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in silent {
            if let Some(member) = self.members.remove(&id)
                && let Some(instance) = member.instance_id
            {
                self.instances.remove(&instance);
            }
            if self.leader.as_ref() == Some(&id) {
                self.leader = None;
            }
        }
        self.prepare_rebalance(now);
    }

    fn refuse_syncs(&mut self, error: GroupError, now: Instant) {
        for member in self.members.values_mut() {
            if let Some(reply) = member.awaiting_sync.take() {
                member.heard(now);
                self.effects.push(Effect::Sync(reply, SyncAnswer::refused(error)));
            }
        }
    }
}
