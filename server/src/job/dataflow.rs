//! A shard's part in dataflow: its worker, what goes in and out of it, and the shard's votes.
//!
//! One task steps the worker and carries off what it says; another takes the messages of epochs. Nothing here waits for a disk
//! or for another shard: what does is a task of its own, which delivers its answer to the worker and wakes it.

mod staging;

use super::{
    Applied, Commits, changelog, failure,
    message::{AttemptFailed, EpochMessage},
    restore::ChangelogReader,
    source::{self, Places},
};
use crate::shard::{Alarm, Context};
use futures_util::future::{Either, select};
use millrace_engine::{
    epoch::{
        Attempt, AttemptRecord, Control, Epoch, JobId, Mark, Participant, ParticipantAction, Refused,
        SourceId, TaskDone,
    },
    key::Placement,
    metrics::JobMetrics,
    plan::Plan,
    sink::StagedAppend,
    source::{Demand, SplitSpec},
    table::UNRESOLVED_MAX,
    task::Watch,
    worker::{Deployment, Inbound, Now, Outbound, Pace, Passed, ShardMessage, Worker},
};
use millrace_record::TopicId;
use millrace_runtime::{Instant, JoinHandle, Port, Queue, ShardId, spawn_into, yield_now};
use staging::Announcement;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    fmt,
    pin::pin,
    rc::Rc,
};
use tokio::sync::Notify;

/// The shard that coordinates epochs and jobs.
pub const CONTROLLER: ShardId = ShardId(0);

/// A shard's dataflow. Clones are the same.
#[derive(Clone)]
pub struct Dataflow(Rc<Inner>);

struct Inner {
    shard: ShardId,
    frames: Port<ShardMessage>,
    epochs: Port<EpochMessage>,
    worker: RefCell<Worker>,
    participant: RefCell<Participant>,
    prepared: RefCell<BTreeMap<JobId, Prepared>>,
    running: RefCell<BTreeMap<JobId, Running>>,
    /// Ticks that came while commits before them are being applied here.
    held_ticks: RefCell<VecDeque<Tick>>,
    /// For what sources read of other shards.
    places: Places,
    wake: Notify,
    alarm: Alarm,
    is_stopped: Cell<bool>,
}

/// An epoch that ends for these jobs.
struct Tick {
    epoch: Epoch,
    jobs: Vec<(JobId, Attempt)>,
}

/// What a shard is told of an attempt before it begins.
pub struct Prepared {
    /// The plan, built here.
    pub plan: Plan,
    /// How it is put to work. The attempt is filled in when it begins.
    pub deployment: Deployment,
    /// The topic of the job's changelog.
    pub changelog: TopicId,
    /// The partitions that its sources read, over all shards.
    pub known: Known,
    /// The job's last attempt when this was prepared: it is for a later one.
    pub after: Attempt,
}

/// How many partitions of each source's topic an attempt reads.
pub type Known = BTreeMap<(SourceId, TopicId), i32>;

/// An attempt with tasks on this shard.
struct Running {
    attempt: Attempt,
    participants: Vec<ShardId>,
    changelog: TopicId,
    /// Batches of tasks that have not passed their barrier yet.
    appends: BTreeMap<Mark, Vec<StagedAppend>>,
    /// Tasks that have passed a barrier that others have not.
    passed: Vec<Announcement>,
    /// Demands that wait for records.
    demands: BTreeMap<(SourceId, TopicId, i32), JoinHandle<()>>,
    restoring: Option<JoinHandle<()>>,
    placement: Placement,
    known: Known,
    has_failed: bool,
}

impl Dataflow {
    /// A shard without jobs.
    #[must_use]
    pub fn new(shard: ShardId, shards: u16, frames: Port<ShardMessage>, epochs: Port<EpochMessage>) -> Self {
        Self(Rc::new(Inner {
            shard,
            frames,
            epochs,
            worker: RefCell::new(Worker::new(shard, Now::read(), Instant::now)),
            participant: RefCell::new(Participant::new(shard, UNRESOLVED_MAX)),
            prepared: RefCell::default(),
            running: RefCell::default(),
            held_ticks: RefCell::default(),
            places: Places::new(shards),
            wake: Notify::new(),
            alarm: Alarm::default(),
            is_stopped: Cell::new(false),
        }))
    }

