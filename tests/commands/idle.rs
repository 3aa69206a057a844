//! What a server costs that has nothing to do.

use crate::process::{Start, client, run};
use millrace::demo::{
    job::{DELAYS_TOPIC, FLIGHTS_TOPIC, JOB},
    topics::create_topics,
};
use millrace_net::client::{
    Cluster, ClusterOptions, Consumer, ConsumerOptions, Producer, ProducerOptions, producer::NewRecord,
};
use millrace_runtime::timeout;
use std::{
    thread::{sleep, spawn},
    time::Duration,
};

/// How long it is watched, and how long it has before to come to rest.
const WATCHED: Duration = Duration::from_secs(4);
const SETTLING: Duration = Duration::from_secs(2);

/// The share of a core that it may use. It is to be 1 %, and is less on a machine of its own: this one has other things to do, which
/// cost a server that wakes up its caches.
const SHARE_MAX: f64 = 0.05;

/// Two shards, topics with partitions, a consumer in a long poll, a job that waits for records. Time of the CPU, not of the clock.
#[test]
fn an_idle_server_uses_next_to_nothing() {
    let directory = tempfile::tempdir().unwrap();
    // As long as a shard spins by default.
    let mut server = Start::below(directory.path()).shards(2).set("runtime.spin_us", "50").run();
    let address = server.address;
    client(move || async move {
        create_topics(address).await.unwrap();
        let cluster = Cluster::new(vec![address], ClusterOptions::default());
        let producer = Producer::new(cluster, ProducerOptions::default()).await.unwrap();
        for n in 0..100 {
            let record = NewRecord { value: Some(b"no flight"), ..NewRecord::default() };
            producer.send(FLIGHTS_TOPIC, Some(n % 2), record).await.unwrap();
        }
        producer.flush().await.unwrap();
    });
    let (code, told, error) = run(&["job", "run", JOB, "--admin", &server.admin_address().to_string()]);
    assert_eq!(code, 0, "{told}{error}");
    let waiting = spawn(move || {
        client(move || async move {
            let cluster = Cluster::new(vec![address], ClusterOptions::default());
            let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
            consumer.assign(DELAYS_TOPIC, 0, 0);
            consumer.assign(FLIGHTS_TOPIC, 0, 50);
            let polls = async { while consumer.poll().await.unwrap().is_empty() {} };
            timeout(SETTLING + WATCHED + Duration::from_secs(1), polls).await.is_err()
        })
    });
    sleep(SETTLING);
    let before = server.cpu_time();
    sleep(WATCHED);
    let share = (server.cpu_time() - before).as_secs_f64() / WATCHED.as_secs_f64();
    println!("an idle server uses {:.2} % of a core", 100.0 * share);
    assert!(waiting.join().unwrap(), "there was nothing to consume");
    assert!(share < SHARE_MAX, "{:.2} % of a core", 100.0 * share);
    assert_eq!(server.stop().code(), Some(0));
}
