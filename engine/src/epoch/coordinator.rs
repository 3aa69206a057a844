//! The server's coordinator: it starts epochs, collects votes and writes the commit log.

use super::attempt::AttemptRecord;
use super::clock::{EpochOptions, UnderWay};
use super::commit::{CommitEntry, CommitRecord};
use super::ids::{Attempt, CommitNumber, Epoch, JobId, TaskId};
use super::message::{Control, Vote, Work};
use millrace_runtime::ShardId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What the coordinator wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorAction {
    /// Make this durable, and call [`Coordinator::attempt_durable`] then.
    WriteAttempt(AttemptRecord),
    /// Append this to the commit log, and call [`Coordinator::commit_durable`] when it and all before it are durable. If the
    /// attempt [is together](AttemptRecord::is_together), append it behind its pieces in their journal.
    WriteCommit(CommitRecord),
    /// Send this to every shard, in the order of these actions.
    Broadcast(Control),
    /// Store this as the published commit number, after everything before it was sent.
    Publish(CommitNumber),
}

/// Why an attempt can't start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Another one is alive.
    #[error("attempt {0} is alive: end it first")]
    Alive(Attempt),
    /// Commits of the last one are still being written; where it resumes is not known before they are durable.
    #[error("commits through {0} are being written")]
    Committing(CommitNumber),
}

/// What a job's new attempt runs, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPlan {
    /// The hash of the plan.
    pub plan: u64,
    /// The tasks on all shards.
    pub tasks: Vec<TaskId>,
    /// The shards that may stage: those with tasks, and the owners of the partitions that they write to.
    pub participants: BTreeSet<ShardId>,
    /// Whether votes may come before their pieces are durable: only if there is one participant, and it has the commit log.
    pub is_together: bool,
}

/// Where a coordinator begins: what [`recover`](super::recover) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorStart {
    /// The last epoch that any attempt has had.
    pub last_epoch: Epoch,
    /// The last record of the commit log.
    pub last_commit: CommitNumber,
    /// The last attempt of each job.
    pub attempts: BTreeMap<JobId, Attempt>,
}

/// An attempt that may get votes.
struct Alive {
    record: AttemptRecord,
    is_durable: bool,
    has_work: bool,
    /// The epochs that were ticked and are not in the commit log: who has voted, and with how many pieces.
    open: BTreeMap<Epoch, Votes>,
}

#[derive(Default)]
struct Votes {
    shards: BTreeSet<ShardId>,
    pieces: Option<u32>,
}

#[derive(Default)]
struct Job {
    last_attempt: Attempt,
    /// No later record of the commit log names an attempt that is over.
    after_commit: CommitNumber,
    alive: Option<Alive>,
}

/// An epoch that is neither committed nor aborted for all its jobs.
struct Started {
    epoch: Epoch,
    at: Duration,
    /// The jobs whose participants have not all voted.
    unprepared: BTreeSet<JobId>,
    /// The jobs for which it is neither durable in the commit log nor aborted.
    unresolved: BTreeSet<JobId>,
}

/// The machine. Pure: whoever drives it does what its actions say and tells it what has happened.
pub struct Coordinator {
    options: EpochOptions,
    last_epoch: Epoch,
    last_start: Option<Duration>,
    last_commit: CommitNumber,
    published: CommitNumber,
    jobs: BTreeMap<JobId, Job>,
    started: VecDeque<Started>,
    /// Prepared, for the next record.
    ready: Vec<CommitEntry>,
    /// Being written, in the order of their numbers.
    writing: VecDeque<CommitRecord>,
}

impl Coordinator {
    /// A coordinator without jobs.
    #[must_use]
    pub fn new(options: EpochOptions, start: &CoordinatorStart) -> Self {
        let job = |(&id, &last_attempt): (&JobId, &Attempt)| {
            (id, Job { last_attempt, after_commit: start.last_commit, alive: None })
        };
        Self {
            options,
            last_epoch: start.last_epoch,
            last_start: None,
            last_commit: start.last_commit,
            published: start.last_commit,
            jobs: start.attempts.iter().map(job).collect(),
            started: VecDeque::new(),
            ready: Vec::new(),
            writing: VecDeque::new(),
        }
    }

