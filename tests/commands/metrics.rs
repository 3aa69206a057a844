//! What the admin interface tells of a server that works.

use crate::process::{Start, client};
use millrace_net::client::{
    Cluster, ClusterOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, producer::NewRecord,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

/// A response's body.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: millrace\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{response}");
    body.to_owned()
}

/// The sum of a metric's values over all labels that contain this.
fn value(metrics: &str, name: &str, label: &str) -> f64 {
    let lines = metrics.lines().filter(|line| {
        let (metric, rest) = line.split_once('{').unwrap_or((line, ""));
        metric == name && rest.contains(label)
    });
    let values: Vec<f64> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!values.is_empty(), "there is no {name} with {label} in\n{metrics}");
    values.iter().sum()
}

#[test]
fn work_shows_in_the_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let server = Start::below(directory.path()).shards(2).run();
    assert_eq!(server.command(&["topic", "create", "t", "--partitions", "2"]).0, 0);
    let address = server.address;
    client(move || async move {
        let cluster = Cluster::new(vec![address], ClusterOptions::default());
        let producer = Producer::new(cluster.clone(), ProducerOptions::default()).await.unwrap();
        for partition in [0, 1] {
            let value = [7; 1000];
            for _ in 0..10 {
                let record = NewRecord { value: Some(&value), ..NewRecord::default() };
                producer.send("t", Some(partition), record).await.unwrap();
            }
        }
        producer.flush().await.unwrap();
        let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
        consumer.assign("t", 0, 0);
        while consumer.poll().await.unwrap().is_empty() {}
    });
    let admin = server.admin_address();
    let metrics = get(admin, "/metrics");
    assert_eq!(value(&metrics, "millrace_topic_records_in_total", "topic=\"t\""), 20.0);
    assert!(value(&metrics, "millrace_topic_bytes_in_total", "topic=\"t\"") > 20_000.0);
    assert!(value(&metrics, "millrace_topic_bytes_out_total", "topic=\"t\"") > 10_000.0);
    assert_eq!(value(&metrics, "millrace_high_watermark", "topic=\"t\""), 20.0);
    assert!(value(&metrics, "millrace_request_duration_seconds_count", "api=\"Produce\"") >= 2.0);
    assert!(value(&metrics, "millrace_journal_write_duration_seconds_count", "shard") >= 1.0);
    assert!(value(&metrics, "millrace_journal_write_duration_seconds_sum", "shard") > 0.0);
    assert!(value(&metrics, "millrace_connections_accepted_total", "shard") >= 2.0);
    assert!(value(&metrics, "millrace_network_received_bytes_total", "shard") > 20_000.0);
    assert!(value(&metrics, "millrace_log_memory_bytes_max", "shard") > 0.0);
    assert_eq!(get(admin, "/healthz"), "ok\n");
}
