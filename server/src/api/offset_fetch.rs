//! OffsetFetch: of one group in older versions, of several in newer ones.

use super::{Asker, errors::Code, group_route::on_coordinator, topic_names};
use crate::coordinator::{Committed, CoordinatorError};
use millrace_net::kafka::{
    ErrorCode,
    offset_fetch::{
        OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchResponse,
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
    },
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// From this version on several groups are asked for.
const GROUPS_FROM: i16 = 8;
/// From this version on topics are named by id.
const IDS_FROM: i16 = 10;
/// Before this version there is no place for an error of the whole group.
const GROUP_ERROR_FROM: i16 = 2;

pub(super) async fn answer(asker: &Asker, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if asker.version >= GROUPS_FROM {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(of_group(asker, group).await);
        }
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let group =
        OffsetFetchRequestGroup { group_id: request.group_id, topics: request.topics, ..Default::default() };
    let found = of_group(asker, group).await;
    OffsetFetchResponse { topics: found.topics, error_code: found.error_code, ..Default::default() }
}

async fn of_group(asker: &Asker, request: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let group_id = request.group_id;
    match request.topics {
        None => {
            let id = group_id.clone();
            let all = on_coordinator(&asker.shard, &group_id, move |partition| async move {
                Ok(partition.committed(&id, None))
            });
            match all.await {
                Ok(found) => {
                    OffsetFetchResponseGroup { group_id, topics: grouped(asker, found), ..Default::default() }
                }
                Err(error) => {
                    OffsetFetchResponseGroup { group_id, error_code: error.code(), ..Default::default() }
                }
            }
        }
        Some(topics) => of_topics(asker, group_id, topics).await,
    }
}

async fn of_topics(
    asker: &Asker,
    group_id: String,
    topics: Vec<OffsetFetchRequestTopic>,
) -> OffsetFetchResponseGroup {
    let named: Vec<(OffsetFetchRequestTopic, Option<String>)> = topics
        .into_iter()
        .map(|topic| {
            let by_id = topic.name.is_empty();
            let name = if by_id {
                topic_names::find(&asker.shard, "", topic.topic_id).map(|found| found.name)
            } else {
                Some(topic.name.clone())
            };
            (topic, name)
        })
        .collect();
    let wanted: Vec<(String, i32)> = named
        .iter()
        .filter_map(|(topic, name)| name.as_ref().map(|name| (topic, name)))
        .flat_map(|(topic, name)| topic.partition_indexes.iter().map(|index| (name.clone(), *index)))
        .collect();
    let id = group_id.clone();
    let found = on_coordinator(&asker.shard, &group_id, move |partition| async move {
        Ok(partition.committed(&id, Some(&wanted)))
    });
    let found: Result<BTreeMap<_, _>, CoordinatorError> =
        found.await.map(|found| found.into_iter().collect());
    let error_code = found.as_ref().map_or_else(Code::code, |_| ErrorCode::NONE);
    let mut found = found.unwrap_or_default();
    let topics = named.into_iter().map(|(topic, name)| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            let committed = name.as_ref().and_then(|name| found.remove(&(name.clone(), *index)).flatten());
            let error = match name {
                None => ErrorCode::UNKNOWN_TOPIC_ID,
                Some(_) if asker.version < GROUP_ERROR_FROM => error_code,
                Some(_) => ErrorCode::NONE,
            };
            partition(*index, committed, error)
        });
        let partitions = partitions.collect();
        OffsetFetchResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions }
    });
    // Kafka names no topics beside an error of the whole group.
    let topics = if error_code == ErrorCode::NONE || asker.version < GROUP_ERROR_FROM {
        topics.collect()
    } else {
        Vec::new()
    };
    OffsetFetchResponseGroup { group_id, topics, error_code }
}

/// All offsets of a group, by topic.
fn grouped(asker: &Asker, found: Vec<((String, i32), Option<Committed>)>) -> Vec<OffsetFetchResponseTopic> {
    let mut topics: BTreeMap<String, Vec<OffsetFetchResponsePartition>> = BTreeMap::new();
    for ((topic, index), committed) in found {
        topics.entry(topic).or_default().push(partition(index, committed, ErrorCode::NONE));
    }
    let topics = topics.into_iter().filter_map(|(name, partitions)| {
        if asker.version < IDS_FROM {
            return Some(OffsetFetchResponseTopic { name, topic_id: Uuid::nil(), partitions });
        }
        // A topic that is gone has no id to name it by.
        let topic_id = asker.shard.image().topic(&name)?.id.0;
        Some(OffsetFetchResponseTopic { name: String::new(), topic_id, partitions })
    });
    topics.collect()
}

fn partition(
    index: i32,
    committed: Option<Committed>,
    error_code: ErrorCode,
) -> OffsetFetchResponsePartition {
    match committed {
        Some(committed) => OffsetFetchResponsePartition {
            partition_index: index,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch,
            metadata: Some(committed.metadata),
            error_code,
        },
        None => OffsetFetchResponsePartition {
            partition_index: index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code,
        },
    }
}
