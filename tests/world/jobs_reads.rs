//! What readers wait for: everything that was committed when they asked.

use crate::{
    basics::{TOPIC, create},
    house::House,
};
use millrace_engine::epoch::CommitNumber;
use millrace_net::{
    client::{Connection, ConnectionOptions},
    kafka::{
        Call,
        delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
        fetch::{FetchPartition, FetchRequest, FetchTopic},
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
        offset_for_leader_epoch::{
            OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
        },
    },
};
use millrace_runtime::{sim::Device, timeout};
use std::time::Duration;

/// How long nobody is answered.
const WAIT: Duration = Duration::from_secs(5);

/// Whether a request to a partition is answered, on a connection of its own.
async fn is_answered<R: Call>(house: &House, request: &R, version: i16) -> bool {
    let connection = Connection::connect(house.address(), ConnectionOptions::default()).await.unwrap();
    timeout(WAIT, connection.call_at(request, version)).await.is_ok_and(|answer| answer.is_ok())
}

fn delete(offset: i64) -> DeleteRecordsRequest {
    let partition = DeleteRecordsPartition { partition_index: 0, offset };
    let topic = DeleteRecordsTopic { name: TOPIC.to_owned(), partitions: vec![partition] };
    DeleteRecordsRequest { topics: vec![topic], ..Default::default() }
}

/// Which of the requests that show how far a partition goes are answered.
async fn answered(house: &House) -> [bool; 4] {
    let topic = || TOPIC.to_owned();
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    let fetch = FetchTopic { topic: topic().into(), partitions: vec![partition], ..Default::default() };
    let fetch =
        FetchRequest { topics: vec![fetch], max_bytes: 1 << 20, session_epoch: -1, ..Default::default() };
    let partition = ListOffsetsPartition { partition_index: 0, current_leader_epoch: -1, timestamp: -1 };
    let list = ListOffsetsTopic { name: topic(), partitions: vec![partition] };
    let list = ListOffsetsRequest { topics: vec![list], ..Default::default() };
    let partition = OffsetForLeaderPartition { partition: 0, current_leader_epoch: -1, leader_epoch: 0 };
    let end = OffsetForLeaderTopic { topic: topic(), partitions: vec![partition] };
    let end = OffsetForLeaderEpochRequest { topics: vec![end], ..Default::default() };
    [
        is_answered(house, &fetch, 12).await,
        is_answered(house, &list, 7).await,
        is_answered(house, &end, 4).await,
        is_answered(house, &delete(-1), 2).await,
    ]
}

/// A commit is published whose record no shard has got yet.
#[test]
fn no_end_of_a_partition_is_told_before_what_is_committed_is_there() {
    let house = House::new(5, Device::Fua);
    house.start(2);
    house.client(async {
        create(&house.cluster(), 1).await;
        assert_eq!(answered(&house).await, [true; 4]);
        let shards = house.shards();
        let publish = |shard: millrace::shard::Context| {
            let commits = shard.partitions().commits();
            commits.publish(CommitNumber(commits.published().0 + 1));
        };
        shards.on(0, publish).await.unwrap();
        assert_eq!(answered(&house).await, [false; 4], "fetch, list, end of epoch, delete");
        assert!(is_answered(&house, &delete(0), 2).await, "what lies below the end waits for nothing");
        assert!(!is_answered(&house, &delete(1), 2).await, "it may lie below the end that is to come");
    });
    house.crash(millrace_runtime::sim::Crash::Process);
}
