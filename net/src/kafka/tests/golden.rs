//! Bytes by hand, for versions that the cross-check does not reach and for headers.

use super::*;
use crate::{
    kafka::{
        api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse},
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
        metadata::MetadataRequest,
        offset_commit::*,
        offset_fetch::*,
        produce::*,
    },
    wire::RecordSet,
};
use uuid::Uuid;

/// Joins what a test writes as pieces: numbers as bytes, texts as they are.
fn bytes(pieces: &[&[u8]]) -> Bytes {
    pieces.concat().into()
}

fn format(api: ApiKey, version: i16) -> Format {
    Format::new(version, api.flexible_from())
}

fn check<T: Field + PartialEq + std::fmt::Debug>(message: &T, format: Format, expected: &Bytes) {
    assert_eq!(&Writer::value(message, format).unwrap(), expected);
    assert_eq!(decode::<T>(expected, format).as_ref(), Ok(message));
}

const TOPIC: Uuid = Uuid::from_bytes(*b"0123456789abcdef");

#[test]
fn produce_of_the_oldest_clients() {
    let request = ProduceRequest {
        acks: 1,
        timeout_ms: 1500,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData {
                index: 3,
                records: Some(RecordSet::from(Bytes::from_static(b"xyz"))),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let expected = bytes(&[
        &[0, 1, 0, 0, 5, 0xdc],
        &[0, 0, 0, 1, 0, 1, b't'],
        &[0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 3],
        b"xyz",
    ]);
    for version in 0..=2 {
        check(&request, format(ApiKey::Produce, version), &expected);
    }
    let partition = PartitionProduceResponse { index: 3, base_offset: 258, ..Default::default() };
    let mut response = ProduceResponse {
        responses: vec![TopicProduceResponse {
            name: "t".into(),
            partition_responses: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let head: &[u8] = &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2];
    check(&response, format(ApiKey::Produce, 0), &bytes(&[head]));
    response.throttle_time_ms = 9;
    check(&response, format(ApiKey::Produce, 1), &bytes(&[head, &[0, 0, 0, 9]]));
    let log_append_time: &[u8] = &[0xff; 8];
    check(&response, format(ApiKey::Produce, 2), &bytes(&[head, log_append_time, &[0, 0, 0, 9]]));
}

#[test]
fn list_offsets_11_has_the_fields_of_10() {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 1,
        topics: vec![ListOffsetsTopic {
            name: "t".to_owned(),
            partitions: vec![ListOffsetsPartition {
                partition_index: 2,
                current_leader_epoch: 7,
                timestamp: list_offsets::EARLIEST_PENDING_UPLOAD_TIMESTAMP,
            }],
        }],
        timeout_ms: 5,
    };
    let expected = bytes(&[
        &[0xff, 0xff, 0xff, 0xff, 1, 2, 2, b't', 2, 0, 0, 0, 2, 0, 0, 0, 7],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0, 0],
        &[0, 0, 0, 5, 0],
    ]);
    check(&request, format(ApiKey::ListOffsets, 10), &expected);
    check(&request, format(ApiKey::ListOffsets, 11), &expected);
}

#[test]
fn offset_commit_10_names_topics_by_id() {
    let request = OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: 4,
        member_id: "m".to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            topic_id: TOPIC,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 1,
                committed_offset: 6,
                committed_leader_epoch: 2,
                committed_metadata: Some("x".to_owned()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let expected = bytes(&[
        &[2, b'g', 0, 0, 0, 4, 2, b'm', 0, 2],
        TOPIC.as_bytes(),
        &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 2, 2, b'x', 0, 0, 0],
    ]);
    check(&request, format(ApiKey::OffsetCommit, 10), &expected);
    let response = OffsetCommitResponse {
        throttle_time_ms: 1,
        topics: vec![OffsetCommitResponseTopic {
            topic_id: TOPIC,
            partitions: vec![OffsetCommitResponsePartition {
                partition_index: 1,
                error_code: ErrorCode::UNKNOWN_TOPIC_ID,
            }],
            ..Default::default()
        }],
    };
    let expected = bytes(&[&[0, 0, 0, 1, 2], TOPIC.as_bytes(), &[2, 0, 0, 0, 1, 0, 100, 0, 0, 0]]);
    check(&response, format(ApiKey::OffsetCommit, 10), &expected);
}

#[test]
fn offset_fetch_10_names_topics_by_id() {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "g".to_owned(),
            member_id: None,
            member_epoch: -1,
            topics: Some(vec![OffsetFetchRequestTopic {
                topic_id: TOPIC,
                partition_indexes: vec![1, 2],
                ..Default::default()
            }]),
        }],
        require_stable: true,
        ..Default::default()
    };
    let expected = bytes(&[
        &[2, 2, b'g', 0, 0xff, 0xff, 0xff, 0xff, 2],
        TOPIC.as_bytes(),
        &[3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 1, 0],
    ]);
    check(&request, format(ApiKey::OffsetFetch, 10), &expected);
    let response = OffsetFetchResponse {
        groups: vec![OffsetFetchResponseGroup {
            group_id: "g".to_owned(),
            topics: vec![OffsetFetchResponseTopic {
                topic_id: TOPIC,
                partitions: vec![OffsetFetchResponsePartition {
                    partition_index: 1,
                    committed_offset: 6,
                    committed_leader_epoch: 2,
                    metadata: Some("x".to_owned()),
                    error_code: ErrorCode::NONE,
                }],
                ..Default::default()
            }],
            error_code: ErrorCode::NONE,
        }],
        ..Default::default()
    };
    let expected = bytes(&[
        &[0, 0, 0, 0, 2, 2, b'g', 2],
        TOPIC.as_bytes(),
        &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 2, 2, b'x', 0, 0, 0, 0, 0, 0, 0, 0],
    ]);
    check(&response, format(ApiKey::OffsetFetch, 10), &expected);
}

