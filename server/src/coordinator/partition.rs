//! One partition of `__consumer_offsets` and the groups it holds.

use super::{
    Committed, OffsetCommit,
    expiry::CHECK_INTERVAL,
    load::{Loaded, members},
    records::{KeyValue, group_record, group_tombstone, offset_record, offset_tombstone},
};
use crate::{
    group::{
        Effect, Group, GroupError, GroupState, JoinAnswer, JoinRequest, MemberSummary, Replies, SyncAnswer,
        SyncRequest, Timeouts,
    },
    shard::{Alarm, Context},
};
use millrace_record::{Offset, Timestamp, TopicId};
use millrace_runtime::{Instant, Queue, spawn_into, timeout, unix_millis};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
};
use tokio::sync::oneshot;

/// Why the coordinator refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoordinatorError {
    /// The group's partition is another shard's, or its topic does not exist.
    #[error("not the coordinator of this group")]
    NotCoordinator,
    /// The partition is being read.
    #[error("the coordinator is loading")]
    Loading,
    /// The record could not be written: try again.
    #[error("the coordinator cannot write")]
    NotAvailable,
    /// The partition holds a record that can't be read: its groups are not served.
    #[error("the coordinator's log is damaged")]
    Damaged,
    /// What is committed or said is too long for its record.
    #[error("the record would be too large")]
    TooLarge,
    /// The group refuses.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// Joins and syncs are answered to tasks that wait for them.
#[derive(Debug)]
pub struct Waiting;

impl Replies for Waiting {
    type Join = oneshot::Sender<JoinAnswer>;
    type Sync = oneshot::Sender<Result<SyncAnswer, CoordinatorError>>;
}

/// A partition and its groups.
pub struct GroupPartition {
    pub(super) shard: Context,
    topic: TopicId,
    index: i32,
    timeouts: Timeouts,
    state: Cell<LoadState>,
    pub(super) groups: RefCell<BTreeMap<String, Entry>>,
    /// When which group wants to be ticked.
    deadlines: RefCell<BTreeSet<(Instant, String)>>,
    /// Set for the first of them.
    alarm: Alarm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoadState {
    Loading,
    Ready,
    Damaged,
}

/// A group with its offsets.
pub(super) struct Entry {
    pub(super) group: Group<Waiting>,
    /// What stands in `deadlines`.
    deadline: Option<Instant>,
    /// (topic, partition) -> what is committed and at which offset of the log that stands: commits become known in the
    /// order of the log, whichever of their tasks runs first.
    pub(super) offsets: BTreeMap<(String, i32), (Offset, Committed)>,
    /// When the group's record was last written, which is when its generation began.
    pub(super) stored_ms: Option<Timestamp>,
    /// Cloned by every commit that is on its way to the log.
    pub(super) committing: Rc<()>,
}

/// A group as an administrator sees it.
#[derive(Clone, Debug)]
pub struct GroupDescription {
    /// Where it is in its cycle.
    pub state: GroupState,
    /// The kind of protocol.
    pub protocol_type: String,
    /// The protocol of the generation.
    pub protocol: String,
    /// The members.
    pub members: Vec<MemberSummary>,
}

impl GroupPartition {
    /// Starts to read the partition; [`GroupPartition::ready`] tells when it is done.
    pub(super) fn open(shard: Context, topic: TopicId, index: i32, timeouts: Timeouts) -> Rc<Self> {
        let partition = Rc::new(Self {
            shard,
            topic,
            index,
            timeouts,
            state: Cell::new(LoadState::Loading),
            groups: RefCell::default(),
            deadlines: RefCell::default(),
            alarm: Alarm::default(),
        });
        spawn_into(Queue::Control, Rc::clone(&partition).run());
        partition
    }

    /// Whether its groups can be served.
    ///
    /// # Errors
    /// [`CoordinatorError::Loading`] or [`CoordinatorError::Damaged`].
    pub fn ready(&self) -> Result<(), CoordinatorError> {
        match self.state.get() {
            LoadState::Ready => Ok(()),
            LoadState::Loading => Err(CoordinatorError::Loading),
            LoadState::Damaged => Err(CoordinatorError::Damaged),
        }
    }

