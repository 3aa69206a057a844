//! What a server does when nothing goes wrong.

use crate::house::House;
use millrace_net::client::{
    Admin, Cluster, Consumer, ConsumerOptions, Producer, ProducerOptions, admin::NewTopic,
    producer::NewRecord,
};
use millrace_record::Scratch;
use millrace_runtime::sim::{Device, seeds};
use std::{collections::BTreeMap, time::Duration};

pub(crate) const TOPIC: &str = "numbers";
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) async fn create(cluster: &Cluster, partitions: i32) {
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        partitions: Some(partitions),
        replication_factor: None,
        configs: Vec::new(),
    };
    Admin::new(cluster.clone(), TIMEOUT).create_topic(&topic).await.unwrap();
}

/// Reads every partition from its start up to the offsets that ListOffsets tells.
pub(crate) async fn read_all(cluster: &Cluster, partitions: i32) -> BTreeMap<i32, Vec<(i64, Vec<u8>)>> {
    let admin = Admin::new(cluster.clone(), TIMEOUT);
    let mut consumer = Consumer::new(cluster.clone(), ConsumerOptions::default());
    let mut ends = BTreeMap::new();
    let mut records: BTreeMap<i32, Vec<(i64, Vec<u8>)>> = BTreeMap::new();
    for partition in 0..partitions {
        let end = admin.list_offset(TOPIC, partition, -1).await.unwrap().offset;
        ends.insert(partition, end);
        records.insert(partition, Vec::new());
        if end > 0 {
            consumer.assign(TOPIC, partition, 0);
        }
    }
    let mut scratch = Scratch::new(16 << 20);
    while ends
        .iter()
        .any(|(partition, end)| records[partition].last().map_or(0, |(offset, _)| offset + 1) < *end)
    {
        for fetched in consumer.poll().await.unwrap() {
            let list = records.get_mut(&fetched.partition).unwrap();
            fetched
                .for_each(&mut scratch, |record| list.push((record.offset, record.value.unwrap().to_vec())))
                .unwrap();
        }
    }
    records
}

#[test]
fn what_is_produced_is_consumed_over_any_number_of_shards() {
    for seed in seeds(6) {
        let house = House::new(seed, Device::Fua);
        house.start(1 + (seed % 3) as u16);
        house.client(async {
            let cluster = house.cluster();
            create(&cluster, 5).await;
            let producer = Producer::new(cluster.clone(), ProducerOptions::default()).await.unwrap();
            let mut deliveries = Vec::new();
            for number in 0..500u32 {
                let value = number.to_le_bytes();
                let record = NewRecord { value: Some(&value), ..NewRecord::default() };
                deliveries.push(producer.send(TOPIC, Some((number % 5) as i32), record).await.unwrap());
            }
            producer.flush().await.unwrap();
            for (number, delivery) in deliveries.iter().enumerate() {
                assert_eq!(delivery.offset().await.unwrap(), number as i64 / 5);
            }
            for (partition, records) in read_all(&cluster, 5).await {
                let expected = (0..100i64).map(|offset| {
                    let number = offset as u32 * 5 + partition as u32;
                    (offset, number.to_le_bytes().to_vec())
                });
                assert!(records.into_iter().eq(expected), "partition {partition}");
            }
        });
        house.stop();
        // With another number of shards the same records are there.
        house.start(3 - (seed % 3) as u16);
        let count =
            house.client(async { read_all(&house.cluster(), 5).await.values().map(Vec::len).sum::<usize>() });
        assert_eq!(count, 500);
        house.stop();
    }
}
