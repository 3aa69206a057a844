//! All room taken by another file.

use crate::{
    device::Device,
    process::{Start, client},
};
use millrace_net::{
    client::{
        Admin, Cluster, ClusterOptions, Consumer, ConsumerOptions, Producer, ProducerOptions,
        producer::{NewRecord, ProduceError},
    },
    kafka::ErrorCode,
};
use millrace_record::Scratch;
use std::{
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    path::Path,
    time::Duration,
};

const MEBIBYTES: u64 = 192;

/// Bytes of a record: large enough to fill what is left soon, small enough to go through the journal.
const VALUE_LEN: usize = 20_000;

/// How long a producer tries. The error may pass, so it tries again and again.
const PATIENCE: Duration = Duration::from_millis(500);

/// A server with its data on the device, with small files: there is little room for all of them.
pub(crate) fn server(device: &Device, segment_bytes: &str) -> Start {
    Start::below(device.beside())
        .data(&device.path().join("data"))
        .shards(2)
        .with_small_files()
        .set("topic.segment_bytes", segment_bytes)
}

fn cluster(server: SocketAddr) -> Cluster {
    Cluster::new(vec![server], ClusterOptions::default())
}

/// The value of a topic's record at an offset.
fn value(topic: &str, offset: i64) -> Vec<u8> {
    let text = format!("{topic} {offset} ");
    text.bytes().cycle().take(VALUE_LEN).collect()
}

/// Appends up to `count` records, one after the other, of which the first is at offset `from`. Tells how many were
/// acknowledged, and why no more.
fn append(server: SocketAddr, topic: &'static str, from: i64, count: i64) -> (i64, Option<ErrorCode>) {
    client(move || async move {
        let options = ProducerOptions {
            idempotent: false,
            linger: Duration::ZERO,
            delivery_timeout: PATIENCE,
            ..ProducerOptions::default()
        };
        let producer = Producer::new(cluster(server), options).await.unwrap();
        for number in 0..count {
            let value = value(topic, from + number);
            let record = NewRecord { value: Some(&value), ..NewRecord::default() };
            let delivery = producer.send(topic, Some(0), record).await.unwrap();
            match delivery.offset().await {
                Ok(offset) => assert_eq!(offset, from + number),
                Err(ProduceError::Cluster(error)) => return (number, Some(error.code().unwrap())),
                Err(error) => panic!("{error}"),
            }
        }
        (count, None)
    })
}

/// Appends to the topic `kept` until nothing is taken any more: what the server tidies up meanwhile makes a little room.
/// Tells how many were acknowledged.
fn exhaust(server: SocketAddr, from: i64) -> i64 {
    let mut taken = 0;
    loop {
        let (more, refused) = append(server, "kept", from + taken, 10_000);
        assert_eq!(refused, Some(ErrorCode::KAFKA_STORAGE_ERROR));
        taken += more;
        if more == 0 {
            return taken;
        }
    }
}

/// Every record of a topic is what was sent there; tells how many there are.
fn read(server: SocketAddr, topic: &'static str) -> i64 {
    client(move || async move {
        const LATEST: i64 = -1;
        let cluster = cluster(server);
        let end =
            Admin::new(cluster.clone(), PATIENCE * 20).list_offset(topic, 0, LATEST).await.unwrap().offset;
        let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
        consumer.assign(topic, 0, 0);
        let mut scratch = Scratch::new(1 << 20);
        let mut next = 0;
        while next < end {
            for fetched in consumer.poll().await.unwrap() {
                let each = |record: millrace_record::RecordView<'_>| {
                    assert_eq!(record.offset, next);
                    assert!(record.value.unwrap() == value(topic, next), "{topic} at {next}");
                    next += 1;
                };
                fetched.for_each(&mut scratch, each).unwrap();
            }
        }
        next
    })
}

/// Takes all the room that is left.
pub(crate) fn fill(ballast: &Path) {
    let mut file = File::create(ballast).unwrap();
    let (mut block, mut len) = (vec![0x5a; 1 << 20], 1 << 20);
    while len >= 4096 {
        block.truncate(len);
        if file.write_all(&block).and_then(|()| file.sync_data()).is_err() {
            len /= 2;
        }
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let Some(device) = Device::new(MEBIBYTES) else { return };
    let ballast = device.path().join("ballast");
    let mut running = server(&device, "4 MiB").run();
    let address = running.address;
    for topic in ["kept", "dropped"] {
        assert_eq!(running.command(&["topic", "create", topic]).0, 0);
        assert_eq!(append(address, topic, 0, 300), (300, None));
    }

    fill(&ballast);
    let mut kept = 300 + exhaust(address, 300);
    println!("{} records more were taken on a full disk", kept - 300);
    assert_eq!((read(address, "kept"), read(address, "dropped")), (kept, 300), "reads go on");

    // It starts again as it is.
    running.kill();
    running = server(&device, "4 MiB").listen(address).run();
    assert_eq!((read(address, "kept"), read(address, "dropped")), (kept, 300));
    kept += exhaust(address, kept);

    // Deletes go on, and what they free is used.
    let (code, _, stderr) = running.command(&["topic", "delete", "dropped"]);
    assert_eq!(code, 0, "{stderr}");
    let (more, _) = append(address, "kept", kept, 100);
    assert!(more > 0, "nothing was freed");
    kept += more;

    fs::remove_file(&ballast).unwrap();
    assert_eq!(append(address, "kept", kept, 500), (500, None), "there is room again");
    assert_eq!(read(address, "kept"), kept + 500);
    let log = running.log();
    assert_eq!(running.stop().code(), Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
