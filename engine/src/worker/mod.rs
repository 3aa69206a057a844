//! The worker: all jobs' tasks on one shard.
//!
//! The engine does no I/O, spawns nothing and never blocks. A shard gives its worker what has arrived
//! ([`Worker::deliver`]), lets it work for a while ([`Worker::step`]), and carries off what it has to say
//! ([`Worker::drain_outbox`]). All three speak in messages that can cross threads: batches by reference, staged appends,
//! deltas, votes. Time is a message too: it is what the shard says it is, the same throughout a step.
//!
//! User code runs inside `step` alone, and nothing of the shard is borrowed meanwhile. If it panics, the attempt is
//! dropped and reported; other jobs go on.

mod clocks;
mod instance;
mod job;
mod message;
mod pace;

#[cfg(test)]
pub(crate) use instance::HELD_RECORDS_MAX;
pub use message::{Credit, Inbound, Outbound, Passed, Rollback, Sealed, ShardMessage};
pub use pace::Pace;

use crate::{
    epoch::{Attempt, JobId},
    exchange::Frame,
    failure::{Cause, Failure},
    key::Placement,
    metrics::JobMetrics,
    plan::Plan,
    sink::TopicInfo,
    source::SplitSpec,
    task::Watch,
};
use job::Job;
use millrace_runtime::{Instant, ShardId};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

/// How a plan is put to work on a shard.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The job's number.
    pub job: JobId,
    /// This run of it.
    pub attempt: Attempt,
    /// The shards that share its keys.
    pub placement: Placement,
    /// The partitions that its sources read on this shard.
    pub splits: Vec<SplitSpec>,
    /// The topics that it writes to, by name.
    pub topics: BTreeMap<String, TopicInfo>,
    /// Whether committed deltas follow ([`Inbound::Restore`]), and then [`Inbound::Restored`].
    pub is_restored: bool,
    /// Whether all input ends: all splits have an end, on all shards, and none is added.
    pub is_bounded: bool,
}

/// Why a job is not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The shard is none of the job's.
    #[error("shard {shard} is not in the job's placement")]
    NotPlaced {
        /// The shard.
        shard: ShardId,
    },
    /// Plan and placement differ in key groups.
    #[error("the plan has {plan} key groups, the placement {placement}")]
    KeyGroups {
        /// Those of the plan.
        plan: u16,
        /// Those of the placement.
        placement: u16,
    },
    /// A sink's topic is not known.
    #[error("the job writes to topic `{topic}`, which the deployment does not name")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The job is running already.
    #[error("job {0} is running on this shard")]
    Running(JobId),
    /// User code panicked while a task made its tables.
    #[error("`{task}` on shard {shard} can't make its tables: {cause}")]
    Open {
        /// The names of the task's operators.
        task: String,
        /// The shard.
        shard: ShardId,
        /// What it said.
        cause: Cause,
    },
}

/// How much a step may do. [`Pace`] finds what takes about a quarter of a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Records taken, results flushed and marks handled, over all tasks. At least one is.
    pub records: u32,
}

/// What time it is, for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// On the monotonic clock.
    pub monotonic: Instant,
    /// Milliseconds since the Unix epoch: processing time.
    pub unix_ms: i64,
}

impl Now {
    /// The runtime's clocks.
    #[must_use]
    pub fn read() -> Self {
        Self { monotonic: Instant::now(), unix_ms: millrace_runtime::unix_millis() }
    }
}

/// What a step leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepOutcome {
    /// How much of the budget was used.
    pub records: u32,
    /// Whether there is more to do now.
    pub more: bool,
    /// When there will be something to do, if nothing is delivered before.
    pub next_deadline: Option<Instant>,
}

/// All jobs' tasks on one shard.
pub struct Worker {
    shard: ShardId,
    jobs: Vec<Job>,
    outbox: VecDeque<Outbound>,
    /// Frames of attempts that were not started here yet.
    early: BTreeMap<(JobId, Attempt), Vec<Frame>>,
    /// The latest attempt of each job that is over on this shard.
    over: BTreeMap<JobId, Attempt>,
    now: Now,
    clock: fn() -> Instant,
    watch: Watch,
    /// The job to look at first.
    next: usize,
}

impl Worker {
    /// A worker without jobs. `clock` (usually [`Instant::now`]) measures how long calls take; nothing depends on it but
    /// metrics and the [`Watch`].
    #[must_use]
    pub fn new(shard: ShardId, now: Now, clock: fn() -> Instant) -> Self {
        Self {
            shard,
            jobs: Vec::new(),
            outbox: VecDeque::new(),
            early: BTreeMap::new(),
            over: BTreeMap::new(),
            now,
            clock,
            watch: Watch::default(),
            next: 0,
        }
    }

    /// What a watchdog on another thread may look at.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Starts a job. Its plan's hash must be that of the plans on all other shards.
    ///
    /// # Errors
    /// [`StartError`]; nothing was started then.
    pub fn start(&mut self, plan: Plan, deployment: Deployment) -> Result<(), StartError> {
        let (id, attempt) = (deployment.job, deployment.attempt);
        if self.jobs.iter().any(|job| job.id == id) {
            return Err(StartError::Running(id));
        }
        let mut job = Job::start(self.shard, plan, deployment, &self.watch, self.now)?;
        job.take_demands(&mut self.outbox);
        self.jobs.push(job);
        self.admit(id, attempt);
        Ok(())
    }

