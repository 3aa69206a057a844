//! What the metrics say of who is behind: groups that commit over the wire, and jobs.

use crate::{
    basics::{self, TOPIC},
    flows::jobs,
    house::House,
    offsets::{connect, join},
    play::{create, job, run, send},
};
use millrace::control::encode;
use millrace_net::{
    client::Connection,
    kafka::{
        ErrorCode,
        delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
        offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    },
};
use millrace_runtime::{sim::Device, sleep};
use std::time::Duration;

const GROUP: &str = "followers";

/// What the server's admin interface says when it is asked for metrics.
async fn metrics(house: &House) -> String {
    encode(house.shards().on_all(|shard| shard.metrics()).await.unwrap()).unwrap()
}

/// The value of the metric whose line begins like this, if there is one.
fn value(metrics: &str, start: &str) -> Option<i64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(start))?;
    Some(line.rsplit(' ').next()?.parse().unwrap())
}

/// How far the group is behind each partition of the topic, as far as it has committed.
async fn lags(house: &House) -> [Option<i64>; 3] {
    let metrics = metrics(house).await;
    [0, 1, 2].map(|partition| {
        let labels = format!("{{group=\"{GROUP}\",topic=\"{TOPIC}\",partition=\"{partition}\"}}");
        value(&metrics, &format!("millrace_consumer_lag{labels}"))
    })
}

async fn commit(connection: &Connection, member: &str, offsets: &[(i32, i64)]) {
    let partitions = offsets.iter().map(|&(partition_index, committed_offset)| {
        OffsetCommitRequestPartition { partition_index, committed_offset, ..Default::default() }
    });
    let topic = OffsetCommitRequestTopic {
        name: TOPIC.to_owned(),
        partitions: partitions.collect(),
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: GROUP.to_owned(),
        generation_id_or_member_epoch: 1,
        member_id: member.to_owned(),
        topics: vec![topic],
        ..Default::default()
    };
    let answer = connection.call_at(&request, 8).await.unwrap();
    let codes = answer.topics[0].partitions.iter().map(|partition| partition.error_code);
    assert!(codes.clone().all(|code| code == ErrorCode::NONE), "{:?}", codes.collect::<Vec<_>>());
}

/// So many records to each partition.
fn produce(house: &House, counts: [usize; 3]) {
    let records = (0..).zip(counts).flat_map(|(partition, count)| vec![(partition, "0 0".to_owned()); count]);
    send(house, TOPIC, records.collect());
}

/// The lag is what is durable minus what is committed, on any shard: groups are coordinated on one, partitions owned by others.
#[test]
fn a_groups_lag_is_what_it_has_not_committed() {
    let house = House::new(41, Device::Fua);
    house.start(3);
    house.client(basics::create(&house.cluster(), 3));
    produce(&house, [30, 20, 10]);
    let member = house.client(async {
        let connection = connect(&house).await;
        let member = join(&connection, GROUP).await;
        assert_eq!(lags(&house).await, [None; 3], "nothing is committed");
        commit(&connection, &member, &[(0, 12), (1, 20)]).await;
        assert_eq!(lags(&house).await, [Some(18), Some(0), None]);
        member
    });
    produce(&house, [5, 7, 9]);
    house.client(async {
        assert_eq!(lags(&house).await, [Some(23), Some(7), None], "more was produced");
        let connection = connect(&house).await;
        commit(&connection, &member, &[(0, 35), (2, 1)]).await;
        assert_eq!(lags(&house).await, [Some(0), Some(7), Some(18)]);
        // What is gone can't be read any more.
        let partition = DeleteRecordsPartition { partition_index: 2, offset: 11 };
        let topic = DeleteRecordsTopic { name: TOPIC.to_owned(), partitions: vec![partition] };
        let request = DeleteRecordsRequest { topics: vec![topic], ..Default::default() };
        connection.call_at(&request, 2).await.unwrap();
        assert_eq!(lags(&house).await, [Some(0), Some(7), Some(8)]);
    });
    house.stop();
    house.start(1);
    house.client(async {
        connect(&house).await;
        while lags(&house).await[0].is_none() {
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(lags(&house).await, [Some(0), Some(7), Some(8)], "offsets are read again");
    });
    house.stop();
}

/// While a job catches up, what it has taken and what it lags behind are all there is.
#[test]
fn a_jobs_lag_is_what_it_has_not_read() {
    const RECORDS: usize = 2_000;
    let house = House::with_jobs(42, Device::Fua, jobs());
    house.start(2);
    house.client(basics::create(&house.cluster(), 1));
    create(&house, &["out"]);
    send(&house, TOPIC, (0..RECORDS).map(|number| (0, format!("{} {number}", number % 20))).collect());
    let sample = async || {
        let metrics = metrics(&house).await;
        let read = value(
            &metrics,
            "millrace_job_records_in_total{job=\"running\",id=\"1\",stage=\"0\",position=\"0\"",
        );
        (read, value(&metrics, "millrace_job_lag{job=\"running\""))
    };
    // A record is on its way to the other shard at a time, so that it can be seen at work.
    run(&house, job("running", &[("from", TOPIC), ("tight", "true")]));
    house.client(async {
        let mut in_the_midst = 0;
        loop {
            match sample().await {
                // Before it knows that there is anything.
                (None, _) | (_, None) | (Some(0), Some(0)) => {}
                (Some(read), Some(lag)) => {
                    assert_eq!(read + lag, RECORDS as i64, "{read} read, {lag} behind");
                    if lag == 0 {
                        break;
                    }
                    in_the_midst += u32::from(read > 0);
                }
            }
            sleep(Duration::from_micros(50)).await;
        }
        assert!(in_the_midst > 0, "the job was seen at work");
        println!("seen at work {in_the_midst} times");
    });
    // What comes then is lag until it is read.
    send(&house, TOPIC, vec![(0, "1 1".to_owned()); 3]);
    house.client(async {
        while sample().await != (Some(RECORDS as i64 + 3), Some(0)) {
            sleep(Duration::from_millis(1)).await;
        }
    });
    house.stop();
}