    /// The last published commit number.
    #[must_use]
    pub const fn published(&self) -> CommitNumber {
        self.published
    }

    /// How many epochs are neither committed nor aborted.
    #[must_use]
    pub fn unresolved(&self) -> usize {
        self.started.len()
    }

    /// The attempt of a job that is alive, if one is.
    #[must_use]
    pub fn attempt(&self, job: JobId) -> Option<Attempt> {
        self.jobs.get(&job)?.alive.as_ref().map(|alive| alive.record.attempt)
    }

    /// The last attempt of a job, alive or over; 0 if it had none.
    #[must_use]
    pub fn last_attempt(&self, job: JobId) -> Attempt {
        self.jobs.get(&job).map_or(Attempt(0), |job| job.last_attempt)
    }

    /// Whether commits of an attempt that is over are not published yet: where the job resumes is not known before.
    #[must_use]
    pub fn is_committing(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.after_commit > self.published)
    }

    /// Starts the next attempt of a job: it begins when its record is durable.
    ///
    /// # Errors
    /// [`StartError`] if the last attempt is not over to the last commit.
    pub fn start(
        &mut self,
        id: JobId,
        plan: AttemptPlan,
        actions: &mut Vec<CoordinatorAction>,
    ) -> Result<Attempt, StartError> {
        let job = self.jobs.entry(id).or_default();
        if let Some(alive) = &job.alive {
            return Err(StartError::Alive(alive.record.attempt));
        }
        if job.after_commit > self.published {
            return Err(StartError::Committing(job.after_commit));
        }
        assert!(!plan.participants.is_empty(), "a job runs somewhere");
        assert!(
            !plan.is_together || plan.participants.len() == 1,
            "only a single participant commits together"
        );
        let record = AttemptRecord {
            job: id,
            attempt: job.last_attempt.next(),
            plan: plan.plan,
            first_epoch: self.last_epoch.next(),
            after_commit: self.published,
            is_together: plan.is_together,
            tasks: plan.tasks,
            participants: plan.participants.into_iter().collect(),
        };
        job.last_attempt = record.attempt;
        actions.push(CoordinatorAction::WriteAttempt(record.clone()));
        let attempt = record.attempt;
        job.alive = Some(Alive { record, is_durable: false, has_work: false, open: BTreeMap::new() });
        Ok(attempt)
    }

    /// The record of an attempt is durable: its tasks may start.
    pub fn attempt_durable(&mut self, job: JobId, attempt: Attempt, actions: &mut Vec<CoordinatorAction>) {
        if let Some(alive) = self.alive(job, attempt) {
            alive.is_durable = true;
            actions.push(CoordinatorAction::Broadcast(Control::Begin(alive.record.clone())));
        }
    }

    fn alive(&mut self, job: JobId, attempt: Attempt) -> Option<&mut Alive> {
        self.jobs.get_mut(&job)?.alive.as_mut().filter(|alive| alive.record.attempt == attempt)
    }

    /// Ends an attempt, because it failed or is to stop. Its epochs that are in no record yet are aborted.
    pub fn end(&mut self, id: JobId, attempt: Attempt, actions: &mut Vec<CoordinatorAction>) {
        if self.alive(id, attempt).is_none() {
            return;
        }
        let after_commit = self.last_commit;
        let job = self.jobs.get_mut(&id).expect("it is alive");
        job.alive = None;
        job.after_commit = after_commit;
        self.ready.retain(|entry| entry.job != id);
        let writing: BTreeSet<_> = self
            .writing
            .iter()
            .flat_map(|record| &record.entries)
            .filter(|entry| entry.job == id)
            .map(|entry| entry.epoch)
            .collect();
        for started in &mut self.started {
            started.unprepared.remove(&id);
            if !writing.contains(&started.epoch) {
                started.unresolved.remove(&id);
            }
        }
        self.forget_resolved();
        actions.push(CoordinatorAction::Broadcast(Control::End { job: id, attempt, after_commit }));
    }

    /// A job has something to commit.
    pub fn work(&mut self, work: Work) {
        if let Some(alive) = self.alive(work.job, work.attempt) {
            alive.has_work = true;
        }
    }

    /// A participant has voted. Votes of attempts that are over, and second votes, are passed over.
    pub fn vote(&mut self, vote: Vote) {
        let Some(alive) = self.alive(vote.job, vote.attempt) else { return };
        if alive.record.participants.binary_search(&vote.shard).is_err() {
            return;
        }
        let Some(votes) = alive.open.get_mut(&vote.epoch) else { return };
        votes.shards.insert(vote.shard);
        votes.pieces = vote.pieces;
        let everyone = alive.record.participants.len();
        if votes.shards.len() < everyone {
            return;
        }
        // Epochs of a job are committed in their order, whatever the order of votes.
        let mut prepared = Vec::new();
        while let Some(first) = alive.open.first_entry().filter(|first| first.get().shards.len() == everyone)
        {
            let (epoch, votes) = first.remove_entry();
            prepared.push(CommitEntry { job: vote.job, attempt: vote.attempt, epoch, pieces: votes.pieces });
        }
        self.ready.extend(prepared);
        if let Some(started) = self.started.iter_mut().find(|started| started.epoch == vote.epoch) {
            started.unprepared.remove(&vote.job);
        }
    }

    /// Does what is due: writes a record of all that is prepared, and starts an epoch. To be called after every bunch of messages
    /// and when the time of [`wake`](Self::wake) has come. `now` counts from any fixed point.
    pub fn advance(&mut self, now: Duration, actions: &mut Vec<CoordinatorAction>) {
        if !self.ready.is_empty() {
            self.last_commit = self.last_commit.next();
            let record = CommitRecord { number: self.last_commit, entries: std::mem::take(&mut self.ready) };
            self.writing.push_back(record.clone());
            actions.push(CoordinatorAction::WriteCommit(record));
        }
        if self.wake().is_some_and(|start| start <= now) {
            self.start_epoch(now, actions);
        }
    }

    /// When the next epoch is due, if there is work for one and room.
    #[must_use]
    pub fn wake(&self) -> Option<Duration> {
        let has_work = |job: &Job| job.alive.as_ref().is_some_and(|alive| alive.is_durable && alive.has_work);
        if !self.jobs.values().any(has_work) {
            return None;
        }
        self.options.next_start(UnderWay {
            unresolved: self.started.len(),
            last_start: self.last_start,
            is_last_prepared: self.started.back().is_none_or(|last| last.unprepared.is_empty()),
        })
    }

    fn start_epoch(&mut self, now: Duration, actions: &mut Vec<CoordinatorAction>) {
        self.last_epoch = self.last_epoch.next();
        self.last_start = Some(now);
        let epoch = self.last_epoch;
        let mut jobs = Vec::new();
        for (&id, job) in &mut self.jobs {
            let Some(alive) = &mut job.alive else { continue };
            if alive.is_durable && std::mem::take(&mut alive.has_work) {
                alive.open.insert(epoch, Votes::default());
                jobs.push((id, alive.record.attempt));
            }
        }
        let ids: BTreeSet<_> = jobs.iter().map(|&(id, _)| id).collect();
        self.started.push_back(Started { epoch, at: now, unprepared: ids.clone(), unresolved: ids });
        actions.push(CoordinatorAction::Broadcast(Control::Tick { epoch, jobs }));
    }

    /// The commit log is durable up to and with record `through`: its epochs are committed, and become visible at once.
    pub fn commit_durable(&mut self, through: CommitNumber, actions: &mut Vec<CoordinatorAction>) {
        while let Some(record) = self.writing.pop_front_if(|record| record.number <= through) {
            for entry in &record.entries {
                if let Some(started) = self.started.iter_mut().find(|started| started.epoch == entry.epoch) {
                    started.unresolved.remove(&entry.job);
                }
            }
            self.published = record.number;
            actions.push(CoordinatorAction::Broadcast(Control::Committed(record)));
            actions.push(CoordinatorAction::Publish(self.published));
        }
        self.forget_resolved();
    }

    fn forget_resolved(&mut self) {
        self.started.retain(|started| !started.unresolved.is_empty());
    }

    /// How long the oldest epoch under way has been so, for whoever watches the server.
    #[must_use]
    pub fn oldest_age(&self, now: Duration) -> Option<Duration> {
        self.started.front().map(|oldest| now.saturating_sub(oldest.at))
    }
}
