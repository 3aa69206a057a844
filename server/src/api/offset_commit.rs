//! OffsetCommit.

use super::{Asker, errors::Code, group_route::on_coordinator, topic_names};
use crate::coordinator::{Committed, OffsetCommit};
use millrace_net::kafka::{
    ErrorCode,
    offset_commit::{
        OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
        OffsetCommitResponseTopic,
    },
};
use millrace_runtime::unix_millis;

/// The longest metadata that a consumer may keep with an offset, in bytes (offset.metadata.max.bytes).
const METADATA_LEN_MAX: usize = 4096;

pub(super) async fn answer(asker: &Asker, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let mut commits = Vec::new();
    let mut topics: Vec<OffsetCommitResponseTopic> =
        request.topics.into_iter().map(|topic| check(asker, topic, &mut commits)).collect();
    if !commits.is_empty() {
        let group = request.group_id.clone();
        let committed = on_coordinator(&asker.shard, &request.group_id, move |partition| async move {
            let instance = request.group_instance_id.as_deref();
            let generation = request.generation_id_or_member_epoch;
            partition.commit(&group, &request.member_id, instance, generation, commits).await
        });
        if let Err(error) = committed.await {
            let sound = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            for partition in sound.filter(|partition| partition.error_code == ErrorCode::NONE) {
                partition.error_code = error.code();
            }
        }
    }
    OffsetCommitResponse { topics, ..Default::default() }
}

/// Sorts out what can't be committed; the rest goes to `commits`.
fn check(
    asker: &Asker,
    topic: OffsetCommitRequestTopic,
    commits: &mut Vec<OffsetCommit>,
) -> OffsetCommitResponseTopic {
    let found = topic_names::find(&asker.shard, &topic.name, topic.topic_id);
    let now = unix_millis();
    let partitions = topic.partitions.into_iter().map(|partition| {
        let index = partition.partition_index;
        let metadata = partition.committed_metadata.unwrap_or_default();
        let error_code = match &found {
            None if topic.name.is_empty() => ErrorCode::UNKNOWN_TOPIC_ID,
            Some(found) if (0..found.partitions).contains(&index) => {
                if metadata.len() > METADATA_LEN_MAX {
                    ErrorCode::OFFSET_METADATA_TOO_LARGE
                } else {
                    let committed = Committed {
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata,
                        commit_timestamp: now,
                    };
                    let topic = found.name.clone();
                    commits.push(OffsetCommit { topic, partition: index, committed });
                    ErrorCode::NONE
                }
            }
            _ => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        OffsetCommitResponsePartition { partition_index: index, error_code }
    });
    let partitions = partitions.collect();
    OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions }
}
