//! The job in the whole server, in this process: sources read the log, epochs are durable, and output is spliced.

use super::{PARTITIONS, Run};
use bytes::Bytes;
use millrace::{
    config::{Auto, Config},
    demo::job::{DELAYS_TOPIC, FLIGHTS_TOPIC, JOB, LATE_TOPIC, delays},
    embed::Server,
};
use millrace_bench::cpu;
use millrace_engine::registry::Registry;
use millrace_net::{
    client::{Admin, Cluster, ClusterOptions, admin::NewTopic},
    kafka::{
        ErrorCode, encode_request, parse_response,
        produce::{ACKS_ALL, PartitionProduceData, ProduceRequest, TopicProduceData},
    },
    wire::{RecordSet, Writer},
};
use millrace_runtime::{Instant, LaunchOptions, Pinning, Stream, launch};
use std::{net::SocketAddr, path::Path, time::Duration};

const VERSION: i16 = 9;
/// How often the end is looked for.
const GLANCE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the job over all of the topic until `expected` rows can be read.
pub(crate) fn run(directory: &Path, batches: &[Vec<Bytes>], shards: u16, expected: u64) -> Run {
    let data = tempfile::TempDir::with_prefix_in("millrace-bench-", directory).unwrap();
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    control.block_on(async {
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.server.admin_listen = "127.0.0.1:0".parse().unwrap();
        config.server.data_dirs = vec![data.path().join("data")];
        config.server.shards = Auto::Given(shards);
        let mut jobs = Registry::new();
        jobs.add(JOB, delays);
        let server = Server::start(config, jobs).await.unwrap();
        let (address, batches) = (server.address(), batches.to_vec());
        tokio::task::spawn_blocking(move || produce(address, batches)).await.unwrap();
        let (start, before) = (Instant::now(), cpu::taken(std::process::id()));
        server.run_job(JOB, []).await.unwrap();
        while rows(&server).await < expected {
            assert!(start.elapsed() < PATIENCE, "rows are missing");
            tokio::time::sleep(GLANCE).await;
        }
        let (wall, cpu) = (start.elapsed(), cpu::taken(std::process::id()) - before);
        let status = server.jobs(Duration::ZERO).await.unwrap();
        let lag = status.iter().flat_map(|job| &job.tasks).filter_map(|task| task.lag).sum::<u64>();
        assert_eq!((lag, rows(&server).await), (0, expected), "all is read, and nothing more was written");
        server.stop().await.unwrap();
        Run { wall, cpu, rows: expected }
    })
}

/// Rows that can be read: durable and committed.
async fn rows(server: &Server) -> u64 {
    let shards = server.shards().on_all(|shard| shard.metrics()).await.unwrap();
    let partitions = shards.iter().flat_map(|shard| &shard.partitions);
    let delays = partitions.filter(|((topic, _), _)| topic == DELAYS_TOPIC);
    delays.map(|(_, counts)| counts.high_watermark as u64).sum()
}

/// Creates the topics and fills `flights`.
fn produce(address: SocketAddr, batches: Vec<Vec<Bytes>>) {
    let options = LaunchOptions { pinning: Pinning::Never, ..LaunchOptions::default() };
    let launched = launch(&options, move |_| {
        let batches = batches.clone();
        async move {
            let cluster = Cluster::new(vec![address], ClusterOptions::default());
            let admin = Admin::new(cluster, Duration::from_secs(30));
            for (name, partitions) in [(FLIGHTS_TOPIC, PARTITIONS), (DELAYS_TOPIC, 2), (LATE_TOPIC, 1)] {
                let topic = NewTopic {
                    name: name.to_owned(),
                    partitions: Some(partitions as i32),
                    replication_factor: None,
                    configs: Vec::new(),
                };
                admin.create_topic(&topic).await.unwrap();
            }
            let stream = Stream::connect(address).await.unwrap();
            for turn in 0..batches.iter().map(Vec::len).max().unwrap_or(0) {
                let of_turn =
                    (0..).zip(&batches).filter_map(|(index, batches)| Some((index, batches.get(turn)?)));
                send(&stream, of_turn).await;
            }
        }
    });
    launched.unwrap().join().unwrap();
}

/// One request, and its answer.
async fn send(stream: &Stream, batches: impl Iterator<Item = (i32, &Bytes)>) {
    let part = |(index, batch): (i32, &Bytes)| PartitionProduceData {
        index,
        records: Some(RecordSet::from(batch.clone())),
    };
    let topic = TopicProduceData {
        name: FLIGHTS_TOPIC.into(),
        partition_data: batches.map(part).collect(),
        ..Default::default()
    };
    let request =
        ProduceRequest { acks: ACKS_ALL, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
    let client = "bench".into();
    let frame = encode_request(&mut Writer::new(), VERSION, 0, Some(&client), &request).unwrap();
    stream.send(frame).await.unwrap();
    let mut received = Vec::new();
    let missing = |received: &[u8]| match received.first_chunk() {
        None => true,
        Some(len) => received.len() < 4 + i32::from_be_bytes(*len) as usize,
    };
    while missing(&received) {
        let more = stream.recv().await.unwrap();
        assert!(!more.is_empty(), "the server hung up");
        received.extend_from_slice(&more);
    }
    let frame = Bytes::from(received).slice(4..);
    let response = parse_response::<ProduceRequest>(&frame, VERSION, 0).unwrap();
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    assert!(partitions.all(|partition| partition.error_code == ErrorCode::NONE), "{response:?}");
}
