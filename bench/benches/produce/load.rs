//! What is sent: Produce requests, whole and ready, so that sending costs the driver a system call and nothing else.

use bytes::Bytes;
use millrace_net::{
    kafka::{
        ErrorCode, encode_request, parse_response,
        produce::{ACKS_ALL, PartitionProduceData, ProduceRequest, TopicProduceData},
    },
    wire::{RecordSet, Writer},
};
use millrace_record::{BatchMeta, Codec, Compressor, Headers, KafkaBatchBuilder, PushError};
use millrace_runtime::unix_millis;

/// The oldest version whose topics and lists are written as in all later ones.
const VERSION: i16 = 9;

/// The shape of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Length of a record's value.
    pub(crate) record_bytes: usize,
    /// The longest batch, as a client's `batch.size` bounds it.
    pub(crate) batch_bytes: usize,
    /// Batches in a request, each for another partition.
    pub(crate) batches: usize,
}

/// A request's frame, and what it brings.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) frame: Bytes,
    pub(crate) records: u64,
    pub(crate) value_bytes: u64,
}

/// Requests that go round the partitions: all of them have been written to after the last.
pub(crate) fn requests(topic: &str, partitions: &[i32], shape: Shape) -> Vec<Ready> {
    let (batch, records) = batch(shape);
    let request = |partitions: &[i32]| {
        let records = || Some(RecordSet::from(batch.clone()));
        let partition_data =
            partitions.iter().map(|index| PartitionProduceData { index: *index, records: records() });
        let partition_data = partition_data.collect();
        let topic = TopicProduceData { name: topic.into(), partition_data, ..Default::default() };
        let request = ProduceRequest {
            acks: ACKS_ALL,
            timeout_ms: 30_000,
            topic_data: vec![topic],
            ..Default::default()
        };
        let client = "bench".into();
        let frame = encode_request(&mut Writer::new(), VERSION, 0, Some(&client), &request);
        frame.expect("it is as long as a request may be").concat()
    };
    let sent = partitions.chunks(shape.batches).map(|partitions| Ready {
        frame: request(partitions).into(),
        records: records * partitions.len() as u64,
        value_bytes: records * partitions.len() as u64 * shape.record_bytes as u64,
    });
    sent.collect()
}

/// A batch as a client sends it, and how many records it has. Values are noise: nothing on the way could gain by what is in
/// them.
fn batch(shape: Shape) -> (Bytes, u64) {
    let mut builder = KafkaBatchBuilder::new(shape.batch_bytes);
    let now = unix_millis();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut value = vec![0; shape.record_bytes];
    loop {
        value.fill_with(&mut noise);
        match builder.push(now, None, Some(&value), Headers::EMPTY) {
            Ok(()) => {}
            Err(PushError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let records = u64::from(builder.count());
    let mut out = Vec::new();
    builder
        .finish(&BatchMeta::PLAIN, Codec::None, &mut Compressor::new(), &mut out)
        .expect("there are records");
    (out.into(), records)
}

/// Reads a response, its length taken off: every batch is in its partition.
///
/// # Panics
/// If one is not.
pub(crate) fn check(frame: Vec<u8>) {
    let response = parse_response::<ProduceRequest>(&frame.into(), VERSION, 0).expect("a response");
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    assert!(partitions.all(|partition| partition.error_code == ErrorCode::NONE), "refused: {response:?}");
}
