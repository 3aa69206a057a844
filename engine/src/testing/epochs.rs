//! The epochs of the one job of a test: pieces, commits, and what a restart finds.

use super::log::Log;
use crate::{
    epoch::{Attempt, Epoch, SourceId, SourcePosition, TaskId},
    sink::StagedAppend,
    worker::{Passed, Sealed},
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
    /// Epochs begun and not committed, with the shards that have passed each.
    open: BTreeMap<Epoch, Vec<Passed>>,
    /// Pieces of epochs that are not committed.
    sealed: Vec<Sealed>,
    staged: Vec<StagedAppend>,
    /// Runs of committed epochs, in order.
    changelog: Vec<(TaskId, Bytes)>,
    /// Where sources go on, as of the last commit.
    positions: BTreeMap<(SourceId, TopicId, PartitionIndex), SourcePosition>,
    /// Whether commits wait.
    pub(super) is_held: bool,
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
        let staged = self.staged.iter().filter(|append| append.mark == sealed.mark).count();
        assert_eq!(staged, sealed.appends as usize, "all batches come before what seals them");
        self.sealed.push(sealed);
    }

    pub(super) fn stage(&mut self, append: StagedAppend) {
        self.staged.push(append);
    }

    /// A shard has passed a barrier. Commits what is complete, in order; returns the last epoch committed by this.
    pub(super) fn passed(&mut self, passed: Passed, shards: usize, log: &mut Log) -> Option<Epoch> {
        self.open.get_mut(&passed.epoch).expect("an epoch that was begun").push(passed);
        self.commit_complete(shards, log)
    }

    /// Commits the epochs that all shards have passed.
    pub(super) fn commit_complete(&mut self, shards: usize, log: &mut Log) -> Option<Epoch> {
        let mut last = None;
        while !self.is_held
            && let Some(first) = self.open.first_entry()
            && first.get().len() == shards
        {
            let (epoch, passed) = first.remove_entry();
            self.is_drained = passed.iter().all(|passed| passed.is_drained);
            self.commit(epoch, log);
            last = Some(epoch);
        }
        last
    }

    fn commit(&mut self, epoch: Epoch, log: &mut Log) {
        for append in self.staged.extract_if(.., |append| append.mark.epoch == epoch) {
            log.partition(append.topic, append.partition).append(&append.batch);
        }
        for sealed in self.sealed.extract_if(.., |sealed| sealed.mark.epoch == epoch) {
            for run in sealed.changelog.runs {
                self.delta_bytes += run.len();
                self.changelog.push((sealed.mark.task, run));
            }
            for position in sealed.changelog.positions {
                self.positions.insert((position.source, position.topic, position.partition), position);
            }
        }
        self.committed = epoch;
    }

    /// An attempt is over: everything that is not committed is forgotten.
    pub(super) fn abort(&mut self) {
        self.attempt = self.attempt.next();
        self.open.clear();
        self.sealed.clear();
        self.staged.clear();
    }

    pub(super) fn changelog(&self) -> &[(TaskId, Bytes)] {
        &self.changelog
    }

    pub(super) fn position(&self, source: SourceId, topic: TopicId, partition: PartitionIndex) -> Offset {
        self.positions.get(&(source, topic, partition)).map_or(0, |position| position.offset)
    }
}
