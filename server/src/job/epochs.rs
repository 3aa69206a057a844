//! The server's coordinator of epochs, on shard 0: it does what the engine's machine says.

use super::{commit_log::Entry, message::EpochMessage};
use crate::{
    cluster::COMMIT_TOPIC,
    shard::{Alarm, Context, PartitionError},
};
use bytes::Bytes;
use futures_util::future::select;
use millrace_engine::epoch::{
    Attempt, AttemptPlan, AttemptRecord, CommitNumber, CommitRecord, Control, Coordinator, CoordinatorAction,
    CoordinatorStart, EpochOptions, JobId, StartError, Vote, Work,
};
use millrace_runtime::{Instant, Queue, ShardId, sleep, spawn_into};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    pin::pin,
    rc::Rc,
    time::Duration,
};
use tokio::sync::Notify;

/// How long the commit log waits before it tries again to append, when the disk is full.
const RETRY: Duration = Duration::from_millis(100);
/// How often messages are offered again to a shard whose ring is full.
const BACKLOG_RETRY: Duration = Duration::from_millis(1);

/// The coordinator. Clones are the same. On other shards than the first it has nothing to do.
#[derive(Clone)]
pub struct Epochs(Rc<Inner>);

struct Inner {
    coordinator: RefCell<Coordinator>,
    begun: Instant,
    /// Commits that are not appended yet.
    to_write: RefCell<VecDeque<CommitRecord>>,
    /// Messages for shards whose ring is full. While there are any, no epoch starts: that is what bounds them.
    backlog: RefCell<Vec<VecDeque<EpochMessage>>>,
    wake: Notify,
    write: Notify,
    alarm: Alarm,
    /// Something was published: an attempt that waits for the commits of the last may start.
    published: Notify,
    is_stopped: Cell<bool>,
}

impl Epochs {
    /// Begins where a recovery ended.
    #[must_use]
    pub fn new(options: EpochOptions, start: &CoordinatorStart, shards: u16) -> Self {
        Self(Rc::new(Inner {
            coordinator: RefCell::new(Coordinator::new(options, start)),
            begun: Instant::now(),
            to_write: RefCell::default(),
            backlog: RefCell::new((0..shards).map(|_| VecDeque::new()).collect()),
            wake: Notify::new(),
            write: Notify::new(),
            alarm: Alarm::default(),
            published: Notify::new(),
            is_stopped: Cell::new(false),
        }))
    }

    /// Starts to keep time and to write, for the life of the shard.
    pub fn start(&self, shard: &Context) {
        drop(spawn_into(Queue::Control, self.clone().keep_time(shard.clone())));
        drop(spawn_into(Queue::Control, self.clone().write_commits(shard.clone())));
    }

    /// Starts no more epochs.
    pub fn stop(&self) {
        self.0.is_stopped.set(true);
        self.0.wake.notify_one();
        self.0.write.notify_one();
    }

    /// How many epochs are neither committed nor aborted, and how long the oldest has been so.
    #[must_use]
    pub fn under_way(&self) -> (usize, Option<Duration>) {
        let coordinator = self.0.coordinator.borrow();
        (coordinator.unresolved(), coordinator.oldest_age(self.now()))
    }

    /// A participant has voted.
    pub fn vote(&self, shard: &Context, vote: Vote) {
        self.0.coordinator.borrow_mut().vote(vote);
        self.go_on(shard, Vec::new());
    }

    /// A job has something to commit.
    pub fn work(&self, shard: &Context, work: Work) {
        self.0.coordinator.borrow_mut().work(work);
        self.go_on(shard, Vec::new());
    }

    /// Waits until all commits of a job whose last attempt is over are published. Only then its changelog tells where it
    /// resumes; that stays so until the next attempt starts.
    pub async fn settled(&self, job: JobId) {
        while self.0.coordinator.borrow().is_committing(job) {
            self.0.published.notified().await;
        }
    }

    /// Starts the next attempt of a job.
    ///
    /// # Errors
    /// [`StartError`] if the last is alive, or its commits are not [settled](Self::settled).
    pub fn start_attempt(
        &self,
        shard: &Context,
        job: JobId,
        plan: AttemptPlan,
    ) -> Result<Attempt, StartError> {
        let mut actions = Vec::new();
        let started = self.0.coordinator.borrow_mut().start(job, plan, &mut actions);
        self.go_on(shard, actions);
        started
    }

    /// The last attempt of a job, alive or over.
    #[must_use]
    pub fn last_attempt(&self, job: JobId) -> Attempt {
        self.0.coordinator.borrow().last_attempt(job)
    }

    /// Ends an attempt; nothing happens if it is over.
    pub fn end(&self, shard: &Context, job: JobId, attempt: Attempt) {
        let mut actions = Vec::new();
        self.0.coordinator.borrow_mut().end(job, attempt, &mut actions);
        self.go_on(shard, actions);
    }