    /// Loads, then keeps the groups' time.
    async fn run(self: Rc<Self>) {
        match self.load().await {
            Ok(loaded) => self.restore(loaded),
            Err(cause) => {
                tracing::error!(partition = self.index, %cause, "cannot load consumer groups");
                self.state.set(LoadState::Damaged);
                return;
            }
        }
        let mut next_check = Instant::now() + CHECK_INTERVAL;
        loop {
            if timeout(next_check - Instant::now(), self.alarm.ring()).await.is_err() {
                self.expire().await;
                next_check = Instant::now() + CHECK_INTERVAL;
            }
            let now = Instant::now();
            let due: Vec<String> = {
                let deadlines = self.deadlines.borrow();
                deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect()
            };
            for id in due {
                self.with_group(&id, |group| group.tick(now));
            }
            self.set_alarm();
        }
    }

    async fn load(&self) -> Result<Loaded, Box<dyn std::error::Error>> {
        let mut loaded = Loaded::default();
        self.shard
            .partitions()
            .for_each_record(self.topic, self.index, |record| Ok(loaded.apply(record.key, record.value)?))
            .await?;
        Ok(loaded)
    }

    fn restore(&self, loaded: Loaded) {
        let now = Instant::now();
        let mut groups = self.groups.borrow_mut();
        for (id, value) in loaded.groups {
            let stored_ms = value.current_state_timestamp;
            let mut group = Group::new(id.clone(), self.timeouts);
            let protocol_type = (!value.protocol_type.is_empty()).then(|| value.protocol_type.clone());
            let (generation, protocol, leader) =
                (value.generation, value.protocol.clone(), value.leader.clone());
            group.restore(generation, protocol_type, protocol, leader, members(value), now);
            let mut entry = Entry::new(group);
            entry.stored_ms = Some(stored_ms).filter(|ms| *ms >= 0);
            groups.insert(id, entry);
        }
        for (id, offsets) in loaded.offsets.into_iter().filter(|(_, offsets)| !offsets.is_empty()) {
            let entry = groups.entry(id.clone()).or_insert_with(|| Entry::new(Group::new(id, self.timeouts)));
            entry.offsets = offsets.into_iter().map(|(key, committed)| (key, (-1, committed))).collect();
        }
        for (id, entry) in groups.iter_mut() {
            entry.reschedule(id, &self.deadlines);
        }
        drop(groups);
        self.state.set(LoadState::Ready);
        self.set_alarm();
    }

    /// A member joins; waits for its generation.
    pub async fn join(self: Rc<Self>, id: &str, request: JoinRequest) -> JoinAnswer {
        let (reply, answer) = oneshot::channel();
        let member_id = request.member_id.clone();
        self.make(id);
        self.with_group(id, |group| group.join(request, reply, Instant::now()));
        answer.await.unwrap_or_else(|_| JoinAnswer::refused(GroupError::UnknownMember, member_id))
    }

    /// A member asks for its assignment; waits for the leader's.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    pub async fn sync(
        self: Rc<Self>,
        id: &str,
        request: SyncRequest,
    ) -> Result<SyncAnswer, CoordinatorError> {
        let (reply, answer) = oneshot::channel();
        self.with_group(id, |group| group.sync(request, reply, Instant::now()))
            .ok_or(GroupError::UnknownMember)?;
        answer.await.unwrap_or(Err(CoordinatorError::NotAvailable))
    }

    /// A heartbeat.
    ///
    /// # Errors
    /// [`CoordinatorError::Group`].
    pub fn heartbeat(
        self: &Rc<Self>,
        id: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), CoordinatorError> {
        let heard =
            self.with_group(id, |group| group.heartbeat(member, instance, generation, Instant::now()));
        Ok(heard.unwrap_or(Err(GroupError::UnknownMember))?)
    }

    /// A member goes.
    ///
    /// # Errors
    /// [`CoordinatorError::Group`].
    pub fn leave(
        self: &Rc<Self>,
        id: &str,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), CoordinatorError> {
        let left = self.with_group(id, |group| group.leave(member, instance, Instant::now()));
        Ok(left.unwrap_or(Err(GroupError::UnknownMember))?)
    }