#[test]
fn headers_are_plain_flexible_or_apiversions_own() {
    let mut writer = Writer::new();
    let mut request = |version, body: &MetadataRequest| {
        unframed(encode_request(&mut writer, version, 7, Some(&"me".into()), body).unwrap())
    };
    let body = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    let header: &[u8] = &[0, 3, 0, 1, 0, 0, 0, 7, 0, 2, b'm', b'e'];
    assert_eq!(request(1, &body), bytes(&[header, &[0, 0, 0, 0]]));
    let header: &[u8] = &[0, 3, 0, 9, 0, 0, 0, 7, 0, 2, b'm', b'e', 0];
    assert_eq!(request(9, &body), bytes(&[header, &[1, 1, 0, 0, 0]]));

    let heartbeat = Response::from(heartbeat::HeartbeatResponse::default());
    let frame = unframed(encode_response(&mut writer, 4, 7, &heartbeat).unwrap());
    assert_eq!(frame, bytes(&[&[0, 0, 0, 7, 0], &[0, 0, 0, 0, 0, 0, 0]]));
    let versions = ApiVersionsResponse {
        api_keys: vec![ApiVersion { api_key: 1, min_version: 4, max_version: 18 }],
        ..Default::default()
    };
    let frame = unframed(encode_response(&mut writer, 3, 7, &versions.into()).unwrap());
    assert_eq!(frame, bytes(&[&[0, 0, 0, 7], &[0, 0, 2, 0, 1, 0, 4, 0, 18, 0, 0, 0, 0, 0, 0]]));
}

#[test]
fn an_api_versions_request_from_the_future_is_answered() {
    // Version 77 with a body nobody knows.
    let frame = bytes(&[&[0, 18, 0, 77, 0, 0, 0, 9], b"whatever that may be"]);
    let (correlation_id, answer) = parse_request(&frame).unwrap_err().answer().unwrap();
    let frame = unframed(encode_response(&mut Writer::new(), 0, correlation_id, &answer).unwrap());
    assert_eq!(frame, bytes(&[&[0, 0, 0, 9, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]]));
    let read = parse_response::<ApiVersionsRequest>(&frame, 0, 9).unwrap();
    assert_eq!(read.error_code, ErrorCode::UNSUPPORTED_VERSION);
}

#[test]
fn null_where_a_version_has_none() {
    // A name is never null in version 12's predecessors, and writing one gives the empty text.
    let topic = metadata::MetadataResponseTopic::default();
    let encoded = Writer::value(&topic, format(ApiKey::Metadata, 1)).unwrap();
    assert_eq!(encoded[..4], [0, 0, 0, 0]);
    let encoded = Writer::value(&topic, format(ApiKey::Metadata, 12)).unwrap();
    assert_eq!(encoded[..3], [0, 0, 0]);
    let null_name = Bytes::from_static(&[0, 0, 0, 1, 0xff, 0xff]);
    let error = decode::<MetadataRequest>(&null_name, format(ApiKey::Metadata, 1)).unwrap_err();
    assert_eq!(error, "MetadataRequestTopic.name, byte 6: null is not allowed here");
    assert!(MetadataRequest { topics: Some(Vec::new()), ..Default::default() }.wants_all_topics(0));
    assert!(!MetadataRequest { topics: Some(Vec::new()), ..Default::default() }.wants_all_topics(1));
    assert!(MetadataRequest::default().wants_all_topics(1));
}
