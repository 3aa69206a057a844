//! A shard's side of commits: it splices what it has staged, in the order of the commit log.
//!
//! **Law**: before a shard answers a read of any of its partitions, it [applies](Applier::apply) through the commit number that is
//! published at that moment. As the number is one word, who has seen an epoch in one partition finds it in every partition that
//! is read after that.
//!
//! A splice needs no sync. But a splice that lies behind appends that are not durable yet is not below the high watermark: the
//! shard makes those durable before it answers, or a reader would find the epoch elsewhere and not here.

use super::commit::{CommitEntry, CommitRecord};
use super::ids::{Attempt, CommitNumber, Epoch, JobId, Mark, PieceId, Target, TaskId};
use std::collections::BTreeMap;

/// What is to be done with what was staged, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplierAction {
    /// Append the piece to its target, and journal a marker of it before any later append there.
    Splice {
        /// Which piece.
        id: PieceId,
        /// Where it goes.
        target: Target,
    },
    /// All pieces of this entry are spliced on this shard: tasks commit their tables through its epoch.
    Committed(CommitEntry),
    /// The piece's epoch is aborted: forget it.
    Discard(PieceId),
}

/// The shard has not got all records that are published: those messages are on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("commit {published} is published, but {next} has not come yet")]
pub struct Behind {
    /// What was published.
    pub published: CommitNumber,
    /// What is missing.
    pub next: CommitNumber,
}

/// An attempt that is over, and the last record that may name it.
#[derive(Clone, Copy)]
struct Over {
    job: JobId,
    attempt: Attempt,
    after_commit: CommitNumber,
}

/// The staged pieces of an epoch on one shard, in the order in which they are spliced.
type Pieces = BTreeMap<(TaskId, u32), Target>;

/// The machine of one shard. Pure: whoever drives it does what its actions say.
pub struct Applier {
    applied: CommitNumber,
    staged: BTreeMap<(JobId, Attempt, Epoch), Pieces>,
    /// Records that have come and are not applied.
    records: BTreeMap<CommitNumber, CommitRecord>,
    over: Vec<Over>,
}

impl Applier {
    /// An applier that has nothing staged and has applied everything through `applied`: what a recovery leaves.
    #[must_use]
    pub const fn new(applied: CommitNumber) -> Self {
        Self { applied, staged: BTreeMap::new(), records: BTreeMap::new(), over: Vec::new() }
    }

    /// How far the commit log is applied here.
    #[must_use]
    pub const fn applied(&self) -> CommitNumber {
        self.applied
    }

    /// How many pieces wait for their epoch.
    #[must_use]
    pub fn staged_len(&self) -> usize {
        self.staged.values().map(Pieces::len).sum()
    }

    /// A piece was staged here: one that the participant did not refuse.
    pub fn stage(&mut self, id: PieceId, target: Target) {
        let mark = id.mark;
        let pieces = self.staged.entry((mark.job, mark.attempt, mark.epoch)).or_default();
        pieces.insert((mark.task, id.index), target);
    }

    /// A record of the commit log has come.
    pub fn committed(&mut self, record: CommitRecord) {
        if record.number > self.applied {
            self.records.insert(record.number, record);
        }
    }

    /// An attempt and those before it are over; records after `after_commit` don't name them.
    pub fn end(
        &mut self,
        job: JobId,
        attempt: Attempt,
        after_commit: CommitNumber,
        actions: &mut Vec<ApplierAction>,
    ) {
        self.over.push(Over { job, attempt, after_commit });
        self.discard(actions);
    }

    /// Applies the commit log through `published`. What could be applied is, also if some is missing.
    ///
    /// # Errors
    /// [`Behind`] if a record has not come yet: no read may be answered before it has.
    pub fn apply(&mut self, published: CommitNumber, actions: &mut Vec<ApplierAction>) -> Result<(), Behind> {
        while self.applied < published {
            let next = self.applied.next();
            let Some(record) = self.records.remove(&next) else { return Err(Behind { published, next }) };
            for entry in record.entries {
                let pieces = self.staged.remove(&(entry.job, entry.attempt, entry.epoch)).unwrap_or_default();
                actions.extend(splices(&entry, pieces));
                actions.push(ApplierAction::Committed(entry));
            }
            self.applied = next;
            self.discard(actions);
        }
        Ok(())
    }

    /// Discards the pieces of attempts that no record can name any more.
    fn discard(&mut self, actions: &mut Vec<ApplierAction>) {
        let (applied, staged) = (self.applied, &mut self.staged);
        self.over.retain(|over| {
            if over.after_commit > applied {
                return true;
            }
            let range = (over.job, Attempt(0), Epoch(0))..(over.job, over.attempt.next(), Epoch(0));
            let keys: Vec<_> = staged.range(range).map(|(&key, _)| key).collect();
            for key in keys {
                let (job, attempt, epoch) = key;
                for (task, index) in staged.remove(&key).unwrap_or_default().into_keys() {
                    let mark = Mark { job, attempt, epoch, task };
                    actions.push(ApplierAction::Discard(PieceId { mark, index }));
                }
            }
            false
        });
    }
}

/// The splices of an entry, by task and number: the same order at every attempt to apply it.
fn splices(entry: &CommitEntry, pieces: Pieces) -> impl Iterator<Item = ApplierAction> + use<> {
    let CommitEntry { job, attempt, epoch, .. } = *entry;
    pieces.into_iter().map(move |((task, index), target)| {
        let id = PieceId { mark: Mark { job, attempt, epoch, task }, index };
        ApplierAction::Splice { id, target }
    })
}
