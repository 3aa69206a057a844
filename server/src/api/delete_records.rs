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
        // The end that is meant counts what is committed.
        there.partitions().commits().ready().await;
        there.partitions().delete_records(id, partition_index, offset).await
    });
    match deleted.await {
        Ok(low_watermark) => {
            DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: ErrorCode::NONE }
        }
        Err(error) => refused(error.code()),
    }
}
