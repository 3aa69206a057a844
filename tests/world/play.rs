//! What the tests of jobs do with a server: topics, producers, readers, and commands.

use crate::{
    flows::{by_key, oracle},
    house::House,
};
use millrace::{
    cluster::JobState,
    job::{RunJob, Supervision},
};
use millrace_engine::epoch::JobId;
use millrace_net::client::{
    Admin, Cluster, Consumer, ConsumerOptions, Producer, ProducerOptions, admin::NewTopic,
    producer::NewRecord,
};
use millrace_record::Scratch;
use millrace_runtime::sleep;
use std::{cell::Cell, rc::Rc, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const PARTITIONS: i32 = 4;
const KEYS: u64 = 20;

pub(crate) fn admin(house: &House) -> Admin {
    Admin::new(house.cluster(), TIMEOUT)
}

/// Makes topics of [`PARTITIONS`] partitions.
pub(crate) fn create(house: &House, names: &[&str]) {
    house.client(async {
        for name in names {
            let topic = NewTopic {
                name: (*name).to_owned(),
                partitions: Some(PARTITIONS),
                replication_factor: None,
                configs: Vec::new(),
            };
            admin(house).create_topic(&topic).await.unwrap();
        }
    });
}

/// Every record of a topic that a reader sees now, by partition.
pub(crate) async fn read(cluster: &Cluster, topic: &str) -> Vec<Vec<String>> {
    let admin = Admin::new(cluster.clone(), TIMEOUT);
    let partitions = admin.describe_topic(topic).await.unwrap().partitions.len();
    let mut records = Vec::new();
    let mut scratch = Scratch::new(16 << 20);
    for partition in 0..partitions as i32 {
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

/// Every record of a topic, sorted.
pub(crate) async fn read_sorted(cluster: &Cluster, topic: &str) -> Vec<String> {
    let mut records: Vec<_> = read(cluster, topic).await.concat();
    records.sort();
    records
}

/// Sends records until `over`, those of a key to one partition, so that their order is the partition's. Counts those that
/// were refused.
pub(crate) fn produce(house: &House, first: u64, over: &Rc<Cell<bool>>) -> Rc<Cell<u32>> {
    produce_paced(house, first, over, Duration::from_micros(200))
}

/// As [`produce`], with such a pause after every few records.
pub(crate) fn produce_paced(
    house: &House,
    first: u64,
    over: &Rc<Cell<bool>>,
    pause: Duration,
) -> Rc<Cell<u32>> {
    let (over, cluster) = (Rc::clone(over), house.cluster());
    let keys = house.world.random_u64();
    let refused = Rc::new(Cell::new(0));
    let counted = Rc::clone(&refused);
    house.world.spawn(house.clients, async move {
        let options = ProducerOptions { linger: Duration::from_micros(200), ..ProducerOptions::default() };
        let Ok(producer) = Producer::new(cluster, options).await else { return };
        for number in first.. {
            if over.get() {
                return;
            }
            let key = ((number ^ keys).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % KEYS;
            let value = format!("{key} {number}");
            let partition = Some((key % PARTITIONS as u64) as i32);
            let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
            if producer.send("in", partition, record).await.is_err() {
                counted.set(counted.get() + 1);
                return;
            }
            if number % 8 == 0 {
                sleep(pause).await;
            }
        }
    });
    refused
}

/// Produces for a while.
pub(crate) fn produce_for(house: &House, first: u64, span: Duration) {
    let over = Rc::new(Cell::new(false));
    produce(house, first, &over);
    house.world.run_for(span);
    over.set(true);
}

/// Sends these records, one after the other, each when the one before it is acknowledged.
pub(crate) fn send(house: &House, topic: &str, records: Vec<(i32, String)>) {
    house.client(async {
        let producer = Producer::new(house.cluster(), ProducerOptions::default()).await.unwrap();
        for (partition, value) in records {
            let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
            producer.send(topic, Some(partition), record).await.unwrap();
        }
        producer.flush().await.unwrap();
    });
}

/// What `running` has committed of a topic is a beginning of what the oracle says, for each key. Returns whether it is all of it.
pub(crate) async fn check(cluster: &Cluster, from: &str, to: &str) -> bool {
    let output = by_key(&read(cluster, to).await);
    let expected = oracle(&read(cluster, from).await);
    for (key, found) in &output {
        let expected = expected.get(key).map_or(&[][..], Vec::as_slice);
        assert!(expected.starts_with(found), "key {key}: {found:?} is no beginning of {expected:?}");
    }
    output == expected && !expected.is_empty()
}

/// Waits until all of the topic's records are in the output, as a sequential program would have them.
pub(crate) fn settles(house: &House, from: &str, to: &str) {
    house.client(async {
        let cluster = house.cluster();
        while !check(&cluster, from, to).await {
            sleep(Duration::from_millis(50)).await;
        }
    });
}

/// Waits until a topic has the records of another.
pub(crate) fn copies(house: &House, from: &str, to: &str) {
    house.client(async {
        let cluster = house.cluster();
        loop {
            let (copy, all) = (read_sorted(&cluster, to).await, read_sorted(&cluster, from).await);
            assert!(copy.len() <= all.len(), "more than there was");
            if copy == all {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
}

/// A job to be run, with these parameters.
pub(crate) fn job(name: &str, parameters: &[(&str, &str)]) -> RunJob {
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    RunJob { name: name.to_owned(), parameters, ..RunJob::default() }
}

/// Runs a job; why not, if not.
pub(crate) fn try_run(house: &House, job: RunJob) -> Result<JobId, String> {
    let shards = house.shards();
    house.client(async move {
        let run = shards.call(0, |shard| async move { shard.run_job(job).await });
        run.await.unwrap().map_err(|error| error.to_string())
    })
}

pub(crate) fn run(house: &House, job: RunJob) -> JobId {
    try_run(house, job).unwrap()
}

pub(crate) fn stop_job(house: &House, name: &str) {
    let (shards, name) = (house.shards(), name.to_owned());
    let stop = async move { shards.call(0, |shard| async move { shard.stop_job(name).await }).await };
    house.client(stop).unwrap().unwrap();
}

/// Starts a job again; why not, if not.
pub(crate) fn try_start(house: &House, name: &str) -> Result<JobId, String> {
    let (shards, name) = (house.shards(), name.to_owned());
    let start = async move { shards.call(0, |shard| async move { shard.start_job(name).await }).await };
    house.client(start).unwrap().map_err(|error| error.to_string())
}

pub(crate) fn start_job(house: &House, name: &str) {
    try_start(house, name).unwrap();
}

/// What a job should do, by the metadata.
pub(crate) fn state_of(house: &House, id: JobId) -> JobState {
    let shards = house.shards();
    house.client(async move {
        shards.on(0, move |shard| shard.image().job(id.0).unwrap().state.clone()).await.unwrap()
    })
}

/// Waits until a job is given up, and gives the reason.
pub(crate) fn fails(house: &House, id: JobId) -> String {
    loop {
        if let JobState::Failed { reason } = state_of(house, id) {
            return reason;
        }
        house.world.run_for(Duration::from_millis(100));
    }
}

/// What the controller knows of a job.
pub(crate) fn supervision(house: &House, id: JobId) -> Supervision {
    let shards = house.shards();
    house.client(async move { shards.on(0, move |shard| shard.controller().supervision(id)).await }).unwrap()
}

/// Why a job was last started again.
pub(crate) fn last_failure(house: &House, id: JobId) -> Option<String> {
    supervision(house, id).last_failure.map(|failure| failure.reason)
}

/// A job that fails begins again, and may come to the right end all the same.
pub(crate) fn has_not_failed(house: &House, id: JobId) {
    assert_eq!(last_failure(house, id), None);
}
