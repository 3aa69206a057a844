//! What tasks leave behind at a barrier, on its way to the shards that stage it.

use super::Dataflow;
use crate::{cluster::own_partition, job::changelog, shard::Context};
use millrace_engine::{
    epoch::{PieceHeader, PieceId, Refused, Target, TaskDone},
    sink::StagedAppend,
    worker::{Inbound, Sealed},
};
use millrace_record::{SharedBatch, TopicId};
use millrace_runtime::{Queue, ShardId, sleep, spawn_into};
use std::{collections::BTreeMap, time::Duration};

/// How often a piece is offered again that can't be staged for a while.
const STAGE_RETRY: Duration = Duration::from_millis(100);

/// What a task has staged, by shard.
pub(super) struct Announcement {
    pub(super) done: TaskDone,
    pieces: BTreeMap<ShardId, u32>,
}

/// Why a piece is not staged.
#[derive(Debug)]
enum NotStaged {
    /// It may be later.
    Later(String),
    /// The attempt can't go on.
    Never(String),
}

/// A piece on its way to the shard that stages it.
#[derive(Clone, Debug)]
struct Outgoing {
    id: PieceId,
    target: Target,
    /// The partition that it is staged for.
    place: (TopicId, i32),
    batches: Vec<SharedBatch>,
}

impl Dataflow {
    /// A task has passed a barrier: what it leaves behind goes to those who stage it.
    pub(super) fn sealed(&self, shard: &Context, sealed: Sealed) {
        let Sealed { mark, changelog, .. } = sealed;
        let mut guard = self.0.running.borrow_mut();
        let Some(running) = self.of(&mut guard, mark.job, mark.attempt) else { return };
        let mut outputs = BTreeMap::<_, Vec<StagedAppend>>::new();
        for append in running.appends.remove(&mark).unwrap_or_default() {
            outputs.entry((append.topic, append.partition)).or_default().push(append);
        }
        let done = TaskDone { mark, pieces: 0, positions: changelog.positions.clone() };
        let mut announcement = Announcement { done, pieces: BTreeMap::new() };
        let topic = running.changelog;
        let mut failed = None;
        if !changelog.is_empty() {
            let partition = own_partition(topic, self.0.shard, shard.count());
            let id = announcement.next_piece(self.0.shard);
            let header = PieceHeader { id, target: Target::Changelog };
            match changelog::encode(&header, changelog) {
                Ok(batches) => {
                    let piece =
                        Outgoing { id, target: Target::Changelog, place: (topic, partition), batches };
                    self.send_piece(shard, self.0.shard, piece, BTreeMap::new());
                }
                Err(error) => failed = Some(format!("state of one epoch can't be written: {error}")),
            }
        }
        for ((topic, partition), appends) in outputs {
            let owner = shard.owner(topic, partition);
            let id = announcement.next_piece(owner);
            let mut credits = BTreeMap::<u32, u32>::new();
            appends.iter().for_each(|append| *credits.entry(append.output).or_default() += 1);
            let batches = appends.into_iter().map(|append| append.batch).collect();
            let target = Target::Partition { topic, partition };
            self.send_piece(
                shard,
                owner,
                Outgoing { id, target, place: (topic, partition), batches },
                credits,
            );
        }
        running.passed.push(announcement);
        drop(guard);
        if let Some(reason) = failed {
            self.fail(mark.job, mark.attempt, reason);
        }
    }

    /// Has a piece staged by its owner, and gives the sinks their credits back when it is. While the disk is full it is
    /// offered again: the job waits, and holds none of the calls that shards have at each other meanwhile.
    fn send_piece(&self, shard: &Context, owner: ShardId, piece: Outgoing, credits: BTreeMap<u32, u32>) {
        let (dataflow, shard) = (self.clone(), shard.clone());
        drop(spawn_into(Queue::Control, async move {
            let mark = piece.id.mark;
            let mut is_first = true;
            loop {
                let offered = piece.clone();
                let staging = shard.on(owner, move |there| async move {
                    there.dataflow().stage(&there, offered, is_first).await
                });
                match staging.await {
                    Ok(()) => break,
                    Err(NotStaged::Later(reason)) => {
                        if is_first {
                            tracing::warn!(job = %mark.job, reason, "a job waits");
                        }
                        is_first = false;
                        sleep(STAGE_RETRY).await;
                    }
                    Err(NotStaged::Never(reason)) => return dataflow.fail(mark.job, mark.attempt, reason),
                }
            }
            for (output, batches) in credits {
                dataflow.deliver(Inbound::Appended { mark, output, batches });
            }
        }));
    }

    /// Stages a piece on this shard, unless its attempt is over.
    async fn stage(&self, shard: &Context, piece: Outgoing, is_first: bool) -> Result<(), NotStaged> {
        let Outgoing { id, target, place, batches } = piece;
        let partitions = shard.partitions();
        if is_first {
            let mut actions = Vec::new();
            let admitted = self.0.participant.borrow_mut().stage(id, &mut actions);
            self.perform(actions);
            match admitted {
                Ok(()) => partitions.commits().expect(id, target, place),
                // The sender will learn that, too.
                Err(Refused::Stale { .. }) => return Ok(()),
                Err(refused) => return Err(NotStaged::Never(refused.to_string())),
            }
        } else if !partitions.commits().is_expected(id) {
            return Ok(());
        }
        let durable = match partitions.commits().stage(partitions, id, place, &batches).await {
            Ok(durable) => durable,
            Err(error) => {
                let reason = format!("output can't be staged: {error}");
                let is_passing = error.is_passing(shard, place.0);
                return Err(if is_passing { NotStaged::Later(reason) } else { NotStaged::Never(reason) });
            }
        };
        let dataflow = self.clone();
        drop(spawn_into(Queue::Control, async move {
            // If it never is, the store has failed, and the server ends.
            if durable.await.is_ok() {
                let mut actions = Vec::new();
                dataflow.0.participant.borrow_mut().durable(id, &mut actions);
                dataflow.perform(actions);
            }
        }));
        Ok(())
    }
}

impl Announcement {
    /// The name of the next piece for a shard.
    fn next_piece(&mut self, to: ShardId) -> PieceId {
        let count = self.pieces.entry(to).or_default();
        let id = PieceId { mark: self.done.mark, index: *count };
        *count += 1;
        id
    }

    /// What `shard` is told. `own` is the shard of the task: it alone watches over positions.
    pub(super) fn for_shard(&self, shard: ShardId, own: ShardId) -> TaskDone {
        TaskDone {
            mark: self.done.mark,
            pieces: self.pieces.get(&shard).copied().unwrap_or(0),
            positions: if shard == own { self.done.positions.clone() } else { Vec::new() },
        }
    }
}