    /// Takes in a message. What is about a job or an attempt that is over is dropped.
    pub fn deliver(&mut self, message: Inbound) {
        match message {
            Inbound::Shard(ShardMessage::Frame(frame)) => self.receive(frame),
            Inbound::Shard(ShardMessage::Credit(credit)) => {
                let Self { jobs, outbox, .. } = self;
                if let Some(job) = find(jobs, credit.route.job, Some(credit.route.attempt)) {
                    job.credit(credit, outbox);
                }
            }
            Inbound::Source(data) => {
                if let Some(job) = find(&mut self.jobs, data.job, Some(data.attempt)) {
                    if let Some(task) = job.source_mut(data.source) {
                        task.receive(data);
                    }
                    job.take_demands(&mut self.outbox);
                }
            }
            Inbound::Appended { mark, output, batches } => {
                if let Some(job) = find(&mut self.jobs, mark.job, Some(mark.attempt)) {
                    job.credit_topic(mark.task, output, batches);
                }
            }
            Inbound::Barrier { job, attempt, epoch } => {
                if let Some(job) = find(&mut self.jobs, job, Some(attempt)) {
                    job.barrier(epoch);
                }
            }
            Inbound::Committed { job, epoch } => {
                if let Some(job) = find(&mut self.jobs, job, None) {
                    job.commit(epoch);
                }
            }
            Inbound::Rollback(rollback) => {
                if let Some(job) = find(&mut self.jobs, rollback.job, None) {
                    job.rollback(&rollback);
                    job.take_demands(&mut self.outbox);
                    self.admit(rollback.job, rollback.attempt);
                }
            }
            Inbound::Restore { job, attempt, task, run } => {
                let restored = find(&mut self.jobs, job, Some(attempt)).map(|job| job.restore(task, &run));
                if let Some(Err(failure)) = restored {
                    self.fail(*failure);
                }
            }
            Inbound::Restored { job, attempt } => {
                if let Some(job) = find(&mut self.jobs, job, Some(attempt)) {
                    job.begin();
                }
            }
            Inbound::Splits { job, splits } => {
                if let Some(job) = find(&mut self.jobs, job, None) {
                    for split in &splits {
                        if let Some(task) = job.source_mut(split.source) {
                            task.add_split(split);
                        }
                    }
                    job.take_demands(&mut self.outbox);
                }
            }
            Inbound::Stop { job, attempt } => self.stop(job, attempt),
        }
    }

    /// Works: until the budget is used up, or nothing is left to do.
    pub fn step(&mut self, budget: Budget, now: Now) -> StepOutcome {
        self.now = now;
        for job in &mut self.jobs {
            job.set_now(now);
        }
        let mut left = budget.records.max(1);
        let mut ran = true;
        while ran && left > 0 {
            ran = false;
            for _ in 0..self.jobs.len() {
                let index = self.next % self.jobs.len().max(1);
                self.next = index + 1;
                let Some(job) = self.jobs.get_mut(index) else { break };
                match job.run(&mut left, self.clock, &mut self.outbox) {
                    Ok(did) => ran |= did,
                    Err(failure) => {
                        self.fail(*failure);
                        ran = true;
                    }
                }
            }
        }
        StepOutcome {
            records: budget.records.max(1) - left,
            more: self.jobs.iter().any(Job::is_ready),
            next_deadline: self.next_deadline(),
        }
    }

    /// What is to be carried off, in order.
    pub fn drain_outbox(&mut self) -> impl Iterator<Item = Outbound> + '_ {
        self.outbox.drain(..)
    }

    /// Figures of all jobs on this shard.
    #[must_use]
    pub fn metrics(&self) -> Vec<JobMetrics> {
        self.jobs.iter().map(|job| job.metrics(self.now.monotonic)).collect()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let at_ms = self.jobs.iter().filter_map(Job::wake_at_ms).min()?;
        let in_ms = at_ms.saturating_sub(self.now.unix_ms).max(0).cast_unsigned();
        Some(self.now.monotonic + Duration::from_millis(in_ms))
    }

    /// Takes in a frame of the current attempt; keeps one of an attempt that was not started here yet, until that begins or
    /// ends. No more of these can come than there are credits.
    fn receive(&mut self, frame: Frame) {
        let (id, attempt) = (frame.route.job, frame.route.attempt);
        match find(&mut self.jobs, id, None) {
            Some(job) if job.attempt == attempt => job.receive(frame),
            Some(job) if job.attempt > attempt => {}
            _ if self.over.get(&id).is_some_and(|over| *over >= attempt) => {}
            _ => self.early.entry((id, attempt)).or_default().push(frame),
        }
    }

    /// Hands over what came early for an attempt, and drops what came for those before it.
    fn admit(&mut self, id: JobId, attempt: Attempt) {
        let frames = self.early.remove(&(id, attempt)).unwrap_or_default();
        self.early.retain(|(job, early), _| *job != id || *early > attempt);
        if let Some(job) = find(&mut self.jobs, id, Some(attempt)) {
            for frame in frames {
                job.receive(frame);
            }
        }
    }

    fn stop(&mut self, id: JobId, attempt: Attempt) {
        self.jobs.retain(|job| job.id != id || job.attempt > attempt);
        self.early.retain(|(early, of), _| *early != id || *of > attempt);
        let over = self.over.entry(id).or_default();
        *over = attempt.max(*over);
    }

    fn fail(&mut self, failure: Failure) {
        self.stop(failure.job, failure.attempt);
        self.outbox.push_back(Outbound::Failed(failure));
    }
}

fn find(jobs: &mut [Job], id: JobId, attempt: Option<Attempt>) -> Option<&mut Job> {
    jobs.iter_mut().find(|job| job.id == id && attempt.is_none_or(|attempt| job.attempt == attempt))
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("shard", &self.shard)
            .field("jobs", &self.jobs.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
