//! A shard's side of commits: pieces are staged beside their partitions, and spliced onto them when their epoch is
//! committed.
//!
//! **Law**: no read of a partition is answered before everything is applied here that was published when the read began. One
//! word, read by all shards: who has seen an epoch in one partition finds it in every partition that is read after that. A Fetch
//! is as many reads as it names partitions, each with a moment of its own, see `docs/wire.md`.
//!
//! So what is published must be applied, also on a disk that is full by then: a piece is staged, and its epoch voted for,
//! only with the space that its splice will take.

use crate::shard::{Context, PartitionError, Partitions};
use millrace_engine::epoch::{
    Applier, ApplierAction, Attempt, CommitEntry, CommitNumber, CommitRecord, JobId, PieceId, Target,
};
use millrace_record::{SharedBatch, TopicId};
use millrace_runtime::{Queue, sleep, spawn_into};
use millrace_storage::{AppendError, Durable, FatalError, LogKey, LogKind, Piece, PieceMark, SpliceError};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// How long a splice that was refused waits before it tries again.
const RETRY: Duration = Duration::from_millis(100);

/// Why a piece is not staged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StageError {
    /// The partition is gone, or its staged log can't be made.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The staged log does not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl StageError {
    /// Whether it may be staged later: when the disk has space again, or the shard has heard of the partition.
    #[must_use]
    pub fn is_passing(&self, shard: &Context, topic: TopicId) -> bool {
        match self {
            Self::Append(AppendError::Exhausted(_)) => true,
            Self::Partition(PartitionError::NotHosted) => shard.image().topic_by_id(topic).is_some(),
            _ => false,
        }
    }
}

/// How far this shard has come in the commit log.
#[derive(Clone, Copy, Debug)]
pub enum Applied<'a> {
    /// What this entry has here is spliced.
    Entry(&'a CommitEntry),
    /// So is all of the commits up to this one.
    Through(CommitNumber),
}

