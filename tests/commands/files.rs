//! Fewer open files than there are partitions: what needs one more is refused, and nothing else suffers.

use crate::process::{Start, client, wait};
use millrace_net::{
    client::{
        Admin, Cluster, ClusterOptions, Consumer, ConsumerOptions, Producer, ProducerOptions,
        producer::{NewRecord, ProduceError},
    },
    kafka::ErrorCode,
};
use millrace_record::Scratch;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Descriptors that the server may have, of which it needs a few dozen for itself.
const FILES: &str = "--nofile=160:160";

/// More partitions than that: each that is written has a file open.
const PARTITIONS: i32 = 240;

/// How long a producer tries. The error may pass, so it tries again and again.
const PATIENCE: Duration = Duration::from_secs(2);

fn cluster(server: SocketAddr) -> Cluster {
    Cluster::new(vec![server], ClusterOptions::default())
}

async fn producer(server: SocketAddr) -> Producer {
    let options = ProducerOptions {
        idempotent: false,
        linger: Duration::ZERO,
        delivery_timeout: PATIENCE,
        ..ProducerOptions::default()
    };
    Producer::new(cluster(server), options).await.unwrap()
}

fn value(partition: i32) -> Vec<u8> {
    format!("the record of partition {partition}").into_bytes()
}

/// Sends a record to each partition, and then one more to each that has taken the first. Tells which were taken.
fn produce(server: SocketAddr) -> BTreeSet<i32> {
    client(move || async move {
        let producer = producer(server).await;
        let mut sent = Vec::new();
        for partition in 0..PARTITIONS {
            let value = value(partition);
            let record = NewRecord { value: Some(&value), ..NewRecord::default() };
            sent.push((partition, producer.send("t", Some(partition), record).await.unwrap()));
        }
        let mut taken = BTreeSet::new();
        for (partition, delivery) in sent {
            match delivery.offset().await {
                Ok(offset) => assert!(offset == 0 && taken.insert(partition)),
                Err(ProduceError::Cluster(error)) => {
                    assert_eq!(error.code(), Some(ErrorCode::KAFKA_STORAGE_ERROR));
                }
                Err(error) => panic!("{error}"),
            }
        }
        for &partition in &taken {
            let value = value(partition);
            let record = NewRecord { value: Some(&value), ..NewRecord::default() };
            let delivery = producer.send("t", Some(partition), record).await.unwrap();
            assert_eq!(delivery.offset().await.unwrap(), 1, "what has its file open goes on");
        }
        taken
    })
}

/// Both records of each of these partitions are there.
fn assert_there(server: SocketAddr, partitions: BTreeSet<i32>) {
    client(move || async move {
        const LATEST: i64 = -1;
        let cluster = cluster(server);
        let admin = Admin::new(cluster.clone(), PATIENCE * 20);
        let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
        for &partition in &partitions {
            let end = admin.list_offset("t", partition, LATEST).await.unwrap().offset;
            assert_eq!(end, 2, "partition {partition}");
            consumer.assign("t", partition, 0);
        }
        let mut scratch = Scratch::new(1 << 20);
        let mut found = 0;
        while found < 2 * partitions.len() {
            for fetched in consumer.poll().await.unwrap() {
                let partition = fetched.partition;
                let each = |record: millrace_record::RecordView<'_>| {
                    assert_eq!(record.value, Some(value(partition).as_slice()));
                    found += 1;
                };
                fetched.for_each(&mut scratch, each).unwrap();
            }
        }
    });
}

fn can_limit() -> bool {
    let can = Command::new("prlimit").arg("--version").output().is_ok_and(|output| output.status.success());
    if !can {
        assert!(
            std::env::var_os("MILLRACE_TESTS_REQUIRE_ALL").is_none(),
            "MILLRACE_TESTS_REQUIRE_ALL is set, and there is no prlimit"
        );
        println!("skipped: prlimit is needed to start a server under a limit");
    }
    can
}

fn create(directory: &Path, start: Start) -> crate::process::Server {
    let server = start.run();
    let (code, stdout, stderr) =
        server.command(&["topic", "create", "t", "--partitions", &PARTITIONS.to_string()]);
    assert_eq!(code, 0, "{}: {stdout}{stderr}", directory.display());
    server
}

#[test]
fn without_descriptors_partitions_are_refused_and_the_server_lives() {
    if !can_limit() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let limited = || Start::below(directory.path()).shards(2).within(&["prlimit", FILES]);
    let server = create(directory.path(), limited());
    let taken = produce(server.address);
    assert!(!taken.is_empty() && taken.len() < PARTITIONS as usize, "{} were taken", taken.len());
    assert!(server.log().contains("LimitNOFILE"), "the log names the cure");
    assert_there(server.address, taken.clone());
    assert_eq!(server.stop().code(), Some(0));

    let server = Start::below(directory.path()).shards(2).run();
    assert_there(server.address, taken);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_start_without_descriptors_blames_the_limit_and_not_the_data() {
    if !can_limit() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let server = create(directory.path(), Start::below(directory.path()));
    let taken = produce(server.address);
    assert_eq!(taken.len(), PARTITIONS as usize);
    server.kill();

    let output = Command::new("prlimit")
        .args([FILES, env!("CARGO_BIN_EXE_millrace"), "serve", "--listen", "127.0.0.1:0", "--shards", "1"])
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .args(["--admin-listen", "127.0.0.1:0"])
        .envs([("MILLRACE_RUNTIME__PIN", "never"), ("MILLRACE_RUNTIME__SPIN_US", "0")])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = output.unwrap();
    let status = wait(&mut child).expect("the start ends");
    let log = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(status.code(), Some(71), "{log}");
    assert!(log.contains("LimitNOFILE"), "{log}");

    let server = Start::below(directory.path()).run();
    assert_there(server.address, taken);
}
