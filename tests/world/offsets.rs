//! How long committed offsets are kept.

use crate::{
    basics::{TOPIC, create},
    house::House,
};
use bytes::Bytes;
use millrace_net::{
    client::{Admin, Connection, ConnectionOptions},
    kafka::{
        ErrorCode,
        find_coordinator::FindCoordinatorRequest,
        join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
        list_groups::ListGroupsRequest,
        offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_delete::{OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic},
        offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic},
        sync_group::{SyncGroupRequest, SyncGroupRequestAssignment},
    },
};
use millrace_runtime::{sim::Device, sleep};
use std::time::Duration;

pub(crate) async fn connect(house: &House) -> Connection {
    let connection = Connection::connect(house.address(), ConnectionOptions::default()).await.unwrap();
    // This makes the topic that keeps offsets; it is there when the coordinator is.
    let request = FindCoordinatorRequest { key: "any".to_owned(), ..Default::default() };
    while connection.call_at(&request, 3).await.unwrap().error_code != ErrorCode::NONE {
        sleep(Duration::from_millis(100)).await;
    }
    connection
}

/// Commits an offset, as a member of a generation or as a consumer that assigns itself.
async fn commit(connection: &Connection, group: &str, member: Option<(&str, i32)>, offset: i64) {
    let (member_id, generation) = member.unwrap_or(("", -1));
    let partition =
        OffsetCommitRequestPartition { partition_index: 0, committed_offset: offset, ..Default::default() };
    let topic = OffsetCommitRequestTopic {
        name: TOPIC.to_owned(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: generation,
        member_id: member_id.to_owned(),
        topics: vec![topic],
        ..Default::default()
    };
    loop {
        let answer = connection.call_at(&request, 8).await.unwrap();
        match answer.topics[0].partitions[0].error_code {
            ErrorCode::NONE => return,
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => sleep(Duration::from_millis(100)).await,
            code => panic!("{code:?}"),
        }
    }
}

/// What a group committed; -1 for nothing.
async fn committed(connection: &Connection, group: &str) -> i64 {
    let topic =
        OffsetFetchRequestTopic { name: TOPIC.to_owned(), partition_indexes: vec![0], ..Default::default() };
    let request =
        OffsetFetchRequest { group_id: group.to_owned(), topics: Some(vec![topic]), ..Default::default() };
    loop {
        let answer = connection.call_at(&request, 7).await.unwrap();
        if answer.error_code == ErrorCode::NONE {
            return answer.topics[0].partitions[0].committed_offset;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Joins a group for half an hour of silence; gives the member's id.
pub(crate) async fn join(connection: &Connection, group: &str) -> String {
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::new() };
    let request = JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 1_800_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..Default::default()
    };
    let joined = connection.call_at(&request, 3).await.unwrap();
    assert_eq!((joined.error_code, joined.generation_id), (ErrorCode::NONE, 1));
    let assignment =
        SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment: Bytes::new() };
    let request = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: 1,
        member_id: joined.member_id.clone(),
        assignments: vec![assignment],
        ..Default::default()
    };
    assert_eq!(connection.call_at(&request, 2).await.unwrap().error_code, ErrorCode::NONE);
    joined.member_id
}

async fn groups(connection: &Connection) -> Vec<String> {
    let listed = connection.call(&ListGroupsRequest::default()).await.unwrap().groups;
    listed.into_iter().map(|group| group.group_id).collect()
}

/// They are looked at every ten minutes and kept for five.
#[test]
fn offsets_of_abandoned_groups_expire_for_good() {
    let house = House::new(11, Device::Fua);
    house.start(2);
    house.client(async {
        create(&house.cluster(), 1).await;
        let connection = connect(&house).await;
        commit(&connection, "abandoned", None, 1).await;
        let member = join(&connection, "alive").await;
        commit(&connection, "alive", Some((&member, 1)), 2).await;
        sleep(Duration::from_secs(8 * 60)).await;
        commit(&connection, "late", None, 3).await;
        assert_eq!(committed(&connection, "abandoned").await, 1, "nobody has looked yet");
        sleep(Duration::from_secs(3 * 60)).await;
        assert_eq!(committed(&connection, "abandoned").await, -1);
        assert_eq!(committed(&connection, "alive").await, 2, "somebody is there, however silent");
        assert_eq!(committed(&connection, "late").await, 3);
        assert_eq!(groups(&connection).await, ["alive", "late"]);
    });
    house.stop();
    house.start(1);
    house.client(async {
        let connection = connect(&house).await;
        assert_eq!(committed(&connection, "abandoned").await, -1, "the log says so too");
        assert_eq!(committed(&connection, "late").await, 3);
        sleep(Duration::from_secs(11 * 60)).await;
        // The other one was idle for too long.
        let connection = connect(&house).await;
        assert_eq!(committed(&connection, "late").await, -1);
        assert_eq!(groups(&connection).await, ["alive"]);
    });
    house.stop();
}

#[test]
fn an_administrator_drops_offsets_of_groups_without_members() {
    let house = House::new(13, Device::Fua);
    house.start(2);
    let delete = async |connection: &Connection, group: &str| {
        let partitions =
            [0, 9].map(|partition_index| OffsetDeleteRequestPartition { partition_index }).to_vec();
        let topic = OffsetDeleteRequestTopic { name: TOPIC.to_owned(), partitions };
        let request = OffsetDeleteRequest { group_id: group.to_owned(), topics: vec![topic] };
        let answer = connection.call(&request).await.unwrap();
        let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|part| part.error_code);
        (answer.error_code, codes.collect::<Vec<_>>())
    };
    house.client(async {
        create(&house.cluster(), 1).await;
        let connection = connect(&house).await;
        commit(&connection, "empty", None, 1).await;
        let member = join(&connection, "full").await;
        commit(&connection, "full", Some((&member, 1)), 2).await;
        let codes = vec![ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
        assert_eq!(delete(&connection, "empty").await, (ErrorCode::NONE, codes));
        assert_eq!(delete(&connection, "full").await, (ErrorCode::NON_EMPTY_GROUP, Vec::new()));
        assert_eq!(delete(&connection, "no such").await, (ErrorCode::GROUP_ID_NOT_FOUND, Vec::new()));
        assert_eq!(committed(&connection, "empty").await, -1);
        assert_eq!(committed(&connection, "full").await, 2);
        assert_eq!(groups(&connection).await, ["empty", "full"], "the group itself stays until it expires");
    });
    house.stop();
    house.start(2);
    house.client(async { assert_eq!(committed(&connect(&house).await, "empty").await, -1) });
    house.stop();
}

/// A topic that is made again under the name of a deleted one has nobody's offsets.
#[test]
fn offsets_go_with_their_topic() {
    let house = House::new(12, Device::Fua);
    house.start(3);
    house.client(async {
        create(&house.cluster(), 1).await;
        let connection = connect(&house).await;
        commit(&connection, "group", None, 7).await;
        let admin = Admin::new(house.cluster(), Duration::from_secs(60));
        admin.delete_topic(TOPIC).await.unwrap();
        create(&house.cluster(), 1).await;
        assert_eq!(committed(&connection, "group").await, -1);
        commit(&connection, "group", None, 8).await;
    });
    house.stop();
    house.start(2);
    house.client(async { assert_eq!(committed(&connect(&house).await, "group").await, 8) });
    house.stop();
}
