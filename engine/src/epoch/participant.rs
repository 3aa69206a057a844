//! A shard's part in epochs: it knows which pieces are staged and durable, and votes.

use super::attempt::AttemptRecord;
use super::commit::CommitEntry;
use super::ids::{Attempt, Epoch, JobId, PieceId, SourcePosition, TaskId};
use super::message::{TaskDone, Vote, Work};
use millrace_record::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use millrace_runtime::ShardId;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It bears an attempt that is over. The sender is to stop.
    #[error("job {job}: attempt {attempt} is over, {oldest} is the oldest that may be alive")]
    Stale {
        /// The job.
        job: JobId,
        /// What it bears.
        attempt: Attempt,
        /// The oldest attempt that is not refused.
        oldest: Attempt,
    },
    /// The same piece or announcement has come before.
    #[error("{0} came twice")]
    Twice(PieceId),
    /// The piece is not among those that its task announced.
    #[error("{0} was not announced")]
    Unannounced(PieceId),
}

/// What a participant wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipantAction {
    /// Send this to the coordinator.
    Vote(Vote),
    /// Send this to the coordinator.
    Work(Work),
    /// The attempt has read what may not be there any more, because the partition has changed its leader: end it.
    Fail {
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: Attempt,
        /// What it had read.
        position: SourcePosition,
    },
}

/// What is known of the pieces of one task.
#[derive(Default)]
struct TaskPieces {
    announced: Option<u32>,
    staged: BTreeSet<u32>,
    durable: BTreeSet<u32>,
}

/// What is known of an epoch of an attempt.
#[derive(Default)]
struct OpenEpoch {
    tasks: BTreeMap<TaskId, TaskPieces>,
    positions: Vec<SourcePosition>,
    has_voted: bool,
}

/// What is known of a job.
#[derive(Default)]
struct JobEpochs {
    /// Attempts before this one are refused.
    oldest: Attempt,
    /// The attempt that has begun here, if it is not over.
    begun: Option<AttemptRecord>,
    open: BTreeMap<(Attempt, Epoch), OpenEpoch>,
    /// The epochs that have been ticked and are not resolved.
    ticked: BTreeSet<Epoch>,
    /// Whether the coordinator knows that there is something to commit.
    has_told_work: bool,
}

/// How far a partition can be read for good.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct HighWatermark {
    leader_epoch: LeaderEpoch,
    offset: Offset,
}

/// A partition that open epochs have read.
#[derive(Default)]
struct Watched {
    /// What was told of it since it is watched.
    known: Option<HighWatermark>,
    /// How many positions of open epochs lie in it.
    positions: usize,
}

type WatchedPartitions = BTreeMap<(TopicId, PartitionIndex), Watched>;

/// The machine of one shard. Pure: whoever drives it does what its actions say and tells it what has happened.
pub struct Participant {
    shard: ShardId,
    unresolved_max: usize,
    jobs: BTreeMap<JobId, JobEpochs>,
    watched: WatchedPartitions,
}

impl Participant {
    /// A participant that knows nothing yet. `unresolved_max` is the coordinator's.
    #[must_use]
    pub const fn new(shard: ShardId, unresolved_max: usize) -> Self {
        Self { shard, unresolved_max, jobs: BTreeMap::new(), watched: BTreeMap::new() }
    }

    /// An attempt is durable and begins; earlier ones are over.
    pub fn begin(&mut self, record: &AttemptRecord, actions: &mut Vec<ParticipantAction>) {
        self.end(record.job, Attempt(record.attempt.0.saturating_sub(1)));
        let job = self.jobs.entry(record.job).or_default();
        if record.attempt < job.oldest {
            return;
        }
        job.begun = Some(record.clone());
        job.has_told_work = false;
        job.ticked.clear();
        // Pieces of other shards may have come before this message.
        let epochs: Vec<_> = job.open.keys().map(|&(_, epoch)| epoch).collect();
        for epoch in epochs {
            self.vote(record.job, epoch, actions);
        }
    }

