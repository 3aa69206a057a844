//! Workers alone: their messages go over real rings, their sources read memory, and epochs commit as soon as all have passed.

use super::Run;
use millrace::demo::job::{DELAYS_TOPIC, JOB, LATE_TOPIC, delays};
use millrace_bench::cpu;
use millrace_engine::{
    epoch::{Attempt, Epoch, JobId, SourceId},
    key::Placement,
    prelude::*,
    registry::build,
    sink::TopicInfo,
    source::{Demand, SourceBatch, SourceData, SplitSpec},
    worker::{Deployment, Inbound, Now, Outbound, Pace, Passed, ShardMessage, Worker},
};
use millrace_record::{SharedBatch, TopicId};
use millrace_runtime::{Instant, LaunchOptions, Mesh, Port, Shard, ShardId, launch, yield_now};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const ID: JobId = JobId(1);
const ATTEMPT: Attempt = Attempt(0);
const RING: usize = 4096;
/// As the server's default.
const EPOCH: Duration = Duration::from_millis(10);

/// The topic, by partition.
type Topic = Arc<Vec<Vec<SharedBatch>>>;

/// What shards tell each other.
enum Message {
    Worker(ShardMessage),
    Barrier(Epoch),
    Passed(Passed),
    Committed(Epoch),
    End,
}

const fn topic(number: u8) -> TopicId {
    let mut id = [0; 16];
    id[15] = number;
    TopicId::from_bytes(id)
}

/// Runs the job over all of the topic.
pub(crate) fn run(batches: &[Vec<SharedBatch>], shards: u16) -> Run {
    let (batches, mesh) = (Topic::new(batches.to_vec()), Mesh::new(shards, RING));
    let options = LaunchOptions { shards, ..LaunchOptions::default() };
    let (start, before) = (Instant::now(), cpu::taken(std::process::id()));
    let launched = launch(&options, move |shard| {
        let runner = Runner::new(&shard, mesh.join(&shard), Arc::clone(&batches));
        async move { runner.run().await }
    });
    let (rows, idle): (Vec<u64>, Vec<Duration>) = launched.unwrap().join().unwrap().into_iter().unzip();
    let cpu = cpu::taken(std::process::id()) - before;
    let idle = idle.into_iter().sum();
    Run { wall: start.elapsed(), cpu: cpu.saturating_sub(idle), rows: rows.into_iter().sum() }
}

struct Runner {
    id: ShardId,
    shards: u16,
    worker: Worker,
    port: Port<Message>,
    batches: Topic,
    rows: u64,
    /// Of the first shard, which coordinates: the open epoch, when it began, and who has passed its barrier.
    epoch: Epoch,
    since: Instant,
    passed: Vec<Passed>,
    under_way: bool,
    ended: bool,
}

impl Runner {
    fn new(shard: &Shard, port: Port<Message>, batches: Topic) -> Self {
        let mut worker = Worker::new(shard.id, Now::read(), Instant::now);
        let plan = build(JOB, 1, &Parameters::new(), delays).unwrap();
        let placement = Placement::new(plan.key_groups(), (0..shard.count).map(ShardId)).unwrap();
        let split = |(partition, batches): (i32, &Vec<SharedBatch>)| SplitSpec {
            source: SourceId(0),
            topic: topic(1),
            partition,
            start: 0,
            until: Some(batches.last().unwrap().header().next_offset()),
        };
        let own = |partition: &i32| partition % i32::from(shard.count) == i32::from(shard.id.0);
        let splits = (0..).zip(batches.iter()).filter(|(partition, _)| own(partition)).map(split).collect();
        let sink = |number| TopicInfo { id: topic(number), partitions: 2, max_message_bytes: 1 << 20 };
        let topics = BTreeMap::from([(DELAYS_TOPIC.to_owned(), sink(2)), (LATE_TOPIC.to_owned(), sink(3))]);
        let deployment = Deployment {
            job: ID,
            attempt: ATTEMPT,
            placement,
            splits,
            topics,
            is_restored: false,
            is_bounded: true,
        };
        worker.start(plan, deployment).unwrap();
        Self {
            id: shard.id,
            shards: shard.count,
            worker,
            port,
            batches,
            rows: 0,
            epoch: Epoch(0),
            since: Instant::now(),
            passed: Vec::new(),
            under_way: false,
            ended: false,
        }
    }

