//! Attempts on a shard: prepared, begun, given back what their tables held, and over.

use super::{Dataflow, staging::Announcement};
use crate::{job::restore::ChangelogReader, shard::Context};
use millrace_engine::{
    epoch::{Attempt, AttemptRecord, JobId, Mark, SourceId},
    key::Placement,
    plan::Plan,
    sink::StagedAppend,
    source::SplitSpec,
    worker::{Deployment, Inbound},
};
use millrace_record::TopicId;
use millrace_runtime::{JoinHandle, Queue, ShardId, spawn_into, yield_now};
use std::collections::{BTreeMap, btree_map::Entry};

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
pub(super) struct Running {
    pub(super) attempt: Attempt,
    pub(super) participants: Vec<ShardId>,
    pub(super) changelog: TopicId,
    /// Batches of tasks that have not passed their barrier yet.
    pub(super) appends: BTreeMap<Mark, Vec<StagedAppend>>,
    /// Tasks that have passed a barrier that others have not.
    pub(super) passed: Vec<Announcement>,
    /// Demands that wait for records.
    pub(super) demands: BTreeMap<(SourceId, TopicId, i32), JoinHandle<()>>,
    restoring: Option<JoinHandle<()>>,
    placement: Placement,
    known: Known,
    pub(super) has_failed: bool,
}

impl Dataflow {
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

    /// An attempt is durable: its tasks start here, if any are to.
    pub(super) fn begin(&self, shard: &Context, record: AttemptRecord) {
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
    pub(super) fn cancel(&mut self) {
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
