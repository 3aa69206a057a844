//! What a topic holds, read over Kafka's protocol.

use millrace_net::client::{Admin, Cluster, ClusterOptions, Consumer, ConsumerOptions};
use millrace_record::Scratch;
use std::{net::SocketAddr, time::Duration};

/// How long the server may take to say where a partition ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// ListOffsets' word for the end of what a reader sees.
const LATEST: i64 = -1;

/// Key and value of records.
pub(crate) type Records = Vec<(String, String)>;

/// All records of a topic, sorted.
pub(crate) async fn read_all(address: SocketAddr, topic: &str, partitions: u32) -> Records {
    let cluster = Cluster::new(vec![address], ClusterOptions::default());
    let admin = Admin::new(cluster.clone(), PATIENCE);
    let mut consumer = Consumer::new(cluster, ConsumerOptions::default());
    let (mut records, mut scratch) = (Vec::new(), Scratch::new(16 << 20));
    for partition in 0..partitions as i32 {
        let end = admin.list_offset(topic, partition, LATEST).await.unwrap().offset;
        consumer.assign(topic, partition, 0);
        while consumer.position(topic, partition).unwrap() < end {
            for fetched in consumer.poll().await.unwrap() {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                fetched
                    .for_each(&mut scratch, |record| records.push((text(record.key), text(record.value))))
                    .unwrap();
            }
        }
        consumer.unassign(topic, partition);
    }
    records.sort();
    records
}
