//! The testbed: workers, topics, epochs, and chance.

use super::{
    epochs::Epochs,
    log::{Log, MESSAGE_BYTES_MAX, OutputRecord, TestRecord, batch_of},
    network::Network,
    random::Random,
};
use crate::{
    epoch::{Epoch, JobId, SourcePosition},
    exchange::ExchangeOptions,
    failure::Failure,
    key::Placement,
    metrics::JobMetrics,
    plan::Plan,
    registry::{JobBuilder, Parameters, build},
    sink::TopicInfo,
    source::{Demand, SourceData, SplitSpec},
    worker::{Budget, Deployment, Inbound, Now, Outbound, Rollback, Worker},
};
use millrace_record::Codec;
use millrace_runtime::{Instant, ShardId};
use std::{collections::BTreeMap, fmt};

/// The one job.
const JOB: JobId = JobId(1);
/// Things happening after which a run is stuck.
const TURNS_MAX: usize = 10_000_000;
/// Epochs after which a job whose input has ended must be drained.
const EPOCHS_TO_DRAIN_MAX: usize = 100;
/// The most records in a batch that [`Testbed::produce`] makes.
const BATCH_RECORDS_MAX: usize = 50;

/// One job on simulated shards. See the [module](super)'s documentation.
pub struct Testbed {
    build: Box<dyn Fn(&mut JobBuilder)>,
    parameters: Parameters,
    shards: usize,
    exchange: Option<ExchangeOptions>,
    budget_max: u32,
    random: Random,
    log: Log,
    network: Network,
    workers: Vec<Worker>,
    epochs: Epochs,
    /// Demands that were not answered yet, each with its shard.
    demands: Vec<(usize, Demand)>,
    failures: Vec<Failure>,
    /// Whether a shard said since the last epoch began that there is something to commit.
    has_worked: bool,
    now_ms: i64,
    /// Whether input ends where the topics end when the job is started.
    is_bounded: bool,
    until: BTreeMap<(String, i32), i64>,
}

impl Testbed {
    /// A testbed for a job: one shard, seed 0, budgets of up to 100 records, unbounded input.
    #[must_use]
    pub fn new(build: impl Fn(&mut JobBuilder) + 'static) -> Self {
        Self {
            build: Box::new(build),
            parameters: Parameters::new(),
            shards: 1,
            exchange: None,
            budget_max: 100,
            random: Random::new(0),
            log: Log::default(),
            network: Network::new(1),
            workers: Vec::new(),
            epochs: Epochs::default(),
            demands: Vec::new(),
            failures: Vec::new(),
            has_worked: false,
            now_ms: 1_000_000,
            is_bounded: false,
            until: BTreeMap::new(),
        }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self.network = Network::new(shards);
        self
    }

