//! Over real sockets: the same acceptor and client as in simulated worlds.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use bytes::Bytes;
use millrace_net::{
    client::{CallError, Connection, ConnectionOptions},
    kafka::{
        Request, RequestBody, Response,
        api_versions::ApiVersionsResponse,
        fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData},
        heartbeat::{HeartbeatRequest, HeartbeatResponse},
        produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
    },
    listener::{Acceptor, AcceptorOptions},
    wire::RecordSet,
};
use millrace_runtime::{LaunchOptions, ListenOptions, Listener, Pinning, Stream, launch, sleep, spawn};
use std::{net::SocketAddr, time::Duration};

fn on_a_shard<F: Future<Output = ()> + 'static>(main: fn() -> F) {
    let options = LaunchOptions { pinning: Pinning::Never, ..LaunchOptions::default() };
    launch(&options, move |_| main()).expect("io_uring is to be had").join().expect("no shard panics");
}

/// Tells a piece of bytes from a damaged one; a library's, since these tests run without optimisation.
fn checksum(bytes: &[u8]) -> i32 {
    millrace_record::checksum::crc32c(bytes) as i32
}

/// Gives back what it gets: the checksum of a record set, or as many bytes as are asked for.
async fn answer(request: Request) -> Option<Response> {
    Some(match request.body {
        RequestBody::ApiVersions(_) => ApiVersionsResponse::served().into(),
        RequestBody::Heartbeat(heartbeat) => {
            sleep(Duration::from_millis(u64::try_from(heartbeat.generation_id).unwrap())).await;
            HeartbeatResponse { throttle_time_ms: heartbeat.generation_id, ..Default::default() }.into()
        }
        RequestBody::Produce(produce) => {
            let records = produce.topic_data[0].partition_data[0].records.clone().unwrap();
            let throttle_time_ms = checksum(&records.into_bytes());
            ProduceResponse { throttle_time_ms, ..Default::default() }.into()
        }
        RequestBody::Fetch(fetch) => {
            let pieces = (0..4).map(|n| Bytes::from(vec![n; usize::try_from(fetch.max_bytes).unwrap() / 4]));
            let partitions = vec![PartitionData { records: Some(pieces.collect()), ..Default::default() }];
            let responses = vec![FetchableTopicResponse { partitions, ..Default::default() }];
            FetchResponse { responses, ..Default::default() }.into()
        }
        body => panic!("{body:?}"),
    })
}

async fn start() -> Acceptor {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(loopback, ListenOptions::default()).await.unwrap();
    Acceptor::start(listener, AcceptorOptions::default(), |_| answer)
}

fn produce(len: usize) -> (ProduceRequest, i32) {
    let mut bytes = Bytes::from_static(&[1, 2, 3, 5, 7, 11, 13]).repeat(len / 7 + 1);
    bytes.truncate(len);
    let sum = checksum(&bytes);
    let records = Some(RecordSet::from(Bytes::from(bytes)));
    let partition_data = vec![PartitionProduceData { index: 0, records }];
    let topic_data = vec![TopicProduceData { partition_data, ..Default::default() }];
    (ProduceRequest { acks: -1, topic_data, ..Default::default() }, sum)
}

#[test]
fn requests_and_responses_of_any_size_arrive_whole() {
    on_a_shard(|| async {
        let acceptor = start().await;
        let client = Connection::connect(acceptor.local_addr(), ConnectionOptions::default()).await.unwrap();
        for len in [0, 10, 4000, 65_000, 65_536, 66_000, 1 << 20, 9_999_999, 17] {
            let (request, sum) = produce(len);
            assert_eq!(client.call(&request).await.unwrap().throttle_time_ms, sum, "{len} bytes");
            let fetch = FetchRequest { max_bytes: i32::try_from(len).unwrap(), ..Default::default() };
            let response = client.call(&fetch).await.unwrap();
            let records = response.responses[0].partitions[0].records.clone().unwrap().into_bytes();
            let expected = (0..4).flat_map(|n| vec![n; len / 4]).collect::<Vec<u8>>();
            assert!(records == expected, "{len} bytes");
        }
        assert_eq!(acceptor.in_flight_bytes(), 0);
    });
}

#[test]
fn many_connections_pipeline_at_once() {
    on_a_shard(|| async {
        let acceptor = start().await;
        let mut tasks = Vec::new();
        for n in 0..20 {
            let address = acceptor.local_addr();
            tasks.push(spawn(async move {
                let client = Connection::connect(address, ConnectionOptions::default()).await.unwrap();
                let mut calls = Vec::new();
                for call in 0..50 {
                    let (client, len) = (client.clone(), (call * 7919 + n * 13) % 100_000);
                    calls.push(spawn(async move {
                        let (request, sum) = produce(len);
                        assert_eq!(client.call(&request).await.unwrap().throttle_time_ms, sum);
                        let heartbeat =
                            HeartbeatRequest { generation_id: call as i32 % 5, ..Default::default() };
                        client.call(&heartbeat).await.unwrap();
                    }));
                }
                for call in calls {
                    call.await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(acceptor.traffic().requests, 20 * 101);
    });
}

#[test]
fn draining_answers_what_is_in_flight() {
    on_a_shard(|| async {
        let acceptor = start().await;
        let address = acceptor.local_addr();
        let client = Connection::connect(address, ConnectionOptions::default()).await.unwrap();
        let slow = HeartbeatRequest { generation_id: 200, ..Default::default() };
        let caller = client.clone();
        let call = spawn(async move { caller.call(&slow).await });
        sleep(Duration::from_millis(50)).await;
        acceptor.drain().await;
        assert_eq!(call.await.unwrap().unwrap().throttle_time_ms, 200);
        let late = client.call(&HeartbeatRequest::default()).await;
        assert!(matches!(late, Err(CallError::Disconnected { .. })), "{late:?}");
        assert!(Stream::connect(address).await.is_err());
    });
}
