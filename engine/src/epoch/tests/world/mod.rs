//! A server in small: shards with their machines and journals, a coordinator, jobs that count, clients that append.
//!
//! Every step is chosen by a seed: a message is delivered, a journal synced in part, an input grows, a task works, time passes, a
//! job fails, a reader reads, everything is killed. Messages between the machines have no order, but for those of the coordinator
//! to a shard and the data between tasks.
//!
//! The job reads inputs and puts out, for each record, how many of its key that input has had so far: to two partitions, which are
//! never on the same shard if there are two. So a reader can tell that nothing is missing, twice, or visible by half.

mod journal;
mod node;
mod reader;
mod recover;

use crate::epoch::*;
use crate::key::{EncodeKey, KeyGroups, KeyHash, Placement};
use crate::table::Table;
use journal::{Entry, Journal, Partition, Value};
use millrace_record::TopicId;
use millrace_runtime::ShardId;
use node::{Data, Node, tasks};
use reader::Reader;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How many partitions each half of a job's output has.
const PARTITIONS: i32 = 2;
/// How many inputs there are, and how many keys in each.
const INPUTS: u8 = 3;
const KEYS: u8 = 5;

/// A source of choices.
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config {
    pub(super) shards: usize,
    pub(super) jobs: u64,
    /// The most unresolved epochs.
    pub(super) unresolved_max: usize,
    /// A single shard's commits are written together with their pieces.
    pub(super) is_together: bool,
    /// A crash keeps a prefix of each partition's entries instead of one of the journal.
    pub(super) are_frames_split: bool,
    /// How many percent of the chances to deliver a message are passed over.
    pub(super) delay: usize,
    /// The same for the chances to sync a journal.
    pub(super) disk_delay: usize,
    /// Sources read above the high watermark.
    pub(super) reads_ahead: bool,
    /// The number of shards changes with every crash.
    pub(super) rescales: bool,
}

/// A message without an order.
#[derive(Clone, Debug)]
enum Mail {
    Piece(Vec<u8>),
    Done(TaskDone),
    HighWatermark { input: u8, leader_epoch: i32, offset: usize },
}

/// A message to the coordinator, without an order.
#[derive(Clone, Copy, Debug)]
enum Report {
    Vote(Vote),
    Work(Work),
    Fail(JobId, Attempt),
    AttemptDurable(JobId, Attempt),
    CommitDurable(CommitNumber),
}

struct Input {
    keys: Vec<u8>,
    high_watermark: usize,
    leader_epoch: i32,
}

pub(super) struct World {
    config: Config,
    random: Random,
    now: Duration,
    journals: Vec<Journal>,
    nodes: Vec<Node>,
    placement: Placement,
    coordinator: Coordinator,
    published: CommitNumber,
    controls: Vec<VecDeque<Control>>,
    mail: Vec<(ShardId, Mail)>,
    reports: Vec<Report>,
    inputs: Vec<Input>,
    /// The output partitions: value, and the journal entry that has it.
    partitions: BTreeMap<Partition, Vec<(Value, usize)>>,
    /// How many records of each were there after the last crash: these are durable, in whichever journal they are.
    kept: BTreeMap<Partition, usize>,
    reader: Reader,
    clients: u32,
    pub(super) epochs_seen: u64,
    pub(super) voids: usize,
    pub(super) resplices: usize,
    pub(super) discards: usize,
}

fn input_topic() -> TopicId {
    TopicId::from_bytes([0xee; 16])
}

fn output_topic(job: u64) -> TopicId {
    TopicId::from_bytes([job as u8; 16])
}

/// The shard that has an output partition.
fn owner(partition: i32, shards: usize) -> ShardId {
    // The two halves of a record's output are neighbours.
    let number = partition % PARTITIONS + partition / PARTITIONS;
    ShardId((number as usize % shards) as u16)
}