    /// Starts to work and to listen, for the life of the shard.
    pub fn start(&self, shard: &Context) {
        drop(spawn_into(Queue::Dataflow, self.clone().work(shard.clone())));
        drop(spawn_into(Queue::Control, self.clone().listen(shard.clone())));
    }

    /// Works no more. What is not committed is made again after the next start.
    pub fn stop(&self) {
        self.0.is_stopped.set(true);
        for (_, mut running) in std::mem::take(&mut *self.0.running.borrow_mut()) {
            running.cancel();
        }
        self.0.wake.notify_one();
    }

    /// What a watchdog may look at from another thread.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.0.worker.borrow().watch()
    }

    /// Figures of the jobs on this shard.
    #[must_use]
    pub fn metrics(&self) -> Vec<JobMetrics> {
        self.0.worker.borrow().metrics()
    }

    /// Keeps what an attempt is to begin with.
    pub fn prepare(&self, job: JobId, prepared: Prepared) {
        self.0.prepared.borrow_mut().insert(job, prepared);
    }

    /// A topic may have more partitions: sources that read it read those of this shard too, from their start.
    pub fn partitions_added(&self, shard: &Context) {
        let mut added = Vec::new();
        for (job, running) in &mut *self.0.running.borrow_mut() {
            let splits = running.add_partitions(shard);
            if !splits.is_empty() {
                added.push(Inbound::Splits { job: *job, splits });
            }
        }
        added.into_iter().for_each(|message| self.deliver(message));
    }

    /// Commits were applied on this shard.
    pub fn applied(&self, applied: Applied<'_>, commits: &Commits) {
        match applied {
            Applied::Entry(entry) => {
                self.0.participant.borrow_mut().committed(entry);
                self.deliver(Inbound::Committed { job: entry.job, epoch: entry.epoch });
            }
            Applied::Through(_) => self.tick(commits),
        }
    }

    /// Has sources put the barriers that are due. The coordinator counts an epoch as resolved when it is in the commit log,
    /// tables when it is applied here: a barrier that overtook the latter would be one too many for them.
    fn tick(&self, commits: &Commits) {
        while commits.is_ready()
            && let Some(Tick { epoch, jobs }) = self.0.held_ticks.borrow_mut().pop_front()
        {
            for (job, attempt) in jobs {
                self.0.participant.borrow_mut().tick(job, attempt, epoch);
                self.deliver(Inbound::Barrier { job, attempt, epoch });
            }
        }
    }

    /// Sends a message to a shard. The coordinator's own go through [`Dataflow::try_send`].
    fn send(&self, to: ShardId, message: EpochMessage) {
        self.0.epochs.send(to, message);
    }

    /// Sends a message, or gives it back if the ring is full: the receiver is far behind.
    ///
    /// # Errors
    /// The message.
    pub fn try_send(&self, to: ShardId, message: EpochMessage) -> Result<(), EpochMessage> {
        self.0.epochs.try_send(to, message)
    }

    fn deliver(&self, message: Inbound) {
        self.0.worker.borrow_mut().deliver(message);
        self.0.wake.notify_one();
    }

    async fn work(self, shard: Context) {
        let (mut outbox, mut pace) = (Vec::new(), Pace::default());
        while !self.0.is_stopped.get() {
            while let Some((_, message)) = self.0.frames.try_recv() {
                self.0.worker.borrow_mut().deliver(Inbound::Shard(message));
            }
            self.carry(&shard, &mut outbox);
            let now = Now::read();
            let outcome = self.0.worker.borrow_mut().step(pace.budget(), now);
            pace.note(outcome.records, now.monotonic.elapsed());
            self.carry(&shard, &mut outbox);
            if outcome.more {
                yield_now().await;
                continue;
            }
            self.0.alarm.set(outcome.next_deadline);
            let (wake, alarm) = (pin!(self.0.wake.notified()), pin!(self.0.alarm.ring()));
            let frame = pin!(self.0.frames.recv());
            if let Either::Left(((_, message), _)) = select(frame, select(wake, alarm)).await {
                self.0.worker.borrow_mut().deliver(Inbound::Shard(message));
            }
        }
    }

    /// Carries off what the worker has to say, and what it says to the answers.
    fn carry(&self, shard: &Context, outbox: &mut Vec<Outbound>) {
        loop {
            outbox.extend(self.0.worker.borrow_mut().drain_outbox());
            if outbox.is_empty() {
                return;
            }
            for message in outbox.drain(..) {
                match message {
                    Outbound::Shard { to, message } => self.0.frames.send(to, message),
                    Outbound::Demand(demand) => self.demand(shard, demand),
                    Outbound::Worked { job, .. } => {
                        let mut actions = Vec::new();
                        self.0.participant.borrow_mut().worked(job, &mut actions);
                        self.perform(actions);
                    }
                    Outbound::Append(append) => {
                        if let Some(running) = self.0.running.borrow_mut().get_mut(&append.mark.job) {
                            running.appends.entry(append.mark).or_default().push(append);
                        }
                    }
                    Outbound::Sealed(sealed) => self.sealed(shard, sealed),
                    Outbound::Passed(passed) => self.passed(passed),
                    Outbound::Failed(failure) => {
                        let reason = failure::reason(&failure, &shard.image());
                        self.fail(failure.job, failure.attempt, reason);
                    }
                }
            }
        }
    }

    /// Answers a demand: now, if the records are in memory, else when they are there.
    fn demand(&self, shard: &Context, demand: Demand) {
        if self.of(&mut self.0.running.borrow_mut(), demand.job, demand.attempt).is_none() {
            return;
        }
        match source::answer_now(shard, &demand) {
            Ok(Some(data)) => return self.0.worker.borrow_mut().deliver(Inbound::Source(data)),
            Ok(None) => {}
            Err(error) => return self.fail(demand.job, demand.attempt, unreadable(shard, &demand, &error)),
        }
        let (dataflow, there) = (self.clone(), shard.clone());
        let waiting = spawn_into(Queue::Dataflow, async move {
            match source::answer(&there, &dataflow.0.places, demand).await {
                Ok(data) => dataflow.deliver(Inbound::Source(data)),
                Err(error) => dataflow.fail(demand.job, demand.attempt, unreadable(&there, &demand, &error)),
            }
        });
        if let Some(running) = self.of(&mut self.0.running.borrow_mut(), demand.job, demand.attempt) {
            running.demands.insert((demand.source, demand.topic, demand.partition), waiting);
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: the job's, on this shard")]
    fn of<'a>(
        &self,
        running: &'a mut BTreeMap<JobId, Running>,
        job: JobId,
        attempt: Attempt,
    ) -> Option<&'a mut Running> {
        running.get_mut(&job).filter(|running| running.attempt == attempt)
    }

    /// All tasks of this shard have passed a barrier: every participant is told what to wait for.
    fn passed(&self, passed: Passed) {
        let mut guard = self.0.running.borrow_mut();
        let Some(running) = self.of(&mut guard, passed.job, passed.attempt) else { return };
        let is_of = |announcement: &Announcement| announcement.done.mark.epoch == passed.epoch;
        let (done, rest) = std::mem::take(&mut running.passed).into_iter().partition::<Vec<_>, _>(is_of);
        running.passed = rest;
        for participant in &running.participants {
            let for_it = done.iter().map(|announcement| announcement.for_shard(*participant, self.0.shard));
            self.send(*participant, EpochMessage::Done(for_it.collect()));
        }
    }

    fn perform(&self, actions: Vec<ParticipantAction>) {
        for action in actions {
            match action {
                ParticipantAction::Vote(vote) => self.send(CONTROLLER, EpochMessage::Vote(vote)),
                ParticipantAction::Work(work) => self.send(CONTROLLER, EpochMessage::Work(work)),
                ParticipantAction::Fail { job, attempt, position } => {
                    let (topic, partition) = (position.topic, position.partition);
                    self.fail(
                        job,
                        attempt,
                        format!("partition {partition} of topic {topic} has another leader"),
                    );
                }
            }
        }
    }

    /// Has the coordinator end an attempt. Said once: what follows from it is no news.
    fn fail(&self, job: JobId, attempt: Attempt, reason: String) {
        if self.0.is_stopped.get() {
            return;
        }
        if let Some(running) = self.of(&mut self.0.running.borrow_mut(), job, attempt) {
            if std::mem::replace(&mut running.has_failed, true) {
                return;
            }
            let reason = failure::bounded(reason);
            self.send(CONTROLLER, EpochMessage::Failed(AttemptFailed { job, attempt, reason }));
        }
    }

    async fn listen(self, shard: Context) {
        loop {
            let (_, message) = self.0.epochs.recv().await;
            match message {
                // Readers that are still being answered wait for what was published; nothing else matters any more.
                EpochMessage::Control(Control::Committed(record)) => {
                    shard.partitions().commits().committed(record);
                }
                EpochMessage::Published => shard.partitions().commits().look(),
                _ if self.0.is_stopped.get() => {}
                EpochMessage::Control(control) => self.control(&shard, control),
                EpochMessage::Done(announcements) => self.announced(&shard, announcements),
                EpochMessage::Vote(vote) => shard.epochs().vote(&shard, vote),
                EpochMessage::Work(work) => shard.epochs().work(&shard, work),
                EpochMessage::Failed(failed) => shard.controller().failed(&shard, failed),
            }
        }
    }

    fn control(&self, shard: &Context, control: Control) {
        let commits = shard.partitions().commits();
        match control {
            Control::Begin(record) => self.begin(shard, record),
            Control::Tick { epoch, jobs } => {
                self.0.held_ticks.borrow_mut().push_back(Tick { epoch, jobs });
                self.tick(commits);
            }
            Control::Committed(record) => commits.committed(record),
            Control::End { job, attempt, after_commit } => {
                self.0.participant.borrow_mut().end(job, attempt);
                commits.end(job, attempt, after_commit, shard.partitions());
                let over = self.0.running.borrow_mut().remove(&job);
                if let Some(mut running) = over {
                    running.cancel();
                }
                self.deliver(Inbound::Stop { job, attempt });
            }
        }
    }

    /// An attempt is durable: its tasks start here, if any are to.
    fn begin(&self, shard: &Context, record: AttemptRecord) {
        let mut actions = Vec::new();
        self.0.participant.borrow_mut().begin(&record, &mut actions);
        self.perform(actions);
        let (job, attempt) = (record.job, record.attempt);
        let prepared = {
            let mut prepared = self.0.prepared.borrow_mut();
            match prepared.entry(job) {
                Entry::Occupied(entry) if entry.get().after < attempt => entry.remove(),
                // Of other shards; or over already, and what is prepared is for the next.
                _ => return,
            }
        };
        let Prepared { plan, mut deployment, changelog, known, after: _ } = prepared;
        deployment.attempt = attempt;
        let is_restored = deployment.is_restored;
        let running = Running {
            attempt,
            participants: record.participants,
            changelog,
            appends: BTreeMap::new(),
            passed: Vec::new(),
            demands: BTreeMap::new(),
            restoring: None,
            placement: deployment.placement.clone(),
            known,
            has_failed: false,
        };
        self.0.running.borrow_mut().insert(job, running);
        let started = self.0.worker.borrow_mut().start(plan, deployment);
        if let Err(error) = started {
            return self.fail(job, attempt, error.to_string());
        }
        // Some may have come since the attempt was prepared.
        self.partitions_added(shard);
        self.0.wake.notify_one();
        if is_restored {
            let restoring = self.clone().restore(shard.clone(), job, attempt, changelog);
            let restoring = spawn_into(Queue::Dataflow, restoring);
            if let Some(running) = self.0.running.borrow_mut().get_mut(&job) {
                running.restoring = Some(restoring);
            }
        }
    }

    /// Gives a job's tasks what their tables held.
    async fn restore(self, shard: Context, job: JobId, attempt: Attempt, changelog: TopicId) {
        let mut reader = ChangelogReader::open(&shard, changelog).await;
        loop {
            let part = match reader.next().await {
                Ok(Some(part)) => part,
                Ok(None) => break,
                Err(error) => return self.fail(job, attempt, error.to_string()),
            };
            let task = part.header.id.mark.task;
            for run in part.changelog.runs {
                self.0.worker.borrow_mut().deliver(Inbound::Restore { job, attempt, task, run });
            }
            yield_now().await;
        }
        self.deliver(Inbound::Restored { job, attempt });
    }

    /// Tasks of a shard say what to wait for. Positions are of partitions that were read up to their high watermark: it
    /// is told along, so that none is waited for in vain.
    fn announced(&self, shard: &Context, announcements: Vec<TaskDone>) {
        for done in announcements {
            let mut actions = Vec::new();
            let Mark { job, attempt, .. } = done.mark;
            let positions = done.positions.clone();
            let mut participant = self.0.participant.borrow_mut();
            let announced = participant.announce(done, &mut actions);
            for position in positions {
                let (topic, partition) = (position.topic, position.partition);
                let (epoch, offset) = match shard.partitions().log(topic, partition) {
                    Ok(log) => (log.leader_epoch(), log.high_watermark()),
                    // Of another shard, which gave what it had below its high watermark.
                    Err(_) => (position.leader_epoch, position.offset),
                };
                participant.high_watermark(topic, partition, epoch, offset, &mut actions);
            }
            drop(participant);
            self.perform(actions);
            match announced {
                Ok(()) | Err(Refused::Stale { .. }) => {}
                Err(refused) => self.fail(job, attempt, refused.to_string()),
            }
        }
    }
}