    /// Commits offsets, all or none, and returns when they are durable.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    pub async fn commit(
        self: Rc<Self>,
        id: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        commits: Vec<OffsetCommit>,
    ) -> Result<(), CoordinatorError> {
        // Nobody manages the membership of such a group: it is made by its first commit.
        if generation < 0 {
            self.make(id);
        }
        let allowed =
            self.with_group(id, |group| group.check_commit(member, instance, generation, Instant::now()));
        allowed.unwrap_or(Err(GroupError::IllegalGeneration))?;
        let records: Result<Vec<KeyValue>, _> =
            commits.iter().map(|commit| offset_record(id, commit)).collect();
        let records = records.map_err(|_| CoordinatorError::TooLarge)?;
        let _committing = self.groups.borrow().get(id).map(|entry| Rc::clone(&entry.committing));
        let base = self.append(records).await?;
        self.make(id);
        if let Some(entry) = self.groups.borrow_mut().get_mut(id) {
            for commit in commits {
                let known = entry.offsets.entry((commit.topic, commit.partition));
                let slot = known.or_insert_with(|| (-1, commit.committed.clone()));
                if slot.0 <= base {
                    *slot = (base, commit.committed);
                }
            }
        }
        Ok(())
    }

    /// What a group committed: of the partitions named, or of all.
    #[must_use]
    pub fn committed(
        &self,
        id: &str,
        wanted: Option<&[(String, i32)]>,
    ) -> Vec<((String, i32), Option<Committed>)> {
        let groups = self.groups.borrow();
        let offsets = groups.get(id).map(|entry| &entry.offsets);
        match wanted {
            Some(wanted) => {
                let find = |key: &(String, i32)| offsets?.get(key).map(|(_, committed)| committed.clone());
                wanted.iter().map(|key| (key.clone(), find(key))).collect()
            }
            None => {
                let all = offsets.into_iter().flatten();
                all.map(|(key, (_, committed))| (key.clone(), Some(committed.clone()))).collect()
            }
        }
    }

    /// All that all groups committed: group, place, what.
    #[must_use]
    pub fn all_committed(&self) -> Vec<(String, (String, i32), Committed)> {
        let groups = self.groups.borrow();
        let offsets =
            groups.iter().flat_map(|(id, entry)| entry.offsets.iter().map(move |found| (id, found)));
        offsets.map(|(id, (place, (_, committed)))| (id.clone(), place.clone(), committed.clone())).collect()
    }

    /// Removes a group that has no members, with its offsets.
    ///
    /// # Errors
    /// [`GroupError::NotEmpty`] or [`GroupError::UnknownGroup`] above all.
    pub async fn delete(self: Rc<Self>, id: &str) -> Result<(), CoordinatorError> {
        let records = {
            let groups = self.groups.borrow();
            let entry = groups.get(id).ok_or(GroupError::UnknownGroup)?;
            if entry.group.state() != GroupState::Empty {
                return Err(GroupError::NotEmpty.into());
            }
            let offsets =
                entry.offsets.keys().map(|(topic, partition)| offset_tombstone(id, topic, *partition));
            let records: Result<Vec<KeyValue>, _> = offsets.chain([group_tombstone(id)]).collect();
            records.map_err(|_| CoordinatorError::TooLarge)?
        };
        self.append(records).await?;
        let mut groups = self.groups.borrow_mut();
        if groups.get(id).is_some_and(|entry| entry.group.state() == GroupState::Empty) {
            groups.remove(id);
        }
        Ok(())
    }

    /// A group, if there is one.
    #[must_use]
    pub fn describe(&self, id: &str) -> Option<GroupDescription> {
        self.groups.borrow().get(id).map(|entry| GroupDescription {
            state: entry.group.state(),
            protocol_type: entry.group.protocol_type().unwrap_or_default().to_owned(),
            protocol: entry.group.protocol().unwrap_or_default().to_owned(),
            members: entry.group.members(),
        })
    }

    /// All groups, in order of id.
    #[must_use]
    pub fn groups(&self) -> Vec<(String, GroupDescription)> {
        let ids: Vec<String> = self.groups.borrow().keys().cloned().collect();
        ids.into_iter().filter_map(|id| self.describe(&id).map(|group| (id, group))).collect()
    }

    /// Lets `act` change a group, then carries out what it wants done. `None` if there is no such group.
    fn with_group<T>(self: &Rc<Self>, id: &str, act: impl FnOnce(&mut Group<Waiting>) -> T) -> Option<T> {
        let (result, effects) = {
            let mut groups = self.groups.borrow_mut();
            let entry = groups.get_mut(id)?;
            let result = act(&mut entry.group);
            let effects = entry.group.take_effects();
            entry.reschedule(id, &self.deadlines);
            (result, effects)
        };
        for effect in effects {
            match effect {
                // A client that went away before its answer is no one's fault.
                Effect::Join(reply, answer) => drop(reply.send(answer)),
                Effect::Sync(reply, answer) => drop(reply.send(Ok(answer))),
                Effect::Store(answers) => self.store(id, answers),
            }
        }
        self.forget_if_vacant(id);
        self.set_alarm();
        Some(result)
    }

    fn make(&self, id: &str) {
        let mut groups = self.groups.borrow_mut();
        groups.entry(id.to_owned()).or_insert_with(|| Entry::new(Group::new(id.to_owned(), self.timeouts)));
    }

    /// A group that never was more than a refused request leaves nothing behind.
    fn forget_if_vacant(&self, id: &str) {
        let mut groups = self.groups.borrow_mut();
        let vacant = |entry: &Entry| entry.group.is_vacant() && entry.offsets.is_empty();
        if groups.get(id).is_some_and(vacant) {
            groups.remove(id);
        }
    }

    /// Writes the group's record, then answers. The record is taken now and appended before any later one.
    fn store(
        self: &Rc<Self>,
        id: &str,
        answers: Vec<(oneshot::Sender<Result<SyncAnswer, CoordinatorError>>, SyncAnswer)>,
    ) {
        let now_ms = unix_millis();
        let record = self.groups.borrow_mut().get_mut(id).map(|entry| {
            entry.stored_ms = Some(now_ms);
            group_record(&entry.group, now_ms)
        });
        let Some(record) = record else { return };
        let appended = match record {
            Ok(record) => Some(self.append(vec![record])),
            Err(_) => None,
        };
        spawn_into(Queue::Control, async move {
            let stored = match appended {
                Some(appended) => appended.await.map(|_| ()),
                None => Err(CoordinatorError::TooLarge),
            };
            for (reply, answer) in answers {
                drop(reply.send(stored.map(|()| answer)));
            }
        });
    }

    /// Appends records in the order of calls; the future gives their first offset when they are durable.
    pub(super) fn append(
        self: &Rc<Self>,
        records: Vec<KeyValue>,
    ) -> impl Future<Output = Result<Offset, CoordinatorError>> + use<> {
        let appended = self.shard.partitions().append_records(self.topic, self.index, &records);
        let index = self.index;
        async move {
            appended.await.map_err(|cause| {
                tracing::warn!(partition = index, %cause, "cannot write to the coordinator's log");
                CoordinatorError::NotAvailable
            })
        }
    }

    fn set_alarm(&self) {
        self.alarm.set(self.deadlines.borrow().first().map(|(at, _)| *at));
    }
}

impl Entry {
    fn new(group: Group<Waiting>) -> Self {
        Self { group, deadline: None, offsets: BTreeMap::new(), stored_ms: None, committing: Rc::default() }
    }

    /// Brings `deadlines` up to what the group says now.
    fn reschedule(&mut self, id: &str, deadlines: &RefCell<BTreeSet<(Instant, String)>>) {
        let next = self.group.next_deadline();
        if next == self.deadline {
            return;
        }
        let mut deadlines = deadlines.borrow_mut();
        if let Some(old) = self.deadline {
            deadlines.remove(&(old, id.to_owned()));
        }
        if let Some(next) = next {
            deadlines.insert((next, id.to_owned()));
        }
        self.deadline = next;
    }
}

impl fmt::Debug for GroupPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupPartition({})", self.index)
    }
}
