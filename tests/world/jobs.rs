//! Jobs inside the server: whatever is killed when, the committed output is that of a sequential oracle.

use crate::house::House;
use millrace::job::RunJob;
use millrace_engine::{data::Encode, epoch::JobId, prelude::*, registry::Registry};
use millrace_net::client::{
    Admin, Cluster, Consumer, ConsumerOptions, Producer, ProducerOptions, admin::NewTopic,
    producer::NewRecord,
};
use millrace_record::Scratch;
use millrace_runtime::{
    sim::{Crash, Device, seeds},
    sleep,
};
use std::{cell::Cell, collections::BTreeMap, rc::Rc, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;
const KEYS: u64 = 20;

/// What lands behind the exchange: key and number.
type Landed = <(u64, u64) as Encode>::Archived;

/// For each record, how many records of its key there were, and their sum.
#[derive(Default)]
struct Running {
    state: Option<PointState<(u64, u64)>>,
}

impl Process<u64, Landed> for Running {
    type Out = (u64, u64, u64);

    fn open(&mut self, state: &mut ProcessOpen<'_, '_>) {
        self.state = Some(state.point("running"));
    }

    fn record<P: Push<Self::Out>>(
        &mut self,
        key: &mut KeyContext<'_, u64>,
        at: i64,
        item: &Landed,
        out: &mut P,
    ) {
        let state = self.state.unwrap();
        let (count, sum) = key.get(state).unwrap_or_default();
        let (count, sum) = (count + 1, sum + item.1.to_native());
        key.put(state, &(count, sum));
        out.push(at, &(key.key(), count, sum));
    }
}

fn parse(value: &[u8]) -> Option<(u64, u64)> {
    let (key, number) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Some((key.parse().ok()?, number.parse().ok()?))
}

fn jobs() -> Registry {
    let mut jobs = Registry::new();
    jobs.add("running", |job| {
        let padding = " ".repeat(job.parameter("padding", 0));
        job.source("in")
            .parse(|record| parse(record.value?))
            .key_by(|(key, _)| *key)
            .process("running", Running::default())
            .to_topic("out", move |(key, count, sum), record| {
                record.key().extend_from_slice(key.to_string().as_bytes());
                record.value().extend_from_slice(format!("{key} {count} {sum}{padding}").as_bytes());
            });
    });
    jobs
}

async fn create(cluster: &Cluster, name: &str) {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(PARTITIONS),
        replication_factor: None,
        configs: Vec::new(),
    };
    Admin::new(cluster.clone(), TIMEOUT).create_topic(&topic).await.unwrap();
}

/// Every record of a topic that a reader sees now, by partition.
async fn read(cluster: &Cluster, topic: &str) -> Vec<Vec<String>> {
    let admin = Admin::new(cluster.clone(), TIMEOUT);
    let mut records = Vec::new();
    let mut scratch = Scratch::new(16 << 20);
    for partition in 0..PARTITIONS {
        let end = admin.list_offset(topic, partition, -1).await.unwrap().offset;
        let mut consumer = Consumer::new(cluster.clone(), ConsumerOptions::default());
        consumer.assign(topic, partition, 0);
        let mut values = Vec::new();
        while (values.len() as i64) < end {
            for fetched in consumer.poll().await.unwrap() {
                fetched
                    .for_each(&mut scratch, |record| {
                        assert_eq!(record.offset, values.len() as i64, "no gaps");
                        values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
                    })
                    .unwrap();
            }
        }
        values.truncate(usize::try_from(end).unwrap());
        records.push(values);
    }
    records
}

/// Sends records until `over`; those of a key go to one partition, so that their order is the partition's.
fn produce(house: &House, first: u64, over: &Rc<Cell<bool>>) {
    let (over, cluster) = (Rc::clone(over), house.cluster());
    let keys = house.world.random_u64();
    house.world.spawn(house.clients, async move {
        let options = ProducerOptions { linger: Duration::from_micros(200), ..ProducerOptions::default() };
        let Ok(producer) = Producer::new(cluster, options).await else { return };
        for number in first.. {
            if over.get() {
                return;
            }
            let key = (number ^ keys).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            let key = key % KEYS;
            let value = format!("{key} {number}");
            let partition = Some((key % PARTITIONS as u64) as i32);
            let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
            if producer.send("in", partition, record).await.is_err() {
                return;
            }
            if number % 8 == 0 {
                sleep(Duration::from_micros(200)).await;
            }
        }
    });
}

