//! The epochs of the one job of a test: pieces, votes, commits, and what a restart finds.

use super::log::Log;
use crate::{
    epoch::{Attempt, Epoch, TaskId},
    sink::StagedAppend,
    source::SourcePosition,
    table::{Delta, TableId},
    worker::{Sealed, Vote},
};
use bytes::Bytes;
use millrace_record::{Offset, PartitionIndex, TopicId};
use std::collections::BTreeMap;

/// What is known of epochs.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    pub(super) attempt: Attempt,
    /// The last epoch whose barriers were sent.
    pub(super) begun: Epoch,
    pub(super) committed: Epoch,
    /// Epochs begun and not committed, with the votes of each.
    open: BTreeMap<Epoch, Vec<Vote>>,
    /// Pieces of epochs that are not committed.
    sealed: Vec<Sealed>,
    staged: Vec<StagedAppend>,
    /// The changelog: deltas of committed epochs, in order.
    changelog: Vec<(Epoch, TaskId, TableId, Bytes)>,
    /// Where sources go on, as of the last commit.
    positions: BTreeMap<(TopicId, PartitionIndex), SourcePosition>,
    /// Whether the committed epoch is the last: all input went through.
    pub(super) is_drained: bool,
    /// The bytes of all deltas.
    pub(super) delta_bytes: usize,
}

impl Epochs {
    /// How many epochs wait for their commit.
    pub(super) fn unresolved(&self) -> usize {
        self.open.len()
    }

    /// Begins an epoch; returns its number. They need not be consecutive.
    pub(super) fn begin(&mut self, skip: u64) -> Epoch {
        self.begun = Epoch(self.begun.0 + 1 + skip);
        self.open.insert(self.begun, Vec::new());
        self.begun
    }

    pub(super) fn seal(&mut self, sealed: Sealed) {
        assert_eq!(sealed.attempt, self.attempt, "pieces of older attempts are not delivered");
        self.sealed.push(sealed);
    }

    pub(super) fn stage(&mut self, append: StagedAppend) {
        self.staged.push(append);
    }

    /// Takes a vote; commits what is complete, in order. Returns the last epoch committed by this.
    pub(super) fn vote(&mut self, vote: Vote, shards: usize, log: &mut Log) -> Option<Epoch> {
        self.open.get_mut(&vote.epoch).expect("a vote for an epoch that was begun").push(vote);
        self.commit_complete(shards, log)
    }

    /// Commits the epochs whose votes and batches are all there.
    pub(super) fn commit_complete(&mut self, shards: usize, log: &mut Log) -> Option<Epoch> {
        let mut last = None;
        while let Some(first) = self.open.first_entry() {
            let epoch = *first.key();
            let announced: u32 = self.sealed.iter().filter(|s| s.epoch == epoch).map(|s| s.batches).sum();
            let arrived = self.pieces(epoch);
            if self.open[&epoch].len() < shards || arrived < announced as usize {
                break;
            }
            let votes = self.open.remove(&epoch).unwrap_or_default();
            self.is_drained = votes.iter().all(|vote| vote.is_drained);
            self.commit(epoch, log);
            last = Some(epoch);
        }
        last
    }

    /// How many staged batches belong to an epoch: those of the tasks that sealed it, marked with the barrier before.
    fn pieces(&self, epoch: Epoch) -> usize {
        let mark = |append: &&StagedAppend| {
            self.sealed.iter().any(|s| s.epoch == epoch && s.task == append.task && s.after == append.after)
        };
        self.staged.iter().filter(mark).count()
    }

    fn commit(&mut self, epoch: Epoch, log: &mut Log) {
        let sealed: Vec<_> = self.sealed.extract_if(.., |sealed| sealed.epoch == epoch).collect();
        for sealed in sealed {
            let (task, after) = (sealed.task, sealed.after);
            for append in self.staged.extract_if(.., |append| append.task == task && append.after == after) {
                log.partition(append.topic, append.partition).append(&append.batch);
            }
            for Delta { table, runs, .. } in sealed.deltas {
                for run in runs {
                    self.delta_bytes += run.bytes.len();
                    self.changelog.push((epoch, task, table, run.bytes));
                }
            }
            for position in sealed.positions {
                self.positions.insert((position.topic, position.partition), position);
            }
        }
        self.committed = epoch;
    }

    /// An attempt is over: everything that is not committed is forgotten.
    pub(super) fn abort(&mut self) {
        self.attempt = Attempt(self.attempt.0 + 1);
        self.open.clear();
        self.sealed.clear();
        self.staged.clear();
    }

    pub(super) fn changelog(&self) -> &[(Epoch, TaskId, TableId, Bytes)] {
        &self.changelog
    }

    pub(super) fn position(&self, topic: TopicId, partition: PartitionIndex) -> Offset {
        self.positions.get(&(topic, partition)).map_or(0, |position| position.offset)
    }

    pub(super) fn positions(&self) -> Vec<SourcePosition> {
        self.positions.values().copied().collect()
    }
}
