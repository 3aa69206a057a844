//! A producer that sends a batch, waits for the answer, and sends the next.

use crate::copies::MARK;
use bytes::Bytes;
use millrace_net::{
    client::{Cluster, ClusterOptions},
    kafka::{
        ErrorCode, encode_request, parse_response,
        produce::{ACKS_ALL, PartitionProduceData, ProduceRequest, TopicProduceData},
    },
    wire::{RecordSet, Writer},
};
use millrace_record::{BatchMeta, Codec, Compressor, Headers, KafkaBatchBuilder};
use millrace_runtime::{LaunchOptions, Pinning, Stream, launch, unix_millis};
use std::{net::SocketAddr, time::Duration};

pub(crate) const TOPIC: &str = "counted";
const VERSION: i16 = 9;

/// A batch as it is sent.
#[derive(Clone)]
pub(crate) struct Batch {
    bytes: Bytes,
    marked_len: usize,
}

impl Batch {
    /// So many records of equal length in about so many bytes.
    pub(crate) fn of(records: usize, len: usize) -> Self {
        let mut builder = KafkaBatchBuilder::new(2 * len);
        // Each record has about eight bytes of its own beside its value.
        let value = vec![MARK; (len / records).saturating_sub(8)];
        for _ in 0..records {
            builder.push(unix_millis(), None, Some(&value), Headers::EMPTY).unwrap();
        }
        let mut batch = Vec::new();
        builder.finish(&BatchMeta::PLAIN, Codec::None, &mut Compressor::new(), &mut batch).unwrap();
        Self { bytes: batch.into(), marked_len: records * value.len() }
    }

    /// Bytes of its records' values.
    pub(crate) fn marked_len(&self) -> usize {
        self.marked_len
    }
}

/// Sends a batch so often, on a shard of its own.
pub(crate) fn send(address: SocketAddr, batch: Batch, times: u32) {
    let options = LaunchOptions { pinning: Pinning::Never, spin: Duration::ZERO, ..LaunchOptions::default() };
    let launched = launch(&options, move |_| {
        let records = RecordSet::from(batch.bytes.clone());
        async move {
            // The topic comes into being by being asked for.
            let cluster = Cluster::new(vec![address], ClusterOptions::default());
            while cluster.leader(TOPIC, 0).await.is_err() {}
            let stream = Stream::connect(address).await.unwrap();
            let frame = request(records);
            for _ in 0..times {
                stream.send(vec![frame.clone()]).await.unwrap();
                receive(&stream).await;
            }
        }
    });
    launched.unwrap().join().unwrap();
}

fn request(records: RecordSet) -> Bytes {
    let partition_data = vec![PartitionProduceData { index: 0, records: Some(records) }];
    let topic_data = vec![TopicProduceData { name: TOPIC.into(), partition_data, ..Default::default() }];
    let request = ProduceRequest { acks: ACKS_ALL, timeout_ms: 30_000, topic_data, ..Default::default() };
    encode_request(&mut Writer::new(), VERSION, 0, None, &request).unwrap().concat().into()
}

async fn receive(stream: &Stream) {
    let mut received = Vec::new();
    while received.first_chunk().is_none_or(|len| received.len() < 4 + i32::from_be_bytes(*len) as usize) {
        let more = stream.recv().await.unwrap();
        assert!(!more.is_empty(), "the server hung up");
        received.extend_from_slice(&more);
    }
    let response = parse_response::<ProduceRequest>(&Bytes::from(received).slice(4..), VERSION, 0).unwrap();
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
}