impl World {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        let options = EpochOptions { unresolved_max: config.unresolved_max, ..EpochOptions::default() };
        let input = |_| Input { keys: Vec::new(), high_watermark: 0, leader_epoch: 0 };
        let mut world = Self {
            config,
            random: Random(seed | 1),
            now: Duration::ZERO,
            journals: (0..4).map(|_| Journal::default()).collect(),
            nodes: Vec::new(),
            placement: Placement::new(KeyGroups::default(), [ShardId(0)]).unwrap(),
            coordinator: Coordinator::new(options, &CoordinatorStart::default()),
            published: CommitNumber(0),
            controls: Vec::new(),
            mail: Vec::new(),
            reports: Vec::new(),
            inputs: (0..INPUTS).map(input).collect(),
            partitions: BTreeMap::new(),
            kept: BTreeMap::new(),
            reader: Reader::default(),
            clients: 0,
            epochs_seen: 0,
            voids: 0,
            resplices: 0,
            discards: 0,
        };
        world.recover();
        world
    }

    /// Does `steps` things, then lets the world come to rest without trouble and looks whether all is done.
    pub(super) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        for round in 0.. {
            assert!(round < 3_000, "the world does not come to rest");
            self.settle();
            if self.read().is_some_and(|found| self.is_complete(&found)) && self.is_at_rest() {
                break;
            }
        }
        self.crash();
        assert!(self.read().is_some_and(|found| self.is_complete(&found)), "a crash at rest takes nothing");
    }

    /// Whether nothing is under way, and nothing is left behind.
    fn is_at_rest(&self) -> bool {
        let is_idle = |node: &Node| node.applier.staged_len() == 0 && node.participant.open_len() == 0;
        self.coordinator.unresolved() == 0 && self.mail.is_empty() && self.nodes.iter().all(is_idle)
    }

    fn step(&mut self) {
        match self.random.below(200) {
            0 => self.crash(),
            1..=2 => self.fail_a_job(),
            3 => self.change_a_leader(),
            4..=30 => self.grow_an_input(),
            31..=40 => self.sync_an_input(),
            41..=70 => self.sync_a_journal(),
            71..=74 => self.client_appends(),
            75..=80 => {
                self.read();
            }
            81..=130 => self.work(),
            131..=145 => self.advance(),
            146..=165 => self.deliver_control(),
            _ => self.deliver(),
        }
    }

    /// One round of everything that helps.
    fn settle(&mut self) {
        for number in 0..INPUTS {
            let input = &self.inputs[usize::from(number)];
            if input.high_watermark < input.keys.len() {
                self.set_high_watermark(number, usize::MAX);
            }
        }
        for shard in 0..self.nodes.len() {
            let synced = self.journals[shard].sync(&mut self.random);
            self.report_durable(shard, synced);
        }
        self.advance();
        for _ in 0..20 {
            self.work();
            self.deliver_control();
            self.deliver();
        }
    }

    fn grow_an_input(&mut self) {
        let input = self.random.below(INPUTS.into());
        let key = self.random.below(KEYS.into()) as u8;
        self.inputs[input].keys.push(key);
    }

    /// An input's leader changes, and what was not durable there is gone.
    fn change_a_leader(&mut self) {
        let number = self.random.below(INPUTS.into()) as u8;
        let input = &mut self.inputs[usize::from(number)];
        input.keys.truncate(input.high_watermark);
        input.leader_epoch += 1;
        self.set_high_watermark(number, usize::MAX);
    }

    fn sync_an_input(&mut self) {
        if self.config.reads_ahead && self.random.chance(self.config.disk_delay) {
            return;
        }
        let input = self.random.below(INPUTS.into()) as u8;
        let known = &self.inputs[usize::from(input)];
        let more = self.random.below(known.keys.len() - known.high_watermark + 1);
        self.set_high_watermark(input, known.high_watermark + more);
    }

    fn set_high_watermark(&mut self, number: u8, offset: usize) {
        let input = &mut self.inputs[usize::from(number)];
        input.high_watermark = offset.min(input.keys.len());
        let (leader_epoch, offset) = (input.leader_epoch, input.high_watermark);
        for node in &self.nodes {
            self.mail.push((node.shard, Mail::HighWatermark { input: number, leader_epoch, offset }));
        }
    }

    fn sync_a_journal(&mut self) {
        if self.random.chance(self.config.disk_delay) {
            return;
        }
        let shard = self.random.below(self.nodes.len());
        let synced = self.journals[shard].sync(&mut self.random);
        self.report_durable(shard, synced);
    }

    fn report_durable(&mut self, shard: usize, synced: Vec<Entry>) {
        for entry in synced {
            match entry {
                Entry::Piece(bytes) => {
                    let id = PieceHeader::decode(&bytes).unwrap().id;
                    let mut actions = Vec::new();
                    self.nodes[shard].participant.durable(id, &mut actions);
                    self.take(actions);
                }
                Entry::Commit(bytes) => {
                    let record = CommitRecord::decode(&bytes).unwrap();
                    self.reports.push(Report::CommitDurable(record.number));
                }
                Entry::Attempt(bytes) => {
                    let record = AttemptRecord::decode(&bytes).unwrap();
                    self.reports.push(Report::AttemptDurable(record.job, record.attempt));
                }
                Entry::Client { partition, offset, value } => {
                    self.reader.acknowledge(partition, offset, value);
                }
                Entry::Splice { .. } => {}
            }
        }
    }

    fn client_appends(&mut self) {
        let job = self.random.below(self.config.jobs as usize) as u64;
        let partition = (job, self.random.below(2 * PARTITIONS as usize) as i32);
        let value = self.clients;
        self.clients += 1;
        let shard = usize::from(owner(partition.1, self.nodes.len()).0);
        let offset = self.partitions.entry(partition).or_default().len();
        let entry = self.journals[shard].append(Entry::Client { partition, offset, value });
        self.partitions.entry(partition).or_default().push((Value::Client(value), entry));
    }

    fn fail_a_job(&mut self) {
        let job = JobId(self.random.below(self.config.jobs as usize) as u64);
        if let Some(attempt) = self.coordinator.attempt(job) {
            let mut actions = Vec::new();
            self.coordinator.end(job, attempt, &mut actions);
            self.obey(actions);
        }
    }

    /// Starts attempts, epochs and commits that are due.
    fn advance(&mut self) {
        self.now += Duration::from_millis(self.random.below(15) as u64);
        let mut actions = Vec::new();
        for job in 0..self.config.jobs {
            if self.coordinator.attempt(JobId(job)).is_none() {
                let plan = AttemptPlan {
                    plan: 0,
                    tasks: self.nodes.iter().flat_map(|node| tasks(node.shard)).collect(),
                    participants: self.nodes.iter().map(|node| node.shard).collect(),
                    is_together: self.config.is_together && self.nodes.len() == 1,
                };
                // It may have to wait for commits under way.
                let _is_started = self.coordinator.start(JobId(job), plan, &mut actions).is_ok();
            }
        }
        self.coordinator.advance(self.now, &mut actions);
        assert!(self.coordinator.unresolved() <= self.config.unresolved_max);
        self.obey(actions);
    }

    fn obey(&mut self, actions: Vec<CoordinatorAction>) {
        for action in actions {
            match action {
                CoordinatorAction::WriteAttempt(record) => {
                    self.journals[0].append(Entry::Attempt(record.encode()));
                }
                CoordinatorAction::WriteCommit(record) => {
                    self.journals[0].append(Entry::Commit(record.encode()));
                }
                CoordinatorAction::Broadcast(control) => {
                    self.epochs_seen += u64::from(matches!(control, Control::Tick { .. }));
                    self.controls.iter_mut().for_each(|queue| queue.push_back(control.clone()));
                }
                CoordinatorAction::Publish(number) => self.published = number,
            }
        }
    }

    /// Some task somewhere does something.
    fn work(&mut self) {
        let job = self.random.below(self.config.jobs as usize) as u64;
        let shard = self.random.below(self.nodes.len());
        let shards = self.nodes.len();
        let node = &mut self.nodes[shard];
        if !node.running.contains_key(&job) {
            return;
        }
        if self.random.chance(50) {
            self.read_source(job, shard);
        } else {
            let channel = self.random.below(shards);
            node.count(job, channel, &mut self.mail);
        }
        let node = &mut self.nodes[shard];
        if node.has_work(job) {
            let mut actions = Vec::new();
            node.participant.worked(JobId(job), &mut actions);
            self.take(actions);
        }
    }

    fn read_source(&mut self, job: u64, shard: usize) {
        let node = &mut self.nodes[shard];
        if !node.participant.may_read(JobId(job)) {
            return;
        }
        let running = node.running.get_mut(&job).unwrap();
        let attempt = running.attempt;
        let Some((&input, cursor)) = running.cursors.iter_mut().nth(self.random.below(3)) else { return };
        let from = &self.inputs[usize::from(input)];
        let end = if self.config.reads_ahead { from.keys.len() } else { from.high_watermark };
        if cursor.1 >= end {
            return;
        }
        if cursor.0 != from.leader_epoch {
            // The source notices at some time; until then its participant must see to it that nothing wrong is committed.
            if self.random.chance(10) {
                self.reports.push(Report::Fail(JobId(job), attempt));
            }
            return;
        }
        let key = from.keys[cursor.1];
        cursor.1 += 1;
        let hash = KeyHash::of(&(input, key).to_key_bytes());
        let to = usize::from(self.placement.shard_of(hash).0);
        self.send(job, attempt, shard, to, Data::Record { input, key });
    }

    /// Puts data into the channel of a task, if that is of the same attempt. A shard that is late to begin gets nothing before: its
    /// channels are made when the attempt begins.
    fn send(&mut self, job: u64, attempt: Attempt, from: usize, to: usize, data: Data) {
        if let Some(running) =
            self.nodes[to].running.get_mut(&job).filter(|running| running.attempt == attempt)
        {
            running.channels[from].push_back(data);
        } else {
            let late = self.reader.early_data.entry((job, attempt, to)).or_default();
            late.push((from, data));
        }
    }

    fn deliver_control(&mut self) {
        if self.random.chance(self.config.delay) {
            return;
        }
        let shard = self.random.below(self.nodes.len());
        let Some(control) = self.controls[shard].pop_front() else { return };
        match control {
            Control::Begin(record) => {
                self.apply(shard, record.after_commit)
                    .expect("commits come before the attempt that follows them");
                let mut actions = Vec::new();
                self.nodes[shard].participant.begin(&record, &mut actions);
                self.take(actions);
                let shards = self.nodes.len();
                let inputs: Vec<_> = (0..INPUTS)
                    .filter(|&input| usize::from(input) % shards == shard)
                    .map(|input| (input, self.inputs[usize::from(input)].leader_epoch))
                    .collect();
                self.nodes[shard].start(&record, &inputs, shards);
                let early = self.reader.early_data.remove(&(record.job.0, record.attempt, shard));
                for (from, data) in early.unwrap_or_default() {
                    self.send(record.job.0, record.attempt, from, shard, data);
                }
            }
            Control::Tick { epoch, jobs } => {
                // Of what is published now some may have come behind the tick; what came before it is enough.
                let _is_behind = self.apply(shard, self.published).is_err();
                for (job, attempt) in jobs {
                    self.tick(shard, job, attempt, epoch);
                }
            }
            Control::Committed(record) => {
                self.nodes[shard].applier.committed(record);
                if self.random.chance(50) {
                    let _is_behind = self.apply(shard, self.published).is_err();
                }
            }
            Control::End { job, attempt, after_commit } => {
                let node = &mut self.nodes[shard];
                node.participant.end(job, attempt);
                if node.running.get(&job.0).is_some_and(|running| running.attempt <= attempt) {
                    node.running.remove(&job.0);
                }
                let mut actions = Vec::new();
                node.applier.end(job, attempt, after_commit, &mut actions);
                self.perform(shard, actions);
            }
        }
    }

    fn tick(&mut self, shard: usize, job: JobId, attempt: Attempt, epoch: Epoch) {
        let node = &mut self.nodes[shard];
        node.participant.tick(job, attempt, epoch);
        if node.running.get(&job.0).is_none_or(|running| running.attempt != attempt) {
            return;
        }
        node.end_source_epoch(job.0, epoch, &mut self.mail);
        for to in 0..self.nodes.len() {
            self.send(job.0, attempt, shard, to, Data::Barrier(epoch));
        }
    }

    /// Delivers any message but control.
    fn deliver(&mut self) {
        if self.random.chance(self.config.delay) {
            return;
        }
        let which = self.random.below(self.mail.len() + self.reports.len());
        if which < self.mail.len() {
            let (to, mail) = self.mail.swap_remove(which);
            self.deliver_to_shard(usize::from(to.0), mail);
        } else if which < self.mail.len() + self.reports.len() {
            let report = self.reports.swap_remove(which - self.mail.len());
            let mut actions = Vec::new();
            match report {
                Report::Vote(vote) => self.coordinator.vote(vote),
                Report::Work(work) => self.coordinator.work(work),
                Report::Fail(job, attempt) => self.coordinator.end(job, attempt, &mut actions),
                Report::AttemptDurable(job, attempt) => {
                    self.coordinator.attempt_durable(job, attempt, &mut actions);
                }
                Report::CommitDurable(through) => self.coordinator.commit_durable(through, &mut actions),
            }
            self.obey(actions);
        }
    }

    fn deliver_to_shard(&mut self, shard: usize, mail: Mail) {
        let node = &mut self.nodes[shard];
        let mut actions = Vec::new();
        match mail {
            Mail::Piece(bytes) => {
                let header = PieceHeader::decode(&bytes).unwrap();
                match node.participant.stage(header.id, &mut actions) {
                    Ok(()) => {
                        node.applier.stage(header.id, header.target);
                        self.journals[shard].append(Entry::Piece(bytes));
                    }
                    Err(refused) => assert!(matches!(refused, Refused::Stale { .. }), "{refused}"),
                }
            }
            Mail::Done(done) => {
                let positions = done.positions.clone();
                let announced = node.participant.announce(done, &mut actions);
                assert!(matches!(announced, Ok(()) | Err(Refused::Stale { .. })), "{announced:?}");
                for SourcePosition { topic, partition, .. } in positions {
                    let known = &self.inputs[partition as usize];
                    let (leader_epoch, offset) = (known.leader_epoch, known.high_watermark as i64);
                    node.participant.high_watermark(topic, partition, leader_epoch, offset, &mut actions);
                }
            }
            Mail::HighWatermark { input, leader_epoch, offset } => {
                let (topic, partition) = (input_topic(), i32::from(input));
                node.participant.high_watermark(topic, partition, leader_epoch, offset as i64, &mut actions);
            }
        }
        self.take(actions);
    }

    /// Tells the coordinator. Most comes as mail does; but who votes early means to have the commit in the same frame as the
    /// pieces, so that the coordinator hears it at once. What comes with such votes, of later epochs, has no such hurry.
    fn take(&mut self, actions: Vec<ParticipantAction>) {
        let mut is_early = false;
        for action in actions {
            match action {
                ParticipantAction::Vote(vote) if vote.pieces.is_some() => {
                    is_early = true;
                    self.coordinator.vote(vote);
                }
                ParticipantAction::Vote(vote) => self.reports.push(Report::Vote(vote)),
                ParticipantAction::Work(work) => self.reports.push(Report::Work(work)),
                ParticipantAction::Fail { job, attempt, .. } => self.reports.push(Report::Fail(job, attempt)),
            }
        }
        if is_early {
            let mut actions = Vec::new();
            self.coordinator.advance(self.now, &mut actions);
            self.obey(actions);
        }
    }

    /// Brings a shard up to a commit number.
    fn apply(&mut self, shard: usize, published: CommitNumber) -> Result<(), Behind> {
        let mut actions = Vec::new();
        let applied = self.nodes[shard].applier.apply(published, &mut actions);
        self.perform(shard, actions);
        applied
    }

    fn perform(&mut self, shard: usize, actions: Vec<ApplierAction>) {
        for action in actions {
            match action {
                ApplierAction::Splice { id, target } => {
                    self.splice(shard, id, target);
                    if target == Target::Changelog {
                        let changelog = Changelog::decode(&self.journals[shard].body(id)).unwrap();
                        let state = self.nodes[shard].state.get_mut(&id.mark.job.0).unwrap();
                        state.positions.apply(id.mark.epoch, &changelog.positions);
                    }
                }
                ApplierAction::Committed(entry) => {
                    let node = &mut self.nodes[shard];
                    node.participant.committed(&entry);
                    let state = node.state.get_mut(&entry.job.0).unwrap();
                    state.table.commit(entry.epoch);
                    state.committed = entry.epoch;
                }
                ApplierAction::Discard(_) => self.discards += 1,
            }
        }
    }

    /// Appends a piece to its target: a marker goes to the journal.
    fn splice(&mut self, shard: usize, id: PieceId, target: Target) {
        let mut offset = 0;
        let mut values = Vec::new();
        if let Target::Partition { partition, .. } = target {
            let body = self.journals[shard].body(id);
            values = body.chunks_exact(8).map(|value| Value::decode(value.try_into().unwrap())).collect();
            offset = self.partitions.entry((id.mark.job.0, partition)).or_default().len();
        }
        let entry = self.journals[shard].append(Entry::Splice { id, target, offset });
        if let Target::Partition { partition, .. } = target {
            let slots = self.partitions.entry((id.mark.job.0, partition)).or_default();
            slots.extend(values.into_iter().map(|value| (value, entry)));
        }
    }
}
