//! Crashes of the world, and what a start makes of them.

use super::journal::{Entry, Value};
use super::node::{JobState, Node, new_table};
use super::{INPUTS, World};
use crate::epoch::*;
use crate::key::{KeyGroups, Placement};
use crate::table::Table;
use millrace_runtime::ShardId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl World {
    /// Kills everything, keeps what was durable and perhaps more, and starts again.
    pub(super) fn crash(&mut self) {
        for journal in &mut self.journals {
            journal.crash(&mut self.random, self.config.are_frames_split);
        }
        for input in &mut self.inputs {
            let kept = input.high_watermark + self.random.below(input.keys.len() - input.high_watermark + 1);
            input.keys.truncate(kept);
            input.high_watermark = kept;
            input.leader_epoch += 1;
        }
        if self.config.rescales {
            self.config.shards = [1, 2, 4][self.random.below(3)];
        }
        self.mail.clear();
        self.reports.clear();
        self.reader.early_data.clear();
        self.recover();
    }

    /// Starts from what is in the journals.
    pub(super) fn recover(&mut self) {
        self.partitions = self.rebuild_partitions();
        let (log, attempts, found) = self.find();
        let recovery =
            recover(CommitNumber(0), &log, &attempts, &found).expect("a crash leaves what can be recovered");
        self.voids += recovery.void.len();
        self.resplices += recovery.splice.len();
        let shards: Vec<_> = (0..self.config.shards as u16).map(ShardId).collect();
        self.placement = Placement::new(KeyGroups::default(), shards.iter().copied()).unwrap();
        // A splice goes to the journal that has the piece, whoever owns the partition now.
        for piece in &recovery.splice {
            self.splice(usize::from(piece.shard.0), piece.id, piece.target);
        }
        // A world that crashes while it recovers finds the same again: nothing but markers was written.
        let (log, attempts, found) = self.find();
        let again = recover(CommitNumber(0), &log, &attempts, &found).expect("recovery can be repeated");
        assert_eq!(again.splice, []);
        assert_eq!((&again.discard, &again.start), (&recovery.discard, &recovery.start));
        let discarded: BTreeSet<_> = recovery.discard.iter().map(|piece| piece.id).collect();
        let states = self.restore(&found, &discarded, &recovery.committed);
        let options = EpochOptions { unresolved_max: self.config.unresolved_max, ..EpochOptions::default() };
        self.coordinator = Coordinator::new(options, &recovery.start);
        self.published = recovery.start.last_commit;
        self.controls = vec![VecDeque::new(); shards.len()];
        self.nodes = shards
            .iter()
            .zip(states)
            .map(|(&shard, state)| Node {
                shard,
                participant: Participant::new(shard, self.config.unresolved_max),
                applier: Applier::new(self.published),
                state,
                running: BTreeMap::new(),
            })
            .collect();
        for journal in &mut self.journals {
            journal.durable = journal.entries.len();
        }
        self.kept = self.partitions.iter().map(|(&partition, slots)| (partition, slots.len())).collect();
        for input in 0..INPUTS {
            self.set_high_watermark(input, usize::MAX);
        }
    }

    /// Commit log, attempts and pieces, as a start finds them.
    fn find(&self) -> (Vec<CommitRecord>, Vec<AttemptRecord>, Vec<FoundPiece>) {
        let (mut log, mut attempts, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let entries = || self.journals.iter().flat_map(|journal| &journal.entries);
        let spliced: BTreeSet<_> = entries()
            .filter_map(|entry| match entry {
                Entry::Splice { id, target, .. } => Some((*id, *target)),
                _ => None,
            })
            .collect();
        for (shard, journal) in self.journals.iter().enumerate() {
            for entry in &journal.entries {
                match entry {
                    Entry::Piece(bytes) => {
                        let PieceHeader { id, target } = PieceHeader::decode(bytes).unwrap();
                        // Different shards number the pieces of a task each for themselves; the target tells them apart.
                        let is_spliced = spliced.contains(&(id, target));
                        found.push(FoundPiece { id, target, shard: ShardId(shard as u16), is_spliced });
                    }
                    Entry::Commit(bytes) => log.push(CommitRecord::decode(bytes).unwrap()),
                    Entry::Attempt(bytes) => attempts.push(AttemptRecord::decode(bytes).unwrap()),
                    Entry::Splice { .. } | Entry::Client { .. } => {}
                }
            }
        }
        (log, attempts, found)
    }

    /// The output partitions, by the offsets in the journals: there are no holes.
    fn rebuild_partitions(&self) -> BTreeMap<super::Partition, Vec<(Value, usize)>> {
        let mut appends = BTreeMap::<_, Vec<_>>::new();
        for journal in &self.journals {
            for (number, entry) in journal.entries.iter().enumerate() {
                match entry {
                    Entry::Client { partition, offset, value } => {
                        let values = vec![Value::Client(*value)];
                        appends.entry(*partition).or_default().push((*offset, values, number));
                    }
                    Entry::Splice { id, target: Target::Partition { partition, .. }, offset } => {
                        let body = journal.body(*id);
                        let values =
                            body.chunks_exact(8).map(|value| Value::decode(value.try_into().unwrap()));
                        let partition = (id.mark.job.0, *partition);
                        appends.entry(partition).or_default().push((*offset, values.collect(), number));
                    }
                    _ => {}
                }
            }
        }
        let mut partitions = BTreeMap::new();
        for (partition, mut appends) in appends {
            appends.sort_unstable_by_key(|append| append.0);
            let mut slots = Vec::new();
            for (offset, values, number) in appends {
                assert_eq!(offset, slots.len(), "partition {partition:?} has a hole");
                slots.extend(values.into_iter().map(|value| (value, number)));
            }
            partitions.insert(partition, slots);
        }
        partitions
    }

    /// Tables and positions of every shard, from the committed changelogs of all shards.
    fn restore(
        &self,
        found: &[FoundPiece],
        discarded: &BTreeSet<PieceId>,
        committed: &BTreeMap<JobId, Epoch>,
    ) -> Vec<BTreeMap<u64, JobState>> {
        let mut changelogs: Vec<_> = found
            .iter()
            .filter(|piece| piece.target == Target::Changelog && !discarded.contains(&piece.id))
            .map(|piece| {
                (
                    piece.id,
                    Changelog::decode(&self.journals[usize::from(piece.shard.0)].body(piece.id)).unwrap(),
                )
            })
            .collect();
        changelogs.sort_unstable_by_key(|(id, _)| (id.mark.epoch, *id));
        let restore = |shard: &ShardId, job: u64| {
            let mut state = JobState {
                table: new_table(&self.placement, *shard),
                committed: committed.get(&JobId(job)).copied().unwrap_or_default(),
                positions: Positions::default(),
            };
            for (id, changelog) in changelogs.iter().filter(|(id, _)| id.mark.job == JobId(job)) {
                state.positions.apply(id.mark.epoch, &changelog.positions);
                changelog.runs.iter().for_each(|run| state.table.apply(run).unwrap());
            }
            state
        };
        let jobs = 0..self.config.jobs;
        let of_shard = |shard: &ShardId| jobs.clone().map(|job| (job, restore(shard, job))).collect();
        self.placement.shards().iter().map(of_shard).collect()
    }
}
