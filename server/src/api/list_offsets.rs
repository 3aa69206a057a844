//! ListOffsets: the earliest, the latest, the largest timestamp's, or the first at or after a time.

use super::{Asker, errors::Code};
use crate::shard::{Isolation, OffsetAt};
use millrace_net::kafka::{
    ErrorCode,
    list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
        ListOffsetsTopicResponse,
    },
};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on this node's own disks: the earliest, as nothing is tiered.
const EARLIEST_LOCAL: i64 = -4;
/// The end of what is tiered: nothing is.
const LATEST_TIERED: i64 = -5;

pub(super) async fn answer(asker: &Asker, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation =
        if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            partitions.push(one(asker, &topic.name, &partition, isolation).await);
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    ListOffsetsResponse { topics, ..Default::default() }
}

async fn one(
    asker: &Asker,
    topic: &str,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
) -> ListOffsetsPartitionResponse {
    let partition_index = wanted.partition_index;
    let refused =
        |error_code| ListOffsetsPartitionResponse { partition_index, error_code, ..Default::default() };
    let found = {
        let image = asker.shard.image();
        image
            .topic(topic)
            .filter(|topic| (0..topic.partitions).contains(&partition_index))
            .map(|topic| topic.id)
    };
    let Some(id) = found else { return refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) };
    let at = match wanted.timestamp {
        LATEST => OffsetAt::End(isolation),
        EARLIEST | EARLIEST_LOCAL => OffsetAt::Start,
        MAX_TIMESTAMP => OffsetAt::MaxTimestamp,
        LATEST_TIERED => return ListOffsetsPartitionResponse { partition_index, ..Default::default() },
        time if time >= 0 => OffsetAt::Timestamp(time),
        _ => return refused(ErrorCode::UNSUPPORTED_VERSION),
    };
    let leader_epoch = wanted.current_leader_epoch;
    let owner = asker.shard.owner(id, partition_index);
    let listed = asker.shard.on(owner, move |there| async move {
        there.partitions().list_offset(id, partition_index, at, leader_epoch).await
    });
    match listed.await {
        Ok(found) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: ErrorCode::NONE,
            timestamp: found.timestamp,
            offset: found.offset,
            leader_epoch: found.leader_epoch,
        },
        Err(error) => refused(error.code()),
    }
}
