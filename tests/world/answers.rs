//! Answers to requests that no library of ours sends: asked twice, by both names, in versions without the meaning. What is
//! expected here is what Apache Kafka answers; `tests/clients/probe` holds many more against its recorded answers.

use crate::{
    basics::{TOPIC, create},
    house::House,
};
use bytes::Bytes;
use millrace_net::{
    client::{CallError, Connection, ConnectionOptions},
    kafka::{
        ErrorCode,
        alter_configs::{AlterConfigsRequest, AlterConfigsResource},
        create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest},
        delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
        delete_topics::{DeleteTopicState, DeleteTopicsRequest},
        describe_cluster::DescribeClusterRequest,
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        fetch::{FetchPartition, FetchRequest, FetchTopic},
        heartbeat::HeartbeatRequest,
        incremental_alter_configs::{
            IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource, IncrementalAlterableConfig,
        },
        init_producer_id::InitProducerIdRequest,
        leave_group::LeaveGroupRequest,
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
        metadata::{MetadataRequest, MetadataRequestTopic},
        offset_for_leader_epoch::{
            OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
        },
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
        sasl_handshake::SaslHandshakeRequest,
    },
    wire::RecordSet,
};
use millrace_record::{Attributes, BatchMeta, Codec, Compressor, Headers, KafkaBatchBuilder};
use millrace_runtime::sim::Device;
use std::net::SocketAddr;
use uuid::Uuid;

const UNKNOWN: Uuid = Uuid::from_u128(0x1111_2222);

/// Runs a conversation with a server that has one topic, of one partition.
fn converse<F: Future>(talk: impl FnOnce(Connection) -> F) {
    let house = House::new(7, Device::Fua);
    house.start(2);
    house.client(async {
        create(&house.cluster(), 1).await;
        talk(connect(house.address()).await).await;
    });
    house.stop();
}

pub(crate) async fn id_of_topic(connection: &Connection) -> Uuid {
    let all = MetadataRequest { topics: None, ..Default::default() };
    connection.call(&all).await.unwrap().topics[0].topic_id
}

pub(crate) async fn connect(address: SocketAddr) -> Connection {
    Connection::connect(address, ConnectionOptions::default()).await.unwrap()
}

#[test]
fn a_topic_is_named_once_and_in_one_way() {
    converse(async |connection| {
        let named =
            |name: Option<&str>, topic_id| MetadataRequestTopic { name: name.map(str::to_owned), topic_id };
        let ask = |topics: Vec<MetadataRequestTopic>, version| {
            let request = MetadataRequest { topics: Some(topics), ..Default::default() };
            let connection = connection.clone();
            async move { connection.call_at(&request, version).await.unwrap() }
        };
        let twice = ask(vec![named(Some(TOPIC), Uuid::nil()), named(Some(TOPIC), Uuid::nil())], 12).await;
        assert_eq!(twice.topics.len(), 1);
        let id = twice.topics[0].topic_id;
        let both = ask(vec![named(Some(TOPIC), UNKNOWN)], 12).await;
        assert_eq!((both.topics[0].error_code, &both.topics[0].name), (ErrorCode::UNKNOWN_TOPIC_ID, &None));
        let early = ask(vec![named(Some(""), UNKNOWN)], 11).await;
        assert_eq!(early.topics[0].error_code, ErrorCode::INVALID_REQUEST);

        let delete = |topics: Vec<DeleteTopicState>, topic_names: Vec<String>, version| {
            let request = DeleteTopicsRequest { topics, topic_names, ..Default::default() };
            let connection = connection.clone();
            async move { connection.call_at(&request, version).await.unwrap().responses }
        };
        let name = Some(TOPIC.to_owned());
        for (name, topic_id) in [(name.clone(), id), (None, Uuid::nil())] {
            let refused = delete(vec![DeleteTopicState { name, topic_id }], Vec::new(), 6).await;
            assert_eq!(refused[0].error_code, ErrorCode::INVALID_REQUEST);
        }
        let refused = delete(Vec::new(), vec![TOPIC.to_owned(), TOPIC.to_owned()], 5).await;
        assert_eq!((refused.len(), refused[0].error_code), (1, ErrorCode::INVALID_REQUEST));
        assert_eq!(ask(vec![named(None, id)], 12).await.topics[0].name, name, "it is still there");
    });
}

