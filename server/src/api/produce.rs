//! Produce: records are checked on the shard that received them, appended on the shards that own their partitions, and
//! acknowledged when they are durable. One node is all replicas there are, so acks=1 waits for the same; with acks=0 there
//! is no answer, and the wait only holds back the connection.

use super::{
    Asker,
    admission::{Refusal, Rules, admit},
    errors::Code,
    topic_names,
};
use crate::{
    cluster::is_internal,
    shard::{Appended, PartitionError},
};
use futures_util::future::join_all;
use millrace_net::{
    connection::Answer,
    kafka::{
        ErrorCode, Response,
        produce::{
            ACKS_ALL, ACKS_LEADER, ACKS_NONE, PartitionProduceResponse, ProduceRequest, ProduceResponse,
            TopicProduceResponse,
        },
    },
    wire::RecordSet,
};
use millrace_record::{SharedBatch, TopicId, kafka::claims_transaction};
use millrace_runtime::{ShardId, unix_millis};
use std::collections::BTreeMap;

/// A batch on its way to its partition, and where its answer goes.
struct Part {
    topic: TopicId,
    partition: i32,
    batch: SharedBatch,
    /// Index of the topic in the response, and of the partition in the topic.
    place: (usize, usize),
}

pub(super) async fn answer(asker: &Asker, request: ProduceRequest) -> Answer {
    let acks = request.acks;
    let response = appended(asker, request).await;
    if acks != ACKS_NONE {
        return Answer::Response(Response::Produce(response));
    }
    let mut partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    if partitions.all(|partition| partition.error_code == ErrorCode::NONE) {
        Answer::Nothing
    } else {
        Answer::Close
    }
}

async fn appended(asker: &Asker, request: ProduceRequest) -> ProduceResponse {
    let mut response = ProduceResponse::default();
    let mut by_owner: BTreeMap<ShardId, Vec<Part>> = BTreeMap::new();
    let refusal = refuse_whole(&request);
    let now = unix_millis();
    for (topic_at, topic) in request.topic_data.into_iter().enumerate() {
        let found = topic_names::find(&asker.shard, topic.name.as_str(), topic.topic_id);
        let rules = found.as_ref().map(|found| Rules::of(found, asker.shard.options(), now));
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for (partition_at, data) in topic.partition_data.into_iter().enumerate() {
            let mut answer =
                PartitionProduceResponse { index: data.index, base_offset: -1, ..Default::default() };
            let bytes = data.records.as_ref().map_or(0, RecordSet::len);
            let hosted = found.as_ref().filter(|found| (0..found.partitions).contains(&data.index));
            let unknown = if topic.name.is_empty() && found.is_none() {
                ErrorCode::UNKNOWN_TOPIC_ID
            } else {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            };
            let checked = match (refusal, hosted.zip(rules.as_ref())) {
                (Some(code), _) => Err(Refusal::plain(code)),
                (None, None) => Err(Refusal::plain(unknown)),
                (None, Some((found, _))) if is_internal(&found.name) => {
                    Err(Refusal::plain(ErrorCode::INVALID_TOPIC_EXCEPTION))
                }
                (None, Some((found, rules))) => {
                    admit(asker.version, data.records, rules).map(|batch| (found.id, batch))
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
                    asker.shard.counters().rejected(refusal.code, bytes as u64);
                    answer.error_code = refusal.code;
                    answer.error_message = refusal.message;
                    answer.record_errors = refusal.records;
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
    response
}

/// What is wrong with the request as a whole.
fn refuse_whole(request: &ProduceRequest) -> Option<ErrorCode> {
    let mut record_sets = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data)
        .filter_map(|data| data.records.as_ref());
    let transactional = |set: &RecordSet| set.pieces().next().is_some_and(|piece| claims_transaction(piece));
    if request.transactional_id.is_some() || record_sets.any(transactional) {
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
                    let (records, bytes) = (u64::from(header.record_count), u64::from(header.kafka_len));
                    let appended = there.partitions().append(part.topic, part.partition, part.batch);
                    let there = there.clone();
                    async move {
                        let appended = appended.await;
                        match &appended {
                            Ok(_) => there.counters().appended(part.topic, records, bytes),
                            Err(error) => there.counters().rejected(error.code(), bytes),
                        }
                        (part.place, appended)
                    }
                })
                .collect();
            join_all(appends)
        })
        .await
}
