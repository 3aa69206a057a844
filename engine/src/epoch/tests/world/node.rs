//! A shard of the world: the two machines, and for each job a source task and a counting task.

use super::journal::{Partition, Value};
use super::{Mail, PARTITIONS, input_topic, output_topic};
use crate::epoch::*;
use crate::key::{EncodeKey, HashedKey, Placement};
use crate::table::{Namespace, PointTable, Table, TableId, TableSpec, Width};
use millrace_runtime::ShardId;
use std::collections::{BTreeMap, VecDeque};

/// What flows from a source to a counting task, in order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data {
    Record { input: u8, key: u8 },
    Barrier(Epoch),
}

/// The state of a job on a shard that outlives its attempts.
pub(super) struct JobState {
    pub(super) table: PointTable,
    pub(super) committed: Epoch,
    pub(super) positions: Positions,
}

/// The tasks of the attempt that runs.
pub(super) struct Running {
    pub(super) attempt: Attempt,
    participants: Vec<ShardId>,
    /// How far each input of this shard was read, and how far when the last epoch ended.
    pub(super) cursors: BTreeMap<u8, (i32, usize, usize)>,
    /// From each shard's source.
    pub(super) channels: Vec<VecDeque<Data>>,
    /// What the counting task has put out since the last barrier.
    output: BTreeMap<Partition, Vec<Value>>,
    has_counted: bool,
}

pub(super) struct Node {
    pub(super) shard: ShardId,
    pub(super) participant: Participant,
    pub(super) applier: Applier,
    pub(super) state: BTreeMap<u64, JobState>,
    pub(super) running: BTreeMap<u64, Running>,
}

/// The numbers of the tasks on a shard.
pub(super) fn tasks(shard: ShardId) -> [TaskId; 2] {
    [TaskId(u32::from(shard.0)), TaskId(100 + u32::from(shard.0))]
}

pub(super) fn new_table(placement: &Placement, shard: ShardId) -> PointTable {
    let range = placement.range_of(shard).unwrap();
    let (groups, width) = (placement.groups(), Width::Fixed(2));
    PointTable::new(TableSpec { id: TableId(1), types: 5, groups, range, key: width, value: Width::Fixed(8) })
}

impl Node {
    /// Starts the tasks of an attempt from what is committed.
    pub(super) fn start(&mut self, record: &AttemptRecord, inputs: &[(u8, i32)], shards: usize) {
        let job = record.job.0;
        let state = self.state.get_mut(&job).unwrap();
        state.table.rollback(state.committed);
        let cursors = inputs.iter().map(|&(input, leader_epoch)| {
            let position = state.positions.get(SourceId(0), input_topic(), i32::from(input));
            let offset = position.map_or(0, |position| position.offset as usize);
            (input, (leader_epoch, offset, offset))
        });
        self.running.insert(
            job,
            Running {
                attempt: record.attempt,
                participants: record.participants.clone(),
                cursors: cursors.collect(),
                channels: vec![VecDeque::new(); shards],
                output: BTreeMap::new(),
                has_counted: false,
            },
        );
    }

    /// The source puts a barrier: its positions are staged.
    pub(super) fn end_source_epoch(&mut self, job: u64, epoch: Epoch, mail: &mut Vec<(ShardId, Mail)>) {
        let running = self.running.get_mut(&job).unwrap();
        let mut positions = Vec::new();
        for (&input, (leader_epoch, read, ended)) in &mut running.cursors {
            if *read > *ended {
                *ended = *read;
                positions.push(SourcePosition {
                    source: SourceId(0),
                    topic: input_topic(),
                    partition: i32::from(input),
                    leader_epoch: *leader_epoch,
                    offset: *read as i64,
                });
            }
        }
        let changelog = Changelog { positions: positions.clone(), runs: Vec::new() };
        let mark = Mark { job: JobId(job), attempt: running.attempt, epoch, task: tasks(self.shard)[0] };
        let participants = running.participants.clone();
        self.stage(mark, changelog, BTreeMap::new(), &participants, positions, mail);
    }

