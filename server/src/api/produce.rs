//! Produce: records are checked on the shard that received them, appended on the shards that own their partitions, and
//! acknowledged when they are durable. One node is all replicas there are, so acks=1 waits for the same; with acks=0 there
//! is no answer, and the wait only holds back the connection.

use super::{Asker, errors::Code, topic_names};
use crate::{
    cluster::is_internal,
    shard::{Appended, PartitionError},
};
use bytes::Bytes;
use futures_util::future::join_all;
use millrace_net::{
    kafka::{
        ErrorCode,
        produce::{
            ACKS_ALL, ACKS_LEADER, ACKS_NONE, PartitionProduceResponse, ProduceRequest, ProduceResponse,
            TopicProduceResponse,
        },
    },
    wire::RecordSet,
};
use millrace_record::{
    BatchError, Compressor, KafkaBatchBuilder, PushError, Scratch, SharedBatch, TopicId,
    kafka::{Limits, Origin, format_of, validate},
    message_set::{self, MessageSetError},
};
use millrace_runtime::ShardId;
use std::collections::BTreeMap;

/// Before this version record sets are message sets of format 0 or 1.
const BATCHES_FROM: i16 = 3;

/// A batch on its way to its partition, and where its answer goes.
struct Part {
    topic: TopicId,
    partition: i32,
    batch: SharedBatch,
    /// Index of the topic in the response, and of the partition in the topic.
    place: (usize, usize),
}

/// `None` if the producer wants no answer.
pub(super) async fn answer(asker: &Asker, request: ProduceRequest) -> Option<ProduceResponse> {
    let acks = request.acks;
    let mut response = ProduceResponse::default();
    let mut by_owner: BTreeMap<ShardId, Vec<Part>> = BTreeMap::new();
    let refusal = refuse_whole(&request);
    for (topic_at, topic) in request.topic_data.into_iter().enumerate() {
        let found = topic_names::find(&asker.shard, topic.name.as_str(), topic.topic_id);
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for (partition_at, data) in topic.partition_data.into_iter().enumerate() {
            let mut answer =
                PartitionProduceResponse { index: data.index, base_offset: -1, ..Default::default() };
            let hosted = found.as_ref().filter(|found| (0..found.partitions).contains(&data.index));
            let unknown = if topic.name.is_empty() && found.is_none() {
                ErrorCode::UNKNOWN_TOPIC_ID
            } else {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            };
            let checked = match (refusal, hosted) {
                (Some(code), _) => Err(Refusal::plain(code)),
                (None, None) => Err(Refusal::plain(unknown)),
                (None, Some(found)) if is_internal(&found.name) => {
                    Err(Refusal::plain(ErrorCode::INVALID_TOPIC_EXCEPTION))
                }
                (None, Some(found)) => {
                    let batch_len_max = asker.shard.options().batch_len_max(found);
                    check(asker.version, data.records, batch_len_max).map(|batch| (found.id, batch))
                }
            };
            match checked {
                Ok((topic, batch)) => {
                    let owner = asker.shard.owner(topic, data.index);
                    let place = (topic_at, partition_at);
                    by_owner.entry(owner).or_default().push(Part {
                        topic,
                        partition: data.index,
                        batch,
                        place,
                    });
                }
                Err(refusal) => {
                    answer.error_code = refusal.code;
                    answer.error_message = refusal.message;
                }
            }
            partitions.push(answer);
        }
        response.responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: partitions,
        });
    }
    let appends = by_owner.into_iter().map(|(owner, parts)| append(asker, owner, parts));
    for (place, appended) in join_all(appends).await.into_iter().flatten() {
        let answer = &mut response.responses[place.0].partition_responses[place.1];
        match appended {
            Ok(appended) => {
                answer.base_offset = appended.base_offset;
                answer.log_append_time_ms = appended.append_time.unwrap_or(-1);
                answer.log_start_offset = appended.log_start_offset;
            }
            Err(error) => {
                answer.error_code = error.code();
                answer.error_message = Some(error.to_string());
            }
        }
    }
    (acks != ACKS_NONE).then_some(response)
}