    /// Returns how many rows this shard's sinks have written, and the CPU time of looking for work when there was none.
    async fn run(mut self) -> (u64, Duration) {
        let mut pace = Pace::default();
        let (mut idled, mut last) = (Duration::ZERO, cpu::taken_by_thread());
        while !self.ended {
            let mut idle = true;
            while let Some((_, message)) = self.port.try_recv() {
                self.take(message);
                idle = false;
            }
            let now = Now::read();
            let outcome = self.worker.step(pace.budget(), now);
            pace.note(outcome.records, now.monotonic.elapsed());
            idle &= !outcome.more;
            idle &= !self.carry();
            if self.id == ShardId(0) && !self.under_way && self.since.elapsed() >= EPOCH {
                self.epoch = self.epoch.next();
                (self.since, self.under_way) = (Instant::now(), true);
                self.tell(Message::Barrier);
            }
            if idle {
                yield_now().await;
            }
            let now = cpu::taken_by_thread();
            if idle {
                idled += now - last;
            }
            last = now;
        }
        (self.rows, idled)
    }

    fn tell(&self, message: impl Fn(Epoch) -> Message) {
        for shard in 0..self.shards {
            self.port.send(ShardId(shard), message(self.epoch));
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Worker(message) => self.worker.deliver(Inbound::Shard(message)),
            Message::Barrier(epoch) => {
                self.worker.deliver(Inbound::Barrier { job: ID, attempt: ATTEMPT, epoch });
            }
            Message::Committed(epoch) => self.worker.deliver(Inbound::Committed { job: ID, epoch }),
            Message::Passed(passed) => {
                self.passed.push(passed);
                if self.passed.len() == usize::from(self.shards) {
                    self.under_way = false;
                    self.tell(Message::Committed);
                    if self.passed.drain(..).all(|passed| passed.is_drained) {
                        self.tell(|_| Message::End);
                    }
                }
            }
            Message::End => self.ended = true,
        }
    }

    /// Carries off what the worker says. Tells whether it said anything.
    fn carry(&mut self) -> bool {
        let said: Vec<Outbound> = self.worker.drain_outbox().collect();
        let any = !said.is_empty();
        for message in said {
            match message {
                Outbound::Shard { to, message } => self.port.send(to, Message::Worker(message)),
                Outbound::Demand(demand) => {
                    let data = read(&self.batches[demand.partition as usize], &demand);
                    self.worker.deliver(Inbound::Source(data));
                }
                Outbound::Append(append) => {
                    if append.topic == topic(2) {
                        self.rows += u64::from(append.batch.header().record_count);
                    }
                    self.worker.deliver(Inbound::Appended {
                        mark: append.mark,
                        output: append.output,
                        batches: 1,
                    });
                }
                Outbound::Passed(passed) => self.port.send(ShardId(0), Message::Passed(passed)),
                Outbound::Worked { .. } | Outbound::Sealed(_) => {}
                Outbound::Failed(failure) => panic!("{failure}"),
            }
        }
        any
    }
}

/// What is read of a partition for a demand.
fn read(partition: &[SharedBatch], demand: &Demand) -> SourceData {
    let first = partition.partition_point(|batch| batch.header().next_offset() <= demand.from);
    let mut left = demand.max_bytes;
    let fits = |batch: &&SharedBatch| {
        let has_room = left > 0;
        left = left.saturating_sub(batch.payload().len());
        has_room
    };
    let batches: Vec<_> = partition[first..].iter().take_while(fits).cloned().collect();
    SourceData {
        job: demand.job,
        attempt: demand.attempt,
        source: demand.source,
        topic: demand.topic,
        partition: demand.partition,
        leader_epoch: 0,
        next: batches.last().unwrap().header().next_offset(),
        high_watermark: partition.last().unwrap().header().next_offset(),
        batches: batches.into_iter().map(SourceBatch::new).collect(),
    }
}