#[test]
fn a_topic_is_tried_out_with_an_id_and_made_of_values() {
    converse(async |connection| {
        let create = |value: Option<&str>| {
            let config =
                CreatableTopicConfig { name: "cleanup.policy".to_owned(), value: value.map(str::to_owned) };
            let topic = CreatableTopic {
                name: "other".to_owned(),
                num_partitions: 1,
                replication_factor: 1,
                configs: vec![config],
                ..Default::default()
            };
            let request =
                CreateTopicsRequest { topics: vec![topic], validate_only: true, ..Default::default() };
            let connection = connection.clone();
            async move { connection.call_at(&request, 7).await.unwrap().topics.remove(0) }
        };
        let made = create(Some("compact")).await;
        assert_eq!((made.error_code, made.topic_id.is_nil()), (ErrorCode::NONE, false));
        assert_eq!(create(None).await.error_code, ErrorCode::INVALID_CONFIG);
    });
}

#[test]
fn offsets_go_by_names_that_the_version_knows() {
    converse(async |connection| {
        let list = |timestamps: Vec<i64>, version| {
            let partitions = timestamps.into_iter().map(|timestamp| ListOffsetsPartition {
                partition_index: 0,
                current_leader_epoch: -1,
                timestamp,
            });
            let topic = ListOffsetsTopic { name: TOPIC.to_owned(), partitions: partitions.collect() };
            let request = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
            let connection = connection.clone();
            async move {
                let found = connection.call_at(&request, version).await.unwrap().topics.remove(0).partitions;
                assert_eq!(found.len(), 1);
                (found[0].error_code, found[0].offset)
            }
        };
        for (timestamp, from, offset) in [(-3, 7, -1), (-4, 8, 0), (-5, 9, -1), (-6, 11, -1)] {
            assert_eq!(list(vec![timestamp], from - 1).await, (ErrorCode::UNSUPPORTED_VERSION, -1));
            assert_eq!(list(vec![timestamp], from).await, (ErrorCode::NONE, offset), "{timestamp}");
        }
        assert_eq!(list(vec![-7], 11).await, (ErrorCode::UNSUPPORTED_VERSION, -1));
        assert_eq!(list(vec![-1, -1], 11).await, (ErrorCode::INVALID_REQUEST, -1));

        let partition = OffsetForLeaderPartition { partition: 0, current_leader_epoch: -1, leader_epoch: -1 };
        let topic = OffsetForLeaderTopic { topic: TOPIC.to_owned(), partitions: vec![partition] };
        let request = OffsetForLeaderEpochRequest { topics: vec![topic], ..Default::default() };
        let ended = connection.call_at(&request, 4).await.unwrap();
        assert_eq!(ended.topics[0].partitions[0].end_offset, -1, "before the first epoch");
    });
}

