//! DeleteRecords: raises a log's start.

use super::{Asker, errors::Code};
use millrace_net::kafka::{
    ErrorCode,
    delete_records::{
        DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
        DeleteRecordsTopicResult,
    },
};

/// Stands for the end of what is durable.
const TO_THE_END: i64 = -1;

pub(super) async fn answer(asker: &Asker, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            partitions.push(one(asker, &topic.name, &partition).await);
        }
        topics.push(DeleteRecordsTopicResult { name: topic.name, partitions });
    }
    DeleteRecordsResponse { topics, ..Default::default() }
}

/// Whether the log's start can be raised to `offset` whatever commits are still to be applied.
const fn is_below(offset: i64, high_watermark: i64) -> bool {
    0 <= offset && offset <= high_watermark
}

async fn one(asker: &Asker, topic: &str, wanted: &DeleteRecordsPartition) -> DeleteRecordsPartitionResult {
    let partition_index = wanted.partition_index;
    let refused =
        |error_code| DeleteRecordsPartitionResult { partition_index, low_watermark: -1, error_code };
    let found = {
        let image = asker.shard.image();
        image.topic(topic).filter(|topic| (0..topic.partitions).contains(&partition_index)).cloned()
    };
    let Some(found) = found else { return refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) };
    if crate::cluster::is_internal(&found.name) {
        return refused(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let policy = found.configs.get("cleanup.policy").map_or("delete", String::as_str);
    if !policy.contains("delete") {
        return refused(ErrorCode::POLICY_VIOLATION);
    }
    if wanted.offset < TO_THE_END {
        return refused(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    let (id, offset) = (found.id, wanted.offset);
    let owner = asker.shard.owner(id, partition_index);
    let deleted = asker.shard.on(owner, move |there| async move {
        // An end that is meant or named counts what is committed. What lies below it is there already.
        let is_there = there
            .partitions()
            .log(id, partition_index)
            .is_ok_and(|log| is_below(offset, log.high_watermark()));
        if !is_there {
            there.partitions().commits().ready().await;
        }
        there.partitions().delete_records(id, partition_index, offset).await
    });
    match deleted.await {
        Ok(low_watermark) => {
            DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: ErrorCode::NONE }
        }
        Err(error) => refused(error.code()),
    }
}