    fn now(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Does what is due, after something has happened.
    fn go_on(&self, shard: &Context, mut actions: Vec<CoordinatorAction>) {
        let inner = &self.0;
        if inner.is_stopped.get() {
            return;
        }
        let wake = {
            let mut coordinator = inner.coordinator.borrow_mut();
            if self.is_flowing() {
                coordinator.advance(self.now(), &mut actions);
            }
            coordinator.wake()
        };
        inner.alarm.set(wake.map(|at| inner.begun + at));
        for action in actions {
            self.perform(shard, action);
        }
    }

    fn perform(&self, shard: &Context, action: CoordinatorAction) {
        match action {
            CoordinatorAction::WriteAttempt(record) => {
                let (epochs, shard) = (self.clone(), shard.clone());
                drop(spawn_into(Queue::Control, async move { epochs.write_attempt(&shard, record).await }));
            }
            CoordinatorAction::WriteCommit(record) => {
                self.0.to_write.borrow_mut().push_back(record);
                self.0.write.notify_one();
            }
            CoordinatorAction::Broadcast(control) => {
                if let Control::Committed(record) = &control {
                    let entries = record.entries.iter();
                    entries.for_each(|entry| shard.controller().committed(entry.job, entry.attempt));
                }
                self.broadcast(shard, || EpochMessage::Control(control.clone()));
            }
            CoordinatorAction::Publish(number) => {
                shard.partitions().commits().publish(number);
                self.broadcast(shard, || EpochMessage::Published);
                self.0.published.notify_waiters();
            }
        }
    }

    fn broadcast(&self, shard: &Context, message: impl Fn() -> EpochMessage) {
        let mut backlog = self.0.backlog.borrow_mut();
        for (to, waiting) in (0..).map(ShardId).zip(backlog.iter_mut()) {
            waiting.push_back(message());
            flush(shard, to, waiting);
        }
        if backlog.iter().any(|waiting| !waiting.is_empty()) {
            self.0.wake.notify_one();
        }
    }

    fn is_flowing(&self) -> bool {
        self.0.backlog.borrow().iter().all(VecDeque::is_empty)
    }

    /// Starts epochs when it is time, and offers messages again that found no room.
    /// After a stop the latter alone: readers that are still being answered wait for what was published.
    async fn keep_time(self, shard: Context) {
        while !self.0.is_stopped.get() || !self.is_flowing() {
            if self.is_flowing() {
                select(pin!(self.0.wake.notified()), pin!(self.0.alarm.ring())).await;
            } else {
                sleep(BACKLOG_RETRY).await;
                for (to, waiting) in (0..).map(ShardId).zip(self.0.backlog.borrow_mut().iter_mut()) {
                    flush(&shard, to, waiting);
                }
            }
            self.go_on(&shard, Vec::new());
        }
    }

    async fn write_attempt(&self, shard: &Context, record: AttemptRecord) {
        let (job, attempt) = (record.job, record.attempt);
        if append(shard, &[Entry::Attempt(record)]).await {
            let mut actions = Vec::new();
            self.0.coordinator.borrow_mut().attempt_durable(job, attempt, &mut actions);
            self.go_on(shard, actions);
        }
    }

    /// Appends commits, as many at a time as have come meanwhile.
    async fn write_commits(self, shard: Context) {
        while !self.0.is_stopped.get() {
            let records: Vec<_> = self.0.to_write.borrow_mut().drain(..).collect();
            let Some(last) = records.last().map(|record| record.number) else {
                self.0.write.notified().await;
                continue;
            };
            let entries: Vec<_> = records.into_iter().map(Entry::Commit).collect();
            if !append(&shard, &entries).await {
                return;
            }
            self.commits_durable(&shard, last);
        }
    }

    fn commits_durable(&self, shard: &Context, through: CommitNumber) {
        let mut actions = Vec::new();
        self.0.coordinator.borrow_mut().commit_durable(through, &mut actions);
        self.go_on(shard, actions);
    }
}

fn flush(shard: &Context, to: ShardId, waiting: &mut VecDeque<EpochMessage>) {
    while let Some(message) = waiting.pop_front() {
        if let Err(message) = shard.dataflow().try_send(to, message) {
            return waiting.push_front(message);
        }
    }
}

/// Appends to the commit log and waits until it is durable, however long the disk is full. Returns whether it is: if not,
/// the store has failed or is closed, and the server ends.
pub(super) async fn append(shard: &Context, entries: &[Entry]) -> bool {
    let mut has_told = false;
    loop {
        match try_append(shard, entries).await {
            Ok(()) => return true,
            Err(PartitionError::Append(millrace_storage::AppendError::Exhausted(error))) => {
                if !std::mem::replace(&mut has_told, true) {
                    tracing::warn!(%error, "no space for the commit log: jobs wait");
                }
                sleep(RETRY).await;
            }
            Err(error) => {
                tracing::error!(%error, "the commit log can't be written");
                return false;
            }
        }
    }
}

/// Appends to the commit log and waits until it is durable, if there is space.
pub(super) async fn try_append(shard: &Context, entries: &[Entry]) -> Result<(), PartitionError> {
    let records: Vec<_> =
        entries.iter().map(|entry| (Bytes::new(), Some(Bytes::from(entry.encode())))).collect();
    shard.partitions().append_records(COMMIT_TOPIC, 0, &records).await.map(drop)
}

impl fmt::Debug for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Epochs")
    }
}
