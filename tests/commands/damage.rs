//! What the server says of damage on its disk.

use crate::process::{Start, client};
use millrace_net::client::{
    Cluster, ClusterOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, producer::NewRecord,
};
use millrace_runtime::timeout;
use std::{fs, path::PathBuf, time::Duration};

const VALUE: [u8; 1000] = [7; 1000];

/// Clients get a code that names no file, and try again and again: the log names it, once.
#[test]
fn a_damaged_segment_is_named_once_and_no_byte_of_it_is_given_out() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).run();
    assert_eq!(server.command(&["topic", "create", "t"]).0, 0);
    let address = server.address;
    client(move || async move {
        let cluster = Cluster::new(vec![address], ClusterOptions::default());
        let producer = Producer::new(cluster, ProducerOptions::default()).await.unwrap();
        let record = NewRecord { value: Some(&VALUE), ..NewRecord::default() };
        producer.send("t", Some(0), record).await.unwrap();
        producer.flush().await.unwrap();
    });
    assert_eq!(server.stop().code(), Some(0));

    let mut folders = vec![directory.path().join("data/topics")];
    let mut damaged: Option<PathBuf> = None;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).unwrap();
            if let Some(at) = bytes.windows(VALUE.len()).position(|window| window == VALUE) {
                bytes[at + 500] ^= 1;
                fs::write(&path, bytes).unwrap();
                assert!(damaged.replace(path).is_none(), "a record is in one segment");
            }
        }
    }
    let damaged = damaged.expect("the record is in a segment after a clean stop");

    let server = Start::below(directory.path()).run();
    let address = server.address;
    let polled = client(move || async move {
        let retry_backoff = Duration::from_millis(5);
        let mut consumer = Consumer::new(
            Cluster::new(vec![address], ClusterOptions::default()),
            ConsumerOptions { retry_backoff, ..ConsumerOptions::default() },
        );
        consumer.assign("t", 0, 0);
        timeout(Duration::from_secs(1), consumer.poll()).await.is_ok()
    });
    assert!(!polled, "the consumer is told to try again");
    let lines = server.warnings();
    let about = |name: &str| lines.iter().filter(|line| line.to_string().contains(name)).count();
    assert_eq!(about("cannot read a log"), 1, "{lines:?}");
    assert_eq!(about(damaged.to_str().unwrap()), 1, "{lines:?}");
}