impl Running {
    /// The partitions of this shard that were added to its topics.
    fn add_partitions(&mut self, shard: &Context) -> Vec<SplitSpec> {
        let mut splits = Vec::new();
        for ((source, topic), known) in &mut self.known {
            let now = shard.image().topic_by_id(*topic).map_or(*known, |topic| topic.partitions);
            let added = *known..now;
            *known = now.max(*known);
            let own = added.filter(|partition| {
                reader(&self.placement, shard.owner(*topic, *partition), *partition) == shard.id()
            });
            let split =
                |partition| SplitSpec { source: *source, topic: *topic, partition, start: 0, until: None };
            splits.extend(own.map(split));
        }
        splits
    }

    /// Nothing is waited for any more.
    fn cancel(&mut self) {
        self.demands.values().chain(&self.restoring).for_each(JoinHandle::cancel);
    }
}

/// The shard that reads a partition: its owner if that runs the job, else one of those that do.
#[must_use]
pub fn reader(placement: &Placement, owner: ShardId, partition: i32) -> ShardId {
    let shards = placement.shards();
    if shards.binary_search(&owner).is_ok() {
        return owner;
    }
    shards[partition.unsigned_abs() as usize % shards.len()]
}

fn unreadable(shard: &Context, demand: &Demand, error: &dyn fmt::Display) -> String {
    let Demand { topic, partition, from, .. } = demand;
    let topic = failure::name_of(*topic, &shard.image());
    format!("partition {partition} of topic {topic} can't be read at offset {from}: {error}")
}

impl fmt::Debug for Dataflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataflow of shard {}", self.0.shard)
    }
}
