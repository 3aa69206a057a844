//! OffsetDelete: an administrator drops what a group without members committed.

use super::{Asker, errors::Code, group_route::on_members_coordinator};
use millrace_net::kafka::{
    ErrorCode,
    offset_delete::{
        OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition,
        OffsetDeleteResponseTopic,
    },
};

pub(super) async fn answer(asker: &Asker, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let mut places = Vec::new();
    let topics = request.topics.into_iter().map(|topic| check(asker, topic, &mut places)).collect();
    let group = request.group_id.clone();
    let deleted = on_members_coordinator(&asker.shard, &request.group_id, move |partition| async move {
        partition.delete_offsets(&group, &places).await
    });
    match deleted.await {
        Ok(()) => OffsetDeleteResponse { topics, ..Default::default() },
        Err(error) => OffsetDeleteResponse { error_code: error.code(), ..Default::default() },
    }
}

/// A topic's answer if the rest goes well; the partitions that there are go to `places`.
fn check(
    asker: &Asker,
    topic: OffsetDeleteRequestTopic,
    places: &mut Vec<(String, i32)>,
) -> OffsetDeleteResponseTopic {
    let count = asker.shard.image().topic(&topic.name).map_or(0, |found| found.partitions);
    let partitions = topic.partitions.into_iter().map(|partition| {
        let partition_index = partition.partition_index;
        let error_code = if (0..count).contains(&partition_index) {
            places.push((topic.name.clone(), partition_index));
            ErrorCode::NONE
        } else {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        };
        OffsetDeleteResponsePartition { partition_index, error_code }
    });
    let partitions = partitions.collect();
    OffsetDeleteResponseTopic { name: topic.name, partitions }
}