    /// An attempt is over, and so are earlier ones: what bears them is refused from now on.
    pub fn end(&mut self, job: JobId, attempt: Attempt) {
        let job = self.jobs.entry(job).or_default();
        if attempt < job.oldest {
            return;
        }
        job.oldest = attempt.next();
        let alive = job.open.split_off(&(job.oldest, Epoch(0)));
        for epoch in std::mem::replace(&mut job.open, alive).values() {
            unwatch(&mut self.watched, epoch);
        }
        if job.begun.as_ref().is_some_and(|begun| begun.attempt <= attempt) {
            job.begun = None;
            job.ticked.clear();
        }
    }

    /// A tick has come: the attempt's sources put their barriers now.
    pub fn tick(&mut self, job: JobId, attempt: Attempt, epoch: Epoch) {
        let job = self.jobs.entry(job).or_default();
        if job.begun.as_ref().is_some_and(|begun| begun.attempt == attempt) {
            job.ticked.insert(epoch);
            job.has_told_work = false;
        }
    }

    /// An epoch of a job is committed.
    pub fn committed(&mut self, entry: &CommitEntry) {
        if let Some(job) = self.jobs.get_mut(&entry.job) {
            if let Some(epoch) = job.open.remove(&(entry.attempt, entry.epoch)) {
                unwatch(&mut self.watched, &epoch);
            }
            if job.begun.as_ref().is_some_and(|begun| begun.attempt == entry.attempt) {
                job.ticked.remove(&entry.epoch);
            }
        }
    }

