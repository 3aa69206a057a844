//! Against small brokers in simulated worlds, with leaders that move and connections that break.

mod broker;

use super::{
    admin::NewTopic,
    producer::{NewRecord, ProduceError},
    *,
};
use crate::{
    kafka::{
        ApiKey, ErrorCode,
        api_versions::{ApiVersion, ApiVersionsResponse},
        encode_response,
        heartbeat::HeartbeatRequest,
        list_offsets, produce,
    },
    testing::{Raw, world},
};
use broker::Brokers;
use millrace_record::{Codec, Headers, Scratch};
use millrace_runtime::{Instant, ListenOptions, Listener, sim::World, sleep};
use proptest::prelude::*;
use std::{collections::BTreeMap, future::Future, net::SocketAddr, time::Duration};

const DECOMPRESSED_MAX: usize = 1 << 24;

/// Brokers on two nodes and a client on a third.
struct Bench {
    brokers: Brokers,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Self { brokers: Brokers::start(seed) }
    }

    fn world(&self) -> &World {
        &self.brokers.world
    }

    fn run<F: Future>(&self, future: F) -> F::Output {
        self.world().block_on(self.brokers.client, future)
    }

    fn cluster(&self) -> Cluster {
        Cluster::new(self.brokers.addresses.to_vec(), ClusterOptions::default())
    }

    /// As [`Bench::cluster`], for worlds in which answers are lost on purpose.
    fn impatient_cluster(&self) -> Cluster {
        let within = Duration::from_secs(1);
        let connection = ConnectionOptions {
            connect_timeout: within,
            request_timeout: within,
            ..ConnectionOptions::default()
        };
        let options = ClusterOptions { connection, ..ClusterOptions::default() };
        Cluster::new(self.brokers.addresses.to_vec(), options)
    }

    fn admin(&self) -> Admin {
        Admin::new(self.cluster(), Duration::from_secs(30))
    }

    fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: None,
            configs: vec![("retention.ms".to_owned(), "-1".to_owned())],
        };
        self.run(async { self.admin().create_topic(&topic).await.unwrap() });
    }
}

fn record(value: &[u8]) -> NewRecord<'_> {
    NewRecord { timestamp: 1000, key: None, value: Some(value), headers: Headers::EMPTY }
}

/// Reads `count` records, and gives those of each partition, in order, as (offset, value).
async fn read(consumer: &mut Consumer, count: usize, pause: Duration) -> BTreeMap<i32, Vec<(i64, String)>> {
    let (mut values, mut scratch) = (BTreeMap::<_, Vec<_>>::new(), Scratch::new(DECOMPRESSED_MAX));
    let mut read = 0;
    while read < count {
        for fetched in consumer.poll().await.unwrap() {
            let each = |record: millrace_record::RecordView<'_>| {
                let value = String::from_utf8_lossy(record.value.unwrap()).into_owned();
                values.entry(fetched.partition).or_default().push((record.offset, value));
                read += 1;
            };
            fetched.for_each(&mut scratch, each).unwrap();
        }
        sleep(pause).await;
    }
    values
}

#[test]
fn versions_are_agreed_on_with_older_and_newer_brokers() {
    let bench = Bench::new(1);
    bench.run(async {
        let connection =
            Connection::connect(bench.brokers.addresses[0], ConnectionOptions::default()).await.unwrap();
        assert_eq!(connection.version(ApiKey::Produce), Ok(ApiKey::Produce.max_version()));
        bench.brokers.state.borrow_mut().served_max = 2;
        let connection =
            Connection::connect(bench.brokers.addresses[0], ConnectionOptions::default()).await.unwrap();
        assert_eq!(connection.version(ApiKey::Produce), Ok(2));
        // Heartbeat 4 is flexible, Fetch begins with 4.
        connection.call(&HeartbeatRequest::default()).await.unwrap();
        let error = connection.version(ApiKey::Fetch).unwrap_err();
        assert_eq!(error.to_string(), "Fetch: the broker serves 0-2, this client speaks 4-18");
    });
}