    /// The counting task takes one thing from a channel, unless that waits behind its barrier. Tells whether it did.
    pub(super) fn count(&mut self, job: u64, channel: usize, mail: &mut Vec<(ShardId, Mail)>) -> bool {
        let running = self.running.get_mut(&job).unwrap();
        match running.channels[channel].front() {
            Some(&Data::Record { input, key }) => {
                running.channels[channel].pop_front();
                running.has_counted = true;
                let table = &mut self.state.get_mut(&job).unwrap().table;
                let bytes = (input, key).to_key_bytes();
                let count = table.update(Namespace::NONE, HashedKey::new(&bytes), &[0; 8], |value| {
                    let count = u64::from_le_bytes((&*value).try_into().unwrap()) + 1;
                    value.copy_from_slice(&count.to_le_bytes());
                    count as u32
                });
                for half in 0..2 {
                    let partition = i32::from(key) % PARTITIONS + half * PARTITIONS;
                    let value = Value::Count { input, key, count };
                    running.output.entry((job, partition)).or_default().push(value);
                }
                true
            }
            Some(&Data::Barrier(epoch)) => {
                let is_barrier = |channel: &VecDeque<Data>| match channel.front() {
                    Some(Data::Barrier(other)) => {
                        assert_eq!(*other, epoch, "channels bring the same epochs");
                        true
                    }
                    _ => false,
                };
                if !running.channels.iter().all(is_barrier) {
                    return false;
                }
                for channel in &mut running.channels {
                    channel.pop_front();
                }
                self.end_counting_epoch(job, epoch, mail);
                true
            }
            None => false,
        }
    }

    fn end_counting_epoch(&mut self, job: u64, epoch: Epoch, mail: &mut Vec<(ShardId, Mail)>) {
        let running = self.running.get_mut(&job).unwrap();
        let output = std::mem::take(&mut running.output);
        running.has_counted = false;
        let delta = self.state.get_mut(&job).unwrap().table.seal(epoch);
        let mark = Mark { job: JobId(job), attempt: running.attempt, epoch, task: tasks(self.shard)[1] };
        let participants = running.participants.clone();
        self.stage(mark, Changelog::new(Vec::new(), [delta]), output, &participants, Vec::new(), mail);
    }

    /// Whether there is something to commit that the coordinator may not know of.
    pub(super) fn has_work(&self, job: u64) -> bool {
        self.running.get(&job).is_some_and(|running| {
            running.has_counted || running.cursors.values().any(|&(_, read, ended)| read > ended)
        })
    }

    /// Sends the pieces of a task's epoch, and the announcements, in any order.
    fn stage(
        &self,
        mark: Mark,
        changelog: Changelog,
        output: BTreeMap<Partition, Vec<Value>>,
        participants: &[ShardId],
        positions: Vec<SourcePosition>,
        mail: &mut Vec<(ShardId, Mail)>,
    ) {
        let mut counts: BTreeMap<ShardId, u32> = participants.iter().map(|&shard| (shard, 0)).collect();
        let mut send = |shard: ShardId, target: Target, body: Vec<u8>| {
            let index = counts.get_mut(&shard).expect("only participants stage");
            let header = PieceHeader { id: PieceId { mark, index: *index }, target };
            *index += 1;
            mail.push((shard, Mail::Piece([header.encode().as_slice(), &body].concat())));
        };
        if !changelog.is_empty() {
            send(self.shard, Target::Changelog, changelog.encode().concat());
        }
        for ((job, partition), values) in output {
            let owner = super::owner(partition, participants.len());
            let target = Target::Partition { topic: output_topic(job), partition };
            send(owner, target, values.into_iter().flat_map(Value::encode).collect());
        }
        for (shard, pieces) in counts {
            let positions = if shard == self.shard { positions.clone() } else { Vec::new() };
            mail.push((shard, Mail::Done(TaskDone { mark, pieces, positions })));
        }
    }
}