    /// Whether the sources of a job may read on. They stop while too many epochs are unresolved: the next could not be
    /// ended, and would grow without bound.
    #[must_use]
    pub fn may_read(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.begun.is_some() && job.ticked.len() < self.unresolved_max)
    }

    /// A task has done something that is to be committed: tells the coordinator, once per epoch.
    pub fn worked(&mut self, job: JobId, actions: &mut Vec<ParticipantAction>) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let Some(begun) = &known.begun else { return };
        if !std::mem::replace(&mut known.has_told_work, true) {
            actions.push(ParticipantAction::Work(Work { job, attempt: begun.attempt }));
        }
    }

    /// How many epochs have pieces or announcements here and are neither committed nor aborted.
    #[must_use]
    pub fn open_len(&self) -> usize {
        self.jobs.values().map(|job| job.open.len()).sum()
    }

    /// How many partitions are watched: those that open epochs have read.
    #[must_use]
    pub fn watched_len(&self) -> usize {
        self.watched.len()
    }

    fn open(&mut self, id: PieceId) -> Result<(&mut OpenEpoch, bool), Refused> {
        let mark = id.mark;
        let job = self.jobs.entry(mark.job).or_default();
        if mark.attempt < job.oldest {
            return Err(Refused::Stale { job: mark.job, attempt: mark.attempt, oldest: job.oldest });
        }
        let is_begun = job.begun.as_ref().is_some_and(|begun| begun.attempt == mark.attempt);
        Ok((job.open.entry((mark.attempt, mark.epoch)).or_default(), is_begun))
    }

    /// A piece has come and is to be written to the journal, if it is not refused.
    ///
    /// # Errors
    /// [`Refused`], and then it must not be written.
    pub fn stage(&mut self, id: PieceId, actions: &mut Vec<ParticipantAction>) -> Result<(), Refused> {
        let (epoch, is_begun) = self.open(id)?;
        let task = epoch.tasks.entry(id.mark.task).or_default();
        if task.announced.is_some_and(|announced| id.index >= announced) {
            return Err(Refused::Unannounced(id));
        }
        if !task.staged.insert(id.index) {
            return Err(Refused::Twice(id));
        }
        if is_begun {
            self.vote(id.mark.job, id.mark.epoch, actions);
        }
        Ok(())
    }

    /// A staged piece is durable.
    pub fn durable(&mut self, id: PieceId, actions: &mut Vec<ParticipantAction>) {
        // The attempt may be over by now.
        let Ok((epoch, is_begun)) = self.open(id) else { return };
        epoch.tasks.entry(id.mark.task).or_default().durable.insert(id.index);
        if is_begun {
            self.vote(id.mark.job, id.mark.epoch, actions);
        }
    }

    /// A task has sent all that it has to send to this shard in an epoch. Its positions wait for what is told of their
    /// partitions [from now on](Self::high_watermark): what is known already is to be told again.
    ///
    /// # Errors
    /// [`Refused`] if the attempt is over, the task has announced another number before, or more pieces have come than it
    /// announces.
    pub fn announce(&mut self, done: TaskDone, actions: &mut Vec<ParticipantAction>) -> Result<(), Refused> {
        let id = PieceId { mark: done.mark, index: done.pieces };
        let (epoch, is_begun) = self.open(id)?;
        let task = epoch.tasks.entry(done.mark.task).or_default();
        if task.announced.is_some() {
            return Err(Refused::Twice(id));
        }
        if let Some(&index) = task.staged.range(done.pieces..).next() {
            return Err(Refused::Unannounced(PieceId { index, ..id }));
        }
        task.announced = Some(done.pieces);
        epoch.positions.extend_from_slice(&done.positions);
        for position in &done.positions {
            self.watched.entry((position.topic, position.partition)).or_default().positions += 1;
        }
        if is_begun {
            self.vote(done.mark.job, done.mark.epoch, actions);
        }
        Ok(())
    }

    /// The high watermark of a partition has advanced, or its leader has changed. Nothing is kept of partitions that no open
    /// epoch has read.
    pub fn high_watermark(
        &mut self,
        topic: TopicId,
        partition: PartitionIndex,
        leader_epoch: LeaderEpoch,
        offset: Offset,
        actions: &mut Vec<ParticipantAction>,
    ) {
        let Some(watched) = self.watched.get_mut(&(topic, partition)) else { return };
        let news = Some(HighWatermark { leader_epoch, offset });
        // News may overtake each other.
        if watched.known > news {
            return;
        }
        watched.known = news;
        let reads =
            |epoch: &OpenEpoch| epoch.positions.iter().any(|p| p.topic == topic && p.partition == partition);
        let mut waiting = Vec::new();
        for (&id, job) in &self.jobs {
            let Some(begun) = &job.begun else { continue };
            let epochs = job.open.range((begun.attempt, Epoch(0))..);
            waiting.extend(epochs.filter(|(_, epoch)| reads(epoch)).map(|(&(_, epoch), _)| (id, epoch)));
        }
        for (job, epoch) in waiting {
            self.vote(job, epoch, actions);
        }
    }

    /// Votes on an epoch of the attempt that has begun, if everything is there.
    fn vote(&mut self, id: JobId, number: Epoch, actions: &mut Vec<ParticipantAction>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(begun) = &job.begun else { return };
        let Some(epoch) = job.open.get_mut(&(begun.attempt, number)) else { return };
        if epoch.has_voted || begun.participants.binary_search(&self.shard).is_err() {
            return;
        }
        let mut pieces = 0;
        for task in &begun.tasks {
            let Some(task) = epoch.tasks.get(task) else { return };
            let there = if begun.is_together { task.staged.len() } else { task.durable.len() };
            if task.announced != Some(there as u32) {
                return;
            }
            pieces += there as u32;
        }
        for position in &epoch.positions {
            let watched = self.watched.get(&(position.topic, position.partition));
            let Some(known) = watched.and_then(|watched| watched.known) else { return };
            if known.leader_epoch != position.leader_epoch {
                // News of the position's own leader epoch may still be on the way, but never of an older one.
                if known.leader_epoch > position.leader_epoch {
                    let (job, attempt, position) = (id, begun.attempt, *position);
                    actions.push(ParticipantAction::Fail { job, attempt, position });
                }
                return;
            }
            if known.offset < position.offset {
                return;
            }
        }
        epoch.has_voted = true;
        actions.push(ParticipantAction::Vote(Vote {
            job: id,
            attempt: begun.attempt,
            epoch: number,
            shard: self.shard,
            pieces: begun.is_together.then_some(pieces),
        }));
    }
}

/// An epoch is no longer open: its positions need not be watched for it.
fn unwatch(watched: &mut WatchedPartitions, epoch: &OpenEpoch) {
    for position in &epoch.positions {
        if let Entry::Occupied(mut partition) = watched.entry((position.topic, position.partition)) {
            partition.get_mut().positions -= 1;
            if partition.get().positions == 0 {
                partition.remove();
            }
        }
    }
}