#[test]
fn a_broker_that_is_too_old_for_the_question_is_asked_again() {
    let (world, [server, client]) = world(1);
    let address = SocketAddr::new(world.ip(server), 9092);
    let asked_in = world.spawn(server, async move {
        let listener = Listener::bind(address, ListenOptions::default()).await.unwrap();
        let (mut raw, mut versions) = (Raw::over(listener.accept().await.unwrap()), Vec::new());
        while let Some(frame) = raw.frame().await {
            // API, version, correlation id.
            let version = i16::from_be_bytes([frame[2], frame[3]]);
            let correlation_id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
            versions.push(version);
            let served = |api_key, max_version| ApiVersion { api_key, min_version: 0, max_version };
            let (error_code, answered_in) =
                if version > 2 { (ErrorCode::UNSUPPORTED_VERSION, 0) } else { (ErrorCode::NONE, version) };
            let api_keys = vec![served(18, 2), served(0, 7)];
            let response = ApiVersionsResponse { error_code, api_keys, ..Default::default() };
            let frame =
                encode_response(&mut raw.writer, answered_in, correlation_id, &response.into()).unwrap();
            raw.stream.send(frame).await.unwrap();
        }
        versions
    });
    world.block_on(client, async {
        let connection = Connection::connect(address, ConnectionOptions::default()).await.unwrap();
        assert_eq!(connection.version(ApiKey::Produce), Ok(7));
    });
    assert_eq!(world.block_on(server, asked_in), Some(vec![ApiKey::ApiVersions.max_version(), 2]));
}

#[test]
fn calls_overlap_and_fail_together() {
    let bench = Bench::new(2);
    bench.run(async {
        let options =
            ConnectionOptions { request_timeout: Duration::from_secs(5), ..ConnectionOptions::default() };
        let connection = Connection::connect(bench.brokers.addresses[0], options).await.unwrap();
        let heartbeat = |ms| HeartbeatRequest { generation_id: ms, ..Default::default() };
        let started = Instant::now();
        let (first, second) = (heartbeat(200), heartbeat(200));
        let both = join(connection.call(&first), connection.call(&second)).await;
        assert!(both.0.is_ok() && both.1.is_ok());
        assert!(Instant::now() - started < Duration::from_millis(350));

        let slow = heartbeat(60_000);
        let (timed_out, collateral) = join(connection.call(&slow), async {
            sleep(Duration::from_secs(1)).await;
            connection.call(&heartbeat(1)).await
        })
        .await;
        assert!(matches!(timed_out, Err(CallError::Timeout { api: ApiKey::Heartbeat, .. })));
        assert!(matches!(collateral, Err(CallError::Disconnected { .. })));
        assert!(connection.is_closed());
    });
}