/// What is wrong with the request as a whole.
fn refuse_whole(request: &ProduceRequest) -> Option<ErrorCode> {
    if request.transactional_id.is_some() {
        return Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    }
    let known = matches!(request.acks, ACKS_ALL | ACKS_LEADER | ACKS_NONE);
    (!known).then_some(ErrorCode::INVALID_REQUIRED_ACKS)
}

/// Appends to the partitions of one shard.
async fn append(
    asker: &Asker,
    owner: ShardId,
    parts: Vec<Part>,
) -> Vec<((usize, usize), Result<Appended, PartitionError>)> {
    asker
        .shard
        .on(owner, move |there| {
            // Every part is appended before any is waited for: they share a frame of the journal.
            let appends: Vec<_> = parts
                .into_iter()
                .map(|part| {
                    let header = *part.batch.header();
                    there.counters().appended(u64::from(header.record_count), u64::from(header.kafka_len));
                    let appended = there.partitions().append(part.topic, part.partition, part.batch);
                    async move { (part.place, appended.await) }
                })
                .collect();
            join_all(appends)
        })
        .await
}

/// Why a partition's records are not appended.
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
}

impl Refusal {
    fn plain(code: ErrorCode) -> Self {
        Self { code, message: None }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        let code = match error {
            BatchError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            BatchError::Format(_) => ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            BatchError::Codec(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            BatchError::Attributes(_)
            | BatchError::RecordCount { .. }
            | BatchError::Field(_)
            | BatchError::Control
            | BatchError::TimestampType
            | BatchError::Record { .. }
            | BatchError::Trailing => ErrorCode::INVALID_RECORD,
            _ => ErrorCode::CORRUPT_MESSAGE,
        };
        Self { code, message: Some(error.to_string()) }
    }
}

/// One sound batch out of a partition's record set, in whatever form the request's version has it.
fn check(version: i16, records: Option<RecordSet>, batch_len_max: usize) -> Result<SharedBatch, Refusal> {
    let bytes = records.map(RecordSet::into_bytes).unwrap_or_default();
    if version < BATCHES_FROM {
        return up_convert(&bytes, batch_len_max);
    }
    if bytes.is_empty() {
        let message = Some("Produce requests have exactly one record batch a partition.".to_owned());
        return Err(Refusal { code: ErrorCode::INVALID_RECORD, message });
    }
    if format_of(&bytes).is_some_and(|format| format < 2) {
        let message = Some("Produce requests of version 3 and above carry batches of format 2.".to_owned());
        return Err(Refusal { code: ErrorCode::INVALID_RECORD, message });
    }
    let info = validate(&bytes, &Limits { batch_len_max, origin: Origin::Producer })?;
    Ok(SharedBatch::new(info.header, bytes)?)
}

/// A message set of format 0 or 1 as a batch. Only clients of old send them, so this path may allocate.
fn up_convert(set: &[u8], batch_len_max: usize) -> Result<SharedBatch, Refusal> {
    let mut scratch = Scratch::new(batch_len_max);
    let mut builder = KafkaBatchBuilder::new(batch_len_max);
    let mut out = Vec::new();
    let converted = message_set::to_batch(set, &mut scratch, &mut builder, &mut Compressor::new(), &mut out);
    match converted {
        Ok((header, _)) => Ok(SharedBatch::new(header, Bytes::from(out))?),
        Err(MessageSetError::Batch(error)) => Err(error.into()),
        Err(MessageSetError::Push(error)) => {
            let code = match error {
                PushError::Full | PushError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
                PushError::OutOfOrder => ErrorCode::INVALID_RECORD,
            };
            Err(Refusal { code, message: Some(error.to_string()) })
        }
        Err(MessageSetError::Empty) => Err(Refusal {
            code: ErrorCode::INVALID_RECORD,
            message: Some("The message set is empty.".to_owned()),
        }),
    }
}