type OnApplied = Box<dyn Fn(Applied<'_>)>;

/// The commits of a shard. Clones are the same.
#[derive(Clone)]
pub struct Commits(Rc<Inner>);

struct Inner {
    /// The last commit that readers see, on all shards.
    published: Arc<AtomicU64>,
    /// The last commit whose pieces are all spliced here.
    applied: Cell<u64>,
    applier: RefCell<Applier>,
    /// The pieces that wait; `None` while one is being written.
    staged: RefCell<BTreeMap<PieceId, Waiting>>,
    /// A record has come, or the word has risen.
    news: Notify,
    /// Something was applied.
    applied_more: Notify,
    on_applied: RefCell<Option<OnApplied>>,
}

#[derive(Clone, Copy)]
struct Waiting {
    /// The partition that it is for.
    partition: LogKey,
    piece: Option<Piece>,
}

impl Commits {
    /// Nothing staged, nothing committed. `published` is the server's.
    #[must_use]
    pub fn new(published: Arc<AtomicU64>) -> Self {
        Self(Rc::new(Inner {
            published,
            applied: Cell::new(0),
            applier: RefCell::new(Applier::new(CommitNumber(0))),
            staged: RefCell::default(),
            news: Notify::new(),
            applied_more: Notify::new(),
            on_applied: RefCell::default(),
        }))
    }

    /// Begins behind what a recovery has applied, and from then on tells `on_applied` of what is.
    pub fn begin(&self, at: CommitNumber, shard: Context, on_applied: impl Fn(Applied<'_>) + 'static) {
        let inner = &self.0;
        inner.applied.set(at.0);
        inner.applier.replace(Applier::new(at));
        inner.on_applied.replace(Some(Box::new(on_applied)));
        drop(spawn_into(Queue::Control, self.clone().apply_all(shard)));
    }

    /// The last commit that readers see.
    #[must_use]
    pub fn published(&self) -> CommitNumber {
        CommitNumber(self.0.published.load(Ordering::Acquire))
    }

    /// Lets readers on all shards see everything through `number`. Its records were sent to all shards before.
    pub fn publish(&self, number: CommitNumber) {
        self.0.published.store(number.0, Ordering::Release);
    }

    /// Waits until everything is applied that was published when this was called. One load if that is so already.
    pub async fn ready(&self) {
        let published = self.published().0;
        while self.0.applied.get() < published {
            self.0.applied_more.notified().await;
        }
    }

    /// Whether everything that is published is applied.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.applied.get() >= self.published().0
    }

    /// A record of the commit log has come.
    pub fn committed(&self, record: CommitRecord) {
        self.0.applier.borrow_mut().committed(record);
        self.0.news.notify_one();
    }

    /// The published number has risen.
    pub fn look(&self) {
        self.0.news.notify_one();
    }

    /// An attempt is over: what it has staged is given up, except what commits up to `after_commit` name.
    pub fn end(&self, job: JobId, attempt: Attempt, after_commit: CommitNumber, partitions: &Partitions) {
        let mut actions = Vec::new();
        self.0.applier.borrow_mut().end(job, attempt, after_commit, &mut actions);
        for action in actions {
            self.discard(action, partitions);
        }
    }

    /// Stages a piece for a partition of this shard, which is [expected](Self::expect).
    /// Ready when it has its place; the answer tells when it is durable.
    ///
    /// # Errors
    /// [`StageError`]; nothing is staged then.
    pub async fn stage(
        &self,
        partitions: &Partitions,
        id: PieceId,
        partition: (TopicId, i32),
        batches: &[SharedBatch],
    ) -> Result<Durable, StageError> {
        let key = LogKey::data(partition.0, partition.1);
        let (piece, durable) = self.write(partitions, id, partition, batches).await?;
        let is_wanted = match self.0.staged.borrow_mut().get_mut(&id) {
            Some(waiting) => waiting.piece.replace(piece).is_none(),
            None => false,
        };
        if !is_wanted && let Some(log) = partitions.existing(key.with_kind(LogKind::Staged)) {
            log.release(&piece);
        }
        Ok(durable)
    }

    /// Announces a piece, which its [`Participant`](millrace_engine::epoch::Participant) has not refused, and which is to be
    /// [staged](Self::stage) from now on.
    pub fn expect(&self, id: PieceId, target: Target, partition: (TopicId, i32)) {
        let waiting = Waiting { partition: LogKey::data(partition.0, partition.1), piece: None };
        self.0.staged.borrow_mut().insert(id, waiting);
        self.0.applier.borrow_mut().stage(id, target);
    }

    /// Whether a piece is still to be staged: its attempt is not over.
    #[must_use]
    pub fn is_expected(&self, id: PieceId) -> bool {
        self.0.staged.borrow().get(&id).is_some_and(|waiting| waiting.piece.is_none())
    }

    async fn write(
        &self,
        partitions: &Partitions,
        id: PieceId,
        (topic, partition): (TopicId, i32),
        batches: &[SharedBatch],
    ) -> Result<(Piece, Durable), StageError> {
        let log = partitions.log(topic, partition)?;
        let staging = partitions.staged_log(topic, partition).await?;
        let views: Vec<_> = batches.iter().map(SharedBatch::as_batch).collect();
        let staged = staging.stage(&log, piece_mark(id), &views).await?;
        Ok((staged.piece, staged.durable))
    }

    /// Applies the commit log, for the life of the shard. A task of its own: a reader that waits for it may go away.
    async fn apply_all(self, shard: Context) {
        let inner = &self.0;
        loop {
            while inner.applied.get() < self.published().0 {
                let next = CommitNumber(inner.applied.get() + 1);
                let mut actions = Vec::new();
                if inner.applier.borrow_mut().apply(next, &mut actions).is_err() {
                    // The record is on its way.
                    break;
                }
                self.perform(next, actions, shard.partitions()).await;
                inner.applied.set(next.0);
                inner.applied_more.notify_waiters();
                self.tell(Applied::Through(next));
            }
            inner.news.notified().await;
        }
    }

    async fn perform(&self, number: CommitNumber, actions: Vec<ApplierAction>, partitions: &Partitions) {
        let mut splices: BTreeMap<LogKey, Vec<Piece>> = BTreeMap::new();
        let mut committed = Vec::new();
        for action in actions {
            match action {
                ApplierAction::Splice { id, .. } => {
                    let waiting = self.0.staged.borrow_mut().remove(&id);
                    let Some(Waiting { partition, piece: Some(piece) }) = waiting else {
                        unreachable!("{id} is committed, so it was durable here");
                    };
                    splices.entry(partition).or_default().push(piece);
                }
                ApplierAction::Committed(entry) => committed.push(entry),
                ApplierAction::Discard(_) => self.discard(action, partitions),
            }
        }
        for (partition, pieces) in splices {
            if splice(partitions, partition, number, &pieces).await.is_err() {
                // The store has failed and the server ends: nobody is to read on without these pieces.
                return std::future::pending().await;
            }
        }
        committed.iter().for_each(|entry| self.tell(Applied::Entry(entry)));
    }

    fn tell(&self, applied: Applied<'_>) {
        if let Some(on_applied) = &*self.0.on_applied.borrow() {
            on_applied(applied);
        }
    }

    fn discard(&self, action: ApplierAction, partitions: &Partitions) {
        let ApplierAction::Discard(id) = action else { return };
        let waiting = self.0.staged.borrow_mut().remove(&id);
        if let Some(Waiting { partition, piece: Some(piece) }) = waiting
            && let Some(log) = partitions.existing(partition.with_kind(LogKind::Staged))
        {
            log.release(&piece);
        }
    }
}

/// Splices what a commit has for one partition. The space for it was taken when its pieces were staged; should that be gone,
/// because somebody has cut the partition since, it is tried until there is space again: the commit is durable and readers wait.
///
/// # Errors
/// The store has failed for good.
pub(super) async fn splice(
    partitions: &Partitions,
    key: LogKey,
    commit: CommitNumber,
    pieces: &[Piece],
) -> Result<(), FatalError> {
    let mut has_told = false;
    loop {
        let (Some(log), Some(staged)) =
            (partitions.existing(key), partitions.existing(key.with_kind(LogKind::Staged)))
        else {
            // The topic was removed, and its output with it.
            return Ok(());
        };
        match log.splice(&staged, commit.0, pieces).await {
            Ok(_) => {
                // What lies before it in the partition must not hide it when others can see the rest of the epoch. If
                // the store fails meanwhile, the server ends.
                drop(log.durable().await);
                return Ok(());
            }
            Err(
                SpliceError::Append(AppendError::Closed)
                | SpliceError::Read(millrace_storage::ReadError::Closed),
            ) => {
                return Ok(());
            }
            Err(SpliceError::Append(AppendError::Fatal(error))) => return Err(error),
            Err(error) => {
                if !std::mem::replace(&mut has_told, true) {
                    let records: i64 = pieces.iter().map(|piece| piece.next_offset - piece.offset - 1).sum();
                    tracing::error!(partition = %key, %commit, records, %error, "committed output can't be spliced yet: readers of this shard wait");
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// How the log names whose piece it is.
#[must_use]
pub(super) fn piece_mark(id: PieceId) -> PieceMark {
    let mut job = [0; 16];
    job[..8].copy_from_slice(&id.mark.job.0.to_le_bytes());
    PieceMark { job, attempt: id.mark.attempt.0, epoch: id.mark.epoch.0, task: id.mark.task.0 }
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commits through {}", self.0.applied.get())
    }
}
