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
use std::collections::BTreeMap;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on this node's own disks: the earliest, as nothing is tiered.
const EARLIEST_LOCAL: i64 = -4;
/// The end of what is tiered: nothing is.
const LATEST_TIERED: i64 = -5;
/// The first offset that is still to be tiered: nothing is.
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// The version from which on a name for an offset is known; `None` if it is not one.
fn known_from(timestamp: i64) -> Option<i16> {
    match timestamp {
        LATEST | EARLIEST | 0.. => Some(0),
        MAX_TIMESTAMP => Some(7),
        EARLIEST_LOCAL => Some(8),
        LATEST_TIERED => Some(9),
        EARLIEST_PENDING_UPLOAD => Some(11),
        _ => None,
    }
}

pub(super) async fn answer(asker: &Asker, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation =
        if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut times: BTreeMap<i32, usize> = BTreeMap::new();
        for partition in &topic.partitions {
            *times.entry(partition.partition_index).or_default() += 1;
        }
        let mut partitions = Vec::with_capacity(times.len());
        for partition in topic.partitions {
            match times.remove(&partition.partition_index) {
                Some(1) => {}
                Some(_) => {
                    partitions.push(refused(partition.partition_index, ErrorCode::INVALID_REQUEST));
                    continue;
                }
                // Answered when it first came.
                None => continue,
            }
            partitions.push(one(asker, &topic.name, &partition, isolation).await);
        }
        topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    ListOffsetsResponse { topics, ..Default::default() }
}

fn refused(partition_index: i32, error_code: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse { partition_index, error_code, ..Default::default() }
}

async fn one(
    asker: &Asker,
    topic: &str,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
) -> ListOffsetsPartitionResponse {
    let partition_index = wanted.partition_index;
    let refused = |error_code| refused(partition_index, error_code);
    if known_from(wanted.timestamp).is_none_or(|from| asker.version < from) {
        return refused(ErrorCode::UNSUPPORTED_VERSION);
    }
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
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return refused(ErrorCode::NONE),
        time => OffsetAt::Timestamp(time),
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