#[test]
fn settings_are_told_with_their_origin_and_all_of_them_where_none_is_named() {
    converse(async |connection| {
        let describe = |resource_type, name: &str, keys: Option<Vec<String>>| {
            let resource = DescribeConfigsResource {
                resource_type,
                resource_name: name.to_owned(),
                configuration_keys: keys,
            };
            let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
            let connection = connection.clone();
            async move { connection.call_at(&request, 4).await.unwrap().results.remove(0) }
        };
        let all = describe(2, TOPIC, None).await.configs;
        assert_eq!(describe(2, TOPIC, Some(Vec::new())).await.configs.len(), all.len());
        let longest = all.iter().find(|config| config.name == "max.message.bytes").unwrap();
        assert_eq!(longest.config_source, 5, "nobody set it");
        assert_eq!(describe(2, "a b", None).await.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
        assert_eq!(describe(2, "other", None).await.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(
            describe(4, "", None).await.configs.len(),
            0,
            "nothing is set for all brokers at run time"
        );
        let mine = describe(4, "1", Some(vec!["num.partitions".to_owned()])).await.configs;
        assert_eq!(mine.len(), 1);

        let endpoints = |endpoint_type| DescribeClusterRequest { endpoint_type, ..Default::default() };
        let controllers = connection.call_at(&endpoints(2), 2).await.unwrap();
        assert_eq!(controllers.error_code, ErrorCode::MISMATCHED_ENDPOINT_TYPE);
        let unknown = connection.call_at(&endpoints(9), 2).await.unwrap();
        assert_eq!(unknown.error_code, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE);
    });
}

#[test]
fn settings_change_while_a_topic_is_used() {
    converse(async |connection| {
        let alter = |resource_type, name: &str, value: Option<&str>, validate_only| {
            let config = IncrementalAlterableConfig {
                name: "max.message.bytes".to_owned(),
                config_operation: 0,
                value: value.map(str::to_owned),
            };
            let resource = IncrementalAlterConfigsResource {
                resource_type,
                resource_name: name.to_owned(),
                configs: vec![config],
            };
            let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only };
            let connection = connection.clone();
            async move { connection.call(&request).await.unwrap().responses[0].error_code }
        };
        let append = async || {
            let request = produce(id_of_topic(&connection).await, -1, "value", Attributes::NONE);
            connection.call_at(&request, 13).await.unwrap().responses[0].partition_responses[0].error_code
        };
        assert_eq!(alter(2, TOPIC, Some("10"), true).await, ErrorCode::NONE);
        assert_eq!(append().await, ErrorCode::NONE, "that was a trial");
        assert_eq!(alter(2, TOPIC, Some("10"), false).await, ErrorCode::NONE);
        assert_eq!(append().await, ErrorCode::MESSAGE_TOO_LARGE);
        assert_eq!(alter(2, TOPIC, None, false).await, ErrorCode::INVALID_REQUEST);
        assert_eq!(alter(4, "1", Some("10"), false).await, ErrorCode::INVALID_REQUEST);
        assert_eq!(append().await, ErrorCode::MESSAGE_TOO_LARGE);
        let defaults =
            AlterConfigsResource { resource_type: 2, resource_name: TOPIC.to_owned(), configs: Vec::new() };
        let request = AlterConfigsRequest { resources: vec![defaults], validate_only: false };
        assert_eq!(connection.call(&request).await.unwrap().responses[0].error_code, ErrorCode::NONE);
        assert_eq!(append().await, ErrorCode::NONE, "back at the default");
    });
}

#[test]
fn what_contradicts_itself_is_refused() {
    converse(async |connection| {
        let heartbeat = connection.call(&HeartbeatRequest::default()).await.unwrap();
        assert_eq!(heartbeat.error_code, ErrorCode::INVALID_GROUP_ID);
        let left = connection.call(&LeaveGroupRequest::default()).await.unwrap();
        assert_eq!((left.error_code, left.members.len()), (ErrorCode::INVALID_GROUP_ID, 0));
        let handshake = connection.call(&SaslHandshakeRequest::default()).await.unwrap();
        assert_eq!(handshake.error_code, ErrorCode::ILLEGAL_SASL_STATE);
        let partition = DeleteRecordsPartition { partition_index: 0, offset: -2 };
        let topic = DeleteRecordsTopic { name: TOPIC.to_owned(), partitions: vec![partition] };
        let request = DeleteRecordsRequest { topics: vec![topic], ..Default::default() };
        let deleted = connection.call(&request).await.unwrap();
        assert_eq!(deleted.topics[0].partitions[0].error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
        let half = InitProducerIdRequest { producer_id: 5, producer_epoch: -1, ..Default::default() };
        assert_eq!(connection.call(&half).await.unwrap().error_code, ErrorCode::INVALID_REQUEST);

        let topic_id = id_of_topic(&connection).await;
        let partition = FetchPartition { partition: 5, ..Default::default() };
        let topic = FetchTopic { topic_id, partitions: vec![partition], ..Default::default() };
        let fetch = FetchRequest { topics: vec![topic], session_epoch: -1, ..Default::default() };
        let fetched = connection.call_at(&fetch, 13).await.unwrap().responses;
        assert_eq!(fetched[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    });
}

/// A Produce of one record to the first partition.
pub(crate) fn produce(topic_id: Uuid, acks: i16, value: &str, attributes: Attributes) -> ProduceRequest {
    let mut builder = KafkaBatchBuilder::new(1000);
    builder.push(1000, None, Some(value.as_bytes()), Headers::EMPTY).unwrap();
    let mut batch = Vec::new();
    let meta = BatchMeta { attributes, ..BatchMeta::PLAIN };
    builder.finish(&meta, Codec::None, &mut Compressor::new(), &mut batch).unwrap();
    let records = Some(RecordSet::from(Bytes::from(batch)));
    let partition_data = vec![PartitionProduceData { index: 0, records }];
    let topic = TopicProduceData { topic_id, partition_data, ..Default::default() };
    ProduceRequest { acks, topic_data: vec![topic], ..Default::default() }
}

#[test]
fn a_transaction_without_a_name_is_not_appended() {
    converse(async |connection| {
        let request = produce(id_of_topic(&connection).await, -1, "value", Attributes::TRANSACTIONAL);
        let answer = connection.call_at(&request, 13).await.unwrap().responses.remove(0);
        let code = answer.partition_responses[0].error_code;
        assert_eq!(code, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    });
}

#[test]
fn who_wants_no_answer_learns_of_a_failure_by_the_end_of_the_connection() {
    converse(async |connection| {
        let known = id_of_topic(&connection).await;
        connection.send_unanswered(&produce(known, 0, "value", Attributes::NONE)).unwrap();
        connection.call(&MetadataRequest::default()).await.unwrap();
        connection.send_unanswered(&produce(UNKNOWN, 0, "value", Attributes::NONE)).unwrap();
        let next = connection.call(&MetadataRequest::default()).await;
        assert!(matches!(next, Err(CallError::Disconnected { .. })), "{next:?}");
    });
}