    /// What chance follows from: the order of messages, budgets, batches, when epochs end.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Random::new(seed);
        self
    }

    /// Steps have budgets of 1 to `records`.
    #[must_use]
    pub fn budget(mut self, records: u32) -> Self {
        self.budget_max = records.max(1);
        self
    }

    /// Sizes of what is on its way: frames of a few bytes and one credit bring out whatever depends on it.
    #[must_use]
    pub fn exchange(mut self, options: ExchangeOptions) -> Self {
        self.exchange = Some(options);
        self
    }

    /// Sets a parameter of the job.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.parameters = self.parameters.set(name, value);
        self
    }

    /// Creates a topic.
    pub fn topic(&mut self, name: &str, partitions: u32) {
        self.log.create(name, partitions);
    }

    /// Appends records to a partition, in batches of random sizes and encodings.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn produce(&mut self, topic: &str, partition: i32, records: &[TestRecord]) {
        let mut rest = records;
        while !rest.is_empty() {
            let count = 1 + self.random.below(rest.len().min(BATCH_RECORDS_MAX));
            let (batch, tail) = rest.split_at(count);
            let codec = match self.random.below(4) {
                0 | 1 => None,
                2 => Some(Codec::None),
                _ => Some(Codec::Lz4),
            };
            self.log.partition_named(topic, partition).append(&batch_of(batch, codec));
            rest = tail;
        }
    }

    /// Starts the job, on all shards, on unbounded input.
    ///
    /// # Panics
    /// If it can't be built or started.
    pub fn start(&mut self) {
        self.deploy(false);
    }

    /// Starts the job on input that ends where the topics end now: windows fire, and the job is drained.
    ///
    /// # Panics
    /// If it can't be built or started.
    pub fn start_bounded(&mut self) {
        self.is_bounded = true;
        let ends = self.log.topics().flat_map(|(name, topic)| {
            let partitions = topic.partitions.iter().enumerate();
            partitions.map(|(index, partition)| ((name.clone(), index as i32), partition.end))
        });
        self.until = ends.collect();
        self.deploy(false);
    }

    /// Kills every shard, and starts the job again from what was committed.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn kill(&mut self) {
        self.network.clear();
        self.demands.clear();
        self.epochs.abort();
        self.deploy(true);
    }

    /// Like [`kill`](Self::kill), and goes on with another number of shards. Every committed delta is read again.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn kill_and_rescale(&mut self, shards: usize) {
        self.shards = shards;
        self.network = Network::new(shards);
        self.kill();
    }

    /// Drops what is on its way, and has the running workers go back to what was committed.
    pub fn abort(&mut self) {
        self.epochs.abort();
        self.demands.clear();
        let (attempt, to) = (self.epochs.attempt, self.epochs.committed);
        let positions = self.positions();
        for shard in 0..self.shards {
            let positions = positions.clone();
            self.network.tell(shard, Inbound::Rollback(Rollback { job: JOB, attempt, to, positions }));
        }
    }

    /// Where sources go on: also those of which nothing was committed.
    fn positions(&self) -> Vec<SourcePosition> {
        let splits = (0..self.shards).flat_map(|shard| self.splits(&self.plan(), shard));
        let position = |split: SplitSpec| SourcePosition {
            source: split.source,
            topic: split.topic,
            partition: split.partition,
            leader_epoch: 0,
            offset: split.start,
        };
        splits.map(position).collect()
    }

    fn plan(&self) -> Plan {
        let exchange = self.exchange;
        let built = build("test", 1, &self.parameters, |job| {
            if let Some(exchange) = exchange {
                job.exchange(exchange);
            }
            (self.build)(job);
        });
        built.unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn deploy(&mut self, is_restored: bool) {
        fn no_clock() -> Instant {
            Instant::from_nanos(0)
        }
        let shards: Vec<_> = (0..self.shards).map(|shard| ShardId(shard as u16)).collect();
        let now = self.now();
        self.workers = shards.iter().map(|shard| Worker::new(*shard, now, no_clock)).collect();
        let hashes: Vec<_> = shards.iter().map(|_| self.plan().hash()).collect();
        assert!(
            hashes.windows(2).all(|pair| pair[0] == pair[1]),
            "the plan's hash is the same on all shards"
        );
        for shard in 0..self.shards {
            let plan = self.plan();
            let placement = Placement::new(plan.key_groups(), shards.iter().copied());
            let deployment = Deployment {
                job: JOB,
                attempt: self.epochs.attempt,
                placement: placement.unwrap_or_else(|error| panic!("{error}")),
                splits: self.splits(&plan, shard),
                topics: self.topics(),
                is_restored,
                is_bounded: self.is_bounded,
            };
            self.workers[shard].start(plan, deployment).unwrap_or_else(|error| panic!("{error}"));
            if is_restored {
                self.restore(shard);
            }
            self.carry(shard);
        }
    }

    /// The partitions that a shard reads: they are dealt out.
    fn splits(&self, plan: &Plan, shard: usize) -> Vec<SplitSpec> {
        let mut splits = Vec::new();
        for (source, spec) in plan.sources() {
            let topic = self.log.topic(&spec.topic);
            let topic = topic.unwrap_or_else(|| panic!("the job reads topic `{}`: create it", spec.topic));
            for partition in (0..topic.partitions.len()).filter(|partition| partition % self.shards == shard)
            {
                let partition = partition as i32;
                let start = self.epochs.position(source, topic.id, partition);
                let until = self.until.get(&(spec.topic.clone(), partition)).copied();
                splits.push(SplitSpec { source, topic: topic.id, partition, start, until });
            }
        }
        splits
    }

    fn topics(&self) -> BTreeMap<String, TopicInfo> {
        let info = |(name, topic): (&String, &super::log::Topic)| {
            let partitions = topic.partitions.len() as u32;
            let info = TopicInfo { id: topic.id, partitions, max_message_bytes: MESSAGE_BYTES_MAX };
            (name.clone(), info)
        };
        self.log.topics().map(info).collect()
    }

    fn restore(&mut self, shard: usize) {
        let (job, attempt) = (JOB, self.epochs.attempt);
        for (task, run) in self.epochs.changelog() {
            let (task, run) = (*task, run.clone());
            self.network.tell(shard, Inbound::Restore { job, attempt, task, run });
        }
        self.network.tell(shard, Inbound::Restored { job, attempt });
    }

    fn now(&self) -> Now {
        Now { monotonic: Instant::from_nanos(self.now_ms.cast_unsigned() * 1_000_000), unix_ms: self.now_ms }
    }

    /// Lets epochs wait for their commit, as if the log were slow.
    pub const fn hold_commits(&mut self) {
        self.epochs.is_held = true;
    }

    /// Lets epochs be committed again.
    pub fn release_commits(&mut self) {
        self.epochs.is_held = false;
        let committed = self.epochs.commit_complete(self.shards, &mut self.log);
        self.tell_committed(committed);
    }

    /// Lets processing time pass.
    pub fn advance_ms(&mut self, ms: i64) {
        self.now_ms += ms;
    }

    /// Carries off what a worker has to say.
    fn carry(&mut self, shard: usize) {
        let messages: Vec<_> = self.workers[shard].drain_outbox().collect();
        for message in messages {
            match message {
                Outbound::Shard { to, message } => {
                    self.network.send(shard, to.index(), Inbound::Shard(message));
                }
                Outbound::Demand(demand) if demand.attempt == self.epochs.attempt => {
                    self.demands.push((shard, demand));
                }
                Outbound::Append(append) if append.mark.attempt == self.epochs.attempt => {
                    let (mark, output, batches) = (append.mark, append.output, 1);
                    self.epochs.stage(append);
                    self.network.tell(shard, Inbound::Appended { mark, output, batches });
                }
                Outbound::Sealed(sealed) if sealed.mark.attempt == self.epochs.attempt => {
                    self.epochs.seal(sealed);
                }
                Outbound::Passed(passed) if passed.attempt == self.epochs.attempt => {
                    let committed = self.epochs.passed(passed, self.shards, &mut self.log);
                    self.tell_committed(committed);
                }
                Outbound::Worked { attempt, .. } => self.has_worked |= attempt == self.epochs.attempt,
                Outbound::Failed(failure) => self.failures.push(failure),
                Outbound::Demand(_) | Outbound::Append(_) | Outbound::Sealed(_) | Outbound::Passed(_) => {}
            }
        }
    }

    fn tell_committed(&mut self, epoch: Option<Epoch>) {
        let Some(epoch) = epoch else { return };
        for shard in 0..self.shards {
            self.network.tell(shard, Inbound::Committed { job: JOB, epoch });
        }
    }

    /// Lets one thing happen, by chance. Returns whether anything could.
    pub fn turn(&mut self) -> bool {
        match self.random.below(4) {
            0 => self.step_one() || self.deliver_one() || self.answer_one(),
            1 => self.answer_one() || self.step_one() || self.deliver_one(),
            _ => self.deliver_one() || self.step_one() || self.answer_one(),
        }
    }

    /// Gives some shard a step.
    fn step_one(&mut self) -> bool {
        let first = self.random.below(self.shards);
        let budget = Budget { records: 1 + self.random.below(self.budget_max as usize) as u32 };
        let now = self.now();
        for offset in 0..self.shards {
            let shard = (first + offset) % self.shards;
            let outcome = self.workers[shard].step(budget, now);
            let spoke = self.spoke(shard);
            if outcome.more || spoke {
                return true;
            }
        }
        false
    }

    fn spoke(&mut self, shard: usize) -> bool {
        let messages = |bed: &Self| (bed.network.is_empty(), bed.demands.len(), bed.epochs.unresolved());
        let before = messages(self);
        self.carry(shard);
        before != messages(self)
    }

    fn deliver_one(&mut self) -> bool {
        let Some((shard, message)) = self.network.deliver(&mut self.random) else { return false };
        self.workers[shard].deliver(message);
        self.carry(shard);
        true
    }

    /// Answers a demand that can be answered, with some batches.
    fn answer_one(&mut self) -> bool {
        let log = &mut self.log;
        let ready = |(_, d): &(usize, Demand)| log.partition(d.topic, d.partition).end > d.from;
        let Some(index) = self.demands.iter().position(ready) else { return false };
        let (shard, demand) = self.demands.swap_remove(index);
        let count = 1 + self.random.below(4);
        let partition = self.log.partition(demand.topic, demand.partition);
        let (batches, next) = partition.read(demand.from, count);
        let Demand { job, attempt, source, topic, partition: number, .. } = demand;
        let high_watermark = partition.end;
        let data = SourceData {
            job,
            attempt,
            source,
            topic,
            partition: number,
            batches,
            leader_epoch: 0,
            next,
            high_watermark,
        };
        self.network.tell(shard, Inbound::Source(data));
        true
    }

    /// Lets things happen until nothing can.
    ///
    /// # Panics
    /// If that takes for ever.
    pub fn run(&mut self) {
        let mut quiet = 0;
        let mut turns = 0usize;
        while quiet < 3 {
            quiet = if self.turn() { 0 } else { quiet + 1 };
            turns += 1;
            assert!(turns < TURNS_MAX, "the job goes on for ever");
        }
    }

    /// Begins an epoch: barriers go out. Does nothing where too many are unresolved.
    pub fn begin_epoch(&mut self) {
        if self.epochs.unresolved() >= crate::table::UNRESOLVED_MAX {
            return;
        }
        let skip = self.random.below(3) as u64;
        self.has_worked = false;
        let (attempt, epoch) = (self.epochs.attempt, self.epochs.begin(skip));
        for shard in 0..self.shards {
            self.network.tell(shard, Inbound::Barrier { job: JOB, attempt, epoch });
        }
    }

    /// Lets things happen until nothing can, and commits all of it.
    pub fn run_and_commit(&mut self) {
        self.run();
        self.begin_epoch();
        self.run();
    }

    /// Lets all input of a job that was started on bounded input go through, and commits it: every window fires.
    ///
    /// # Panics
    /// If the job was started on unbounded input, or is never drained.
    pub fn run_to_end(&mut self) {
        assert!(self.is_bounded, "unbounded input has no end: use start_bounded");
        for _ in 0..EPOCHS_TO_DRAIN_MAX {
            self.run_and_commit();
            if self.epochs.is_drained || !self.failures.is_empty() {
                return;
            }
        }
        panic!("the input has ended, and the job is not drained");
    }

    /// The committed records of a topic, by partition and offset.
    ///
    /// # Panics
    /// If there is no such topic.
    #[must_use]
    pub fn output(&self, topic: &str) -> Vec<OutputRecord> {
        let topic = self.log.topic(topic).unwrap_or_else(|| panic!("no topic `{topic}`"));
        let partitions = topic.partitions.iter().enumerate();
        partitions.flat_map(|(index, partition)| partition.records(index as i32)).collect()
    }

    /// Failures so far.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Figures of the job, for each shard.
    #[must_use]
    pub fn metrics(&self) -> Vec<JobMetrics> {
        self.workers.iter().flat_map(Worker::metrics).collect()
    }

    /// The last committed epoch.
    #[must_use]
    pub const fn committed(&self) -> Epoch {
        self.epochs.committed
    }

    /// Whether the job has done something since the last epoch began that is to be committed.
    #[must_use]
    pub const fn has_worked(&self) -> bool {
        self.has_worked
    }

    /// How many messages were on one ring between shards at most.
    #[must_use]
    pub const fn longest_ring(&self) -> usize {
        self.network.longest
    }

    /// Bytes of all committed deltas.
    #[must_use]
    pub const fn delta_bytes(&self) -> usize {
        self.epochs.delta_bytes
    }
}

impl fmt::Debug for Testbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Testbed")
            .field("shards", &self.shards)
            .field("epochs", &self.epochs)
            .finish_non_exhaustive()
    }
}