async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut left, mut right) = (None, None);
    std::future::poll_fn(move |cx| {
        if left.is_none()
            && let std::task::Poll::Ready(output) = a.as_mut().poll(cx)
        {
            left = Some(output);
        }
        if right.is_none()
            && let std::task::Poll::Ready(output) = b.as_mut().poll(cx)
        {
            right = Some(output);
        }
        match (left.take(), right.take()) {
            (Some(a), Some(b)) => std::task::Poll::Ready((a, b)),
            (a, b) => {
                (left, right) = (a, b);
                std::task::Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn topics_are_administered() {
    let bench = Bench::new(3);
    bench.create("a", 3);
    let admin = bench.admin();
    bench.run(async {
        let again = NewTopic {
            name: "a".to_owned(),
            partitions: None,
            replication_factor: Some(1),
            configs: Vec::new(),
        };
        let error = admin.create_topic(&again).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS));
        assert_eq!(
            error.to_string(),
            "CreateTopics of a: TOPIC_ALREADY_EXISTS (36): there is one of that name"
        );
        assert_eq!(admin.describe_topic("a").await.unwrap().partitions.len(), 3);
        admin.create_partitions("a", 5).await.unwrap();
        assert_eq!(admin.describe_topic("a").await.unwrap().partitions.len(), 5);
        let configs = admin.describe_topic_configs("a").await.unwrap();
        assert_eq!((configs[0].name.as_str(), configs[0].value.as_deref()), ("retention.ms", Some("-1")));
        assert_eq!(admin.list_topics().await.unwrap().topics.len(), 1);
        assert_eq!(admin.list_offset("a", 4, list_offsets::LATEST_TIMESTAMP).await.unwrap().offset, 0);
        admin.delete_topic("a").await.unwrap();
    });
    // What does not exist is an error, not a wait, and not created by being looked at.
    let code = bench.run(async { admin.describe_topic("a").await.unwrap_err().code() });
    assert_eq!(code, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

#[test]
fn records_go_where_their_key_says_and_come_back_with_headers() {
    let bench = Bench::new(4);
    bench.create("t", 7);
    bench.run(async {
        let options = ProducerOptions { codec: Codec::Lz4, ..ProducerOptions::default() };
        let producer = Producer::new(bench.cluster(), options).await.unwrap();
        let mut headers = millrace_record::HeadersBuf::new();
        headers.push(b"h", Some(b"v"));
        let record =
            NewRecord { timestamp: 7, key: Some(b"foobar"), value: None, headers: headers.as_headers() };
        let delivery = producer.send("t", None, record).await.unwrap();
        assert_eq!(delivery.offset().await, Ok(0));
        let partition = partitioner::partition_of_key(b"foobar", 7);
        let mut consumer = Consumer::new(bench.cluster(), ConsumerOptions::default());
        consumer.assign("t", partition, 0);
        let fetched = consumer.poll().await.unwrap();
        let mut seen = 0;
        let check = |record: millrace_record::RecordView<'_>| {
            assert_eq!((record.timestamp, record.key, record.value), (7, Some(&b"foobar"[..]), None));
            assert_eq!(record.headers.last(b"h"), Some(Some(&b"v"[..])));
            seen += 1;
        };
        fetched[0].for_each(&mut Scratch::new(DECOMPRESSED_MAX), check).unwrap();
        assert_eq!((seen, consumer.position("t", partition)), (1, Some(1)));
    });
}

#[test]
fn records_without_a_key_take_turns_by_batch() {
    let bench = Bench::new(5);
    bench.create("t", 3);
    bench.run(async {
        let options = ProducerOptions { batch_bytes_max: 2000, ..ProducerOptions::default() };
        let producer = Producer::new(bench.cluster(), options).await.unwrap();
        for _ in 0..300 {
            producer.send("t", None, record(&[b'x'; 100])).await.unwrap();
        }
        producer.flush().await.unwrap();
        let mut consumer = Consumer::new(bench.cluster(), ConsumerOptions::default());
        for partition in 0..3 {
            consumer.assign("t", partition, 0);
        }
        let values = read(&mut consumer, 300, Duration::ZERO).await;
        assert!(values.values().all(|values| values.len() > 70), "{:?}", values.keys());
        // And they went in batches.
        let batches = bench.brokers.state.borrow().batches("t");
        assert!((15..30).contains(&batches), "{batches} batches");
    });
}

#[test]
fn a_fetch_gives_the_asked_offset_and_not_what_stands_before_it_in_its_batch() {
    let bench = Bench::new(6);
    bench.create("t", 1);
    bench.run(async {
        let producer = Producer::new(bench.cluster(), ProducerOptions::default()).await.unwrap();
        for n in 0..10 {
            producer.send("t", Some(0), record(n.to_string().as_bytes())).await.unwrap();
        }
        producer.flush().await.unwrap();
        let mut consumer = Consumer::new(bench.cluster(), ConsumerOptions::default());
        consumer.assign("t", 0, 7);
        let values = read(&mut consumer, 3, Duration::ZERO).await;
        let expected = [(7, "7"), (8, "8"), (9, "9")].map(|(offset, value)| (offset, value.to_owned()));
        assert_eq!(values[&0], expected);
        consumer.assign("t", 0, 99);
        let error = consumer.poll().await.unwrap_err();
        assert_eq!(error.to_string(), "Fetch of t-0: OFFSET_OUT_OF_RANGE (1)");
    });
}

#[test]
fn a_refused_batch_ends_an_idempotent_lane_and_no_other() {
    let bench = Bench::new(7);
    bench.create("t", 2);
    bench.run(async {
        let producer = Producer::new(bench.cluster(), ProducerOptions::default()).await.unwrap();
        bench.brokers.state.borrow_mut().batch_bytes_max = 1000;
        let refused = producer.send("t", Some(0), record(&[0; 2000])).await.unwrap();
        let fine = producer.send("t", Some(1), record(b"fine")).await.unwrap();
        let Err(ProduceError::Cluster(error)) = refused.offset().await else { panic!("it was too large") };
        assert_eq!(error.code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
        assert_eq!(fine.offset().await, Ok(0));
        let after = producer.send("t", Some(0), record(b"after")).await;
        assert!(matches!(after, Err(ProduceError::LaneFailed(_))));
        assert!(matches!(producer.flush().await, Err(ProduceError::Cluster(_))));
        assert_eq!((producer.flush().await, producer.buffered_bytes()), (Ok(()), 0));
        let too_large = vec![0; 1 << 20];
        let error = producer.send("t", Some(1), record(&too_large)).await.unwrap_err();
        assert!(matches!(error, ProduceError::Record(_)), "{error}");
    });
}

#[test]
fn acks_0_is_sent_and_not_waited_for() {
    let bench = Bench::new(8);
    bench.create("t", 1);
    bench.run(async {
        let options =
            ProducerOptions { acks: produce::ACKS_NONE, idempotent: false, ..ProducerOptions::default() };
        let producer = Producer::new(bench.cluster(), options).await.unwrap();
        let delivery = producer.send("t", Some(0), record(b"x")).await.unwrap();
        assert_eq!(delivery.offset().await, Ok(-1));
        let mut consumer = Consumer::new(bench.cluster(), ConsumerOptions::default());
        consumer.assign("t", 0, 0);
        assert_eq!(read(&mut consumer, 1, Duration::ZERO).await[&0], [(0, "x".to_owned())]);
    });
}

#[test]
fn the_buffer_has_a_bound() {
    let bench = Bench::new(9);
    bench.create("t", 1);
    bench.run(async {
        let options = ProducerOptions {
            buffer_bytes_max: 10_000,
            batch_bytes_max: 3_000,
            ..ProducerOptions::default()
        };
        let producer = Producer::new(bench.cluster(), options).await.unwrap();
        for _ in 0..200 {
            producer.send("t", Some(0), record(&[0; 500])).await.unwrap();
            assert!(producer.buffered_bytes() <= 10_000);
        }
        producer.flush().await.unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Leaders move, connections break, answers are lost: every record arrives once, in the order of its partition.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(seed in any::<u64>(), linger_ms in 0_u64..20, small in any::<bool>()) {
        const RECORDS: usize = 600;
        let bench = Bench::new(seed);
        bench.create("t", 3);
        let (world, client) = (bench.world(), bench.brokers.client);
        let impatient = bench.impatient_cluster();
        let producer = world.spawn(client, async move {
            let batch_bytes_max = if small { 300 } else { 10_000 };
            let linger = Duration::from_millis(linger_ms);
            let options = ProducerOptions { batch_bytes_max, linger, ..ProducerOptions::default() };
            let producer = Producer::new(impatient, options).await.unwrap();
            for n in 0..RECORDS {
                let partition = i32::try_from(n % 3).unwrap();
                producer.send("t", Some(partition), record(n.to_string().as_bytes())).await.unwrap();
                if n % 10 == 0 {
                    sleep(Duration::from_millis(25)).await;
                }
            }
            producer.flush().await.unwrap();
        });
        let impatient = bench.impatient_cluster();
        let consumer = world.spawn(client, async move {
            let options = ConsumerOptions { max_wait: Duration::from_millis(50), ..ConsumerOptions::default() };
            let mut consumer = Consumer::new(impatient, options);
            for partition in 0..3 {
                consumer.assign("t", partition, 0);
            }
            read(&mut consumer, RECORDS, Duration::from_millis(5)).await
        });
        while !(producer.is_finished() && consumer.is_finished()) {
            world.run_for(Duration::from_millis(20 + world.random_u64() % 300));
            bench.brokers.disturb();
        }
        bench.run(async { producer.await.unwrap() });
        let values = bench.run(async { consumer.await.unwrap() });
        for (partition, values) in values {
            let expected = (0..RECORDS / 3).map(|n| {
                let value = n * 3 + usize::try_from(partition).unwrap();
                (i64::try_from(n).unwrap(), value.to_string())
            });
            prop_assert_eq!(values, expected.collect::<Vec<_>>());
        }
        let disturbances = bench.brokers.state.borrow().disturbances;
        prop_assert!(disturbances.iter().all(|&count| count > 0), "{:?}", disturbances);
    }
}