/// What the job should have written for each key, by what is in its topic.
fn oracle(input: &[Vec<String>]) -> BTreeMap<u64, Vec<String>> {
    let mut outputs = BTreeMap::<u64, Vec<String>>::new();
    let mut states = BTreeMap::<u64, (u64, u64)>::new();
    for (key, number) in input.iter().flatten().map(|value| parse(value.as_bytes()).unwrap()) {
        let (count, sum) = states.entry(key).or_default();
        (*count, *sum) = (*count + 1, *sum + number);
        outputs.entry(key).or_default().push(format!("{key} {count} {sum}"));
    }
    outputs
}

fn by_key(output: &[Vec<String>]) -> BTreeMap<u64, Vec<String>> {
    let mut by_key = BTreeMap::<u64, Vec<String>>::new();
    for value in output.iter().flatten() {
        let key = value.split(' ').next().unwrap().parse().unwrap();
        by_key.entry(key).or_default().push(value.trim_end().to_owned());
    }
    by_key
}

/// What is committed is a beginning of what the oracle says, for each key. Returns whether it is all of it.
async fn check(cluster: &Cluster) -> bool {
    let output = by_key(&read(cluster, "out").await);
    let expected = oracle(&read(cluster, "in").await);
    for (key, found) in &output {
        let expected = expected.get(key).map_or(&[][..], Vec::as_slice);
        assert!(expected.starts_with(found), "key {key}: {found:?} is no beginning of {expected:?}");
    }
    output == expected && !expected.is_empty()
}

/// Runs the job; with padding, what an epoch writes is so long that to splice it takes more than memory.
fn run_job(house: &House, padding: u32) {
    let shards = house.shards();
    let parameters = [("padding".to_owned(), padding.to_string())].into();
    house.client(async move {
        let job = RunJob { name: "running".to_owned(), parameters, ..RunJob::default() };
        shards.call(0, |shard| async move { shard.run_job(job).await }).await.unwrap().unwrap();
    });
}

/// A job that fails begins again, and may come to the right end all the same.
fn has_not_failed(house: &House) {
    let shards = house.shards();
    let supervision = house
        .client(async move { shards.on(0, |shard| shard.controller().supervision(JobId(1))).await.unwrap() });
    assert_eq!(supervision.last_failure, None);
}

fn settles(house: &House) {
    house.client(async {
        let cluster = house.cluster();
        while !check(&cluster).await {
            sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_job_writes_what_a_sequential_program_would() {
    for seed in seeds(6) {
        let house = House::with_jobs(seed, Device::Fua, jobs());
        house.start(1 + (seed % 3) as u16);
        house.client(async {
            create(&house.cluster(), "in").await;
            create(&house.cluster(), "out").await;
        });
        run_job(&house, (seed % 2) as u32 * 1_000);
        let over = Rc::new(Cell::new(false));
        produce(&house, 0, &over);
        house.world.run_for(Duration::from_millis(200));
        over.set(true);
        settles(&house);
        has_not_failed(&house);
        house.stop();
    }
}

fn survives(seed: u64, device: Device, crash: Crash) {
    let house = House::with_jobs(seed, device, jobs());
    house.start(2);
    house.client(async {
        create(&house.cluster(), "in").await;
        create(&house.cluster(), "out").await;
    });
    run_job(&house, (seed % 2) as u32 * 1_000);
    for round in 0..5u64 {
        let over = Rc::new(Cell::new(false));
        produce(&house, round * 1_000_000, &over);
        let wait = 10_000 + house.world.random_u64() % 60_000;
        house.world.run_for(Duration::from_micros(wait));
        over.set(true);
        has_not_failed(&house);
        house.crash(crash);
        house.start([1, 2, 4, 3, 2][round as usize]);
        house.client(async { check(&house.cluster()).await });
    }
    settles(&house);
    has_not_failed(&house);
    house.stop();
}

#[test]
fn after_kills_of_the_process() {
    seeds(3).for_each(|seed| survives(seed, Device::Fua, Crash::Process));
}

#[test]
fn after_power_cuts_on_a_disk_without_cache() {
    seeds(3).for_each(|seed| survives(seed, Device::NoCache, Crash::PowerCut));
}

#[test]
fn after_power_cuts_on_a_disk_with_fua() {
    seeds(4).for_each(|seed| survives(seed, Device::Fua, Crash::PowerCut));
}

#[test]
fn after_power_cuts_on_a_disk_that_only_flushes() {
    seeds(3).for_each(|seed| survives(seed, Device::FlushOnly, Crash::PowerCut));
}
