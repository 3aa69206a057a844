//! Metadata: who leads what. Asking for a topic may make it.

use super::Asker;
use super::errors::Code;
use crate::{
    cluster::{CreateTopic, Topic, TopicError, is_internal},
    shard::Context,
};
use millrace_net::kafka::{
    ErrorCode,
    metadata::{
        MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
        MetadataResponsePartition, MetadataResponseTopic,
    },
};
use millrace_record::TopicId;
use millrace_runtime::ShardId;
use std::collections::{BTreeMap, BTreeSet};

/// From this version on topics may be named by id.
const IDS_FROM: i16 = 12;

pub(super) async fn answer(asker: &Asker, request: MetadataRequest) -> MetadataResponse {
    let shard = &asker.shard;
    let node = shard.options().node_id;
    if asker.version < IDS_FROM && names_ids(&request) {
        return refused(request);
    }
    let topics = if request.wants_all_topics(asker.version) {
        let all: Vec<Topic> = shard.image().topics().cloned().collect();
        all.iter().map(|topic| described(shard, topic)).collect()
    } else {
        let mut topics = Vec::new();
        let mut asked = BTreeSet::new();
        for wanted in request.topics.unwrap_or_default() {
            if !asked.insert((wanted.name.clone(), wanted.topic_id)) {
                continue;
            }
            topics.push(one(shard, wanted, request.allow_auto_topic_creation).await);
        }
        topics
    };
    let mut topics = topics;
    fill_leader_epochs(shard, &mut topics).await;
    let address = asker.advertised();
    let port = i32::from(address.port);
    MetadataResponse {
        brokers: vec![MetadataResponseBroker { node_id: node, host: address.host, port, rack: None }],
        cluster_id: Some(shard.image().cluster_id()),
        controller_id: node,
        topics,
        ..Default::default()
    }
}

fn names_ids(request: &MetadataRequest) -> bool {
    request.topics.iter().flatten().any(|topic| !topic.topic_id.is_nil())
}

/// The answer to a request that names topics by id in a version that has no meaning for that.
fn refused(request: MetadataRequest) -> MetadataResponse {
    let topics = request.topics.unwrap_or_default().into_iter().map(|wanted| MetadataResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST,
        name: Some(wanted.name.unwrap_or_default()),
        topic_id: wanted.topic_id,
        ..Default::default()
    });
    MetadataResponse { topics: topics.collect(), controller_id: -1, ..Default::default() }
}

async fn one(shard: &Context, wanted: MetadataRequestTopic, may_create: bool) -> MetadataResponseTopic {
    // Where there is an id, it counts.
    let Some(name) = wanted.name.filter(|_| wanted.topic_id.is_nil()) else {
        let found = shard.image().topic_by_id(TopicId(wanted.topic_id)).cloned();
        return found.map_or_else(
            || MetadataResponseTopic {
                error_code: ErrorCode::UNKNOWN_TOPIC_ID,
                topic_id: wanted.topic_id,
                ..Default::default()
            },
            |topic| described(shard, &topic),
        );
    };
    let found = shard.image().topic(&name).cloned();
    if let Some(topic) = found {
        return described(shard, &topic);
    }
    let error = if may_create && shard.options().config.topic.auto_create {
        match create(shard, &name).await {
            Ok(topic) => return described(shard, &topic),
            Err(error) => error,
        }
    } else {
        crate::cluster::validate_name(&name).map_or_else(TopicError::InvalidName, |()| TopicError::Unknown)
    };
    MetadataResponseTopic { error_code: error.code(), name: Some(name), ..Default::default() }
}

async fn create(shard: &Context, name: &str) -> Result<Topic, TopicError> {
    let request = CreateTopic {
        name: name.to_owned(),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    };
    if is_internal(name) {
        return Err(TopicError::Unknown);
    }
    match shard.create_topic(request).await {
        // Somebody else was faster: as good as having made it.
        Ok(_) | Err(TopicError::Exists(_)) => shard.image().topic(name).cloned().ok_or(TopicError::Unknown),
        Err(error) => Err(error),
    }
}

/// Leader epochs are known where the partitions are.
async fn fill_leader_epochs(shard: &Context, topics: &mut [MetadataResponseTopic]) {
    let ids: Vec<TopicId> = topics.iter().map(|topic| TopicId(topic.topic_id)).collect();
    for owner in 0..shard.count() {
        let ids = ids.clone();
        let epochs = shard.on(ShardId(owner), |there| async move {
            let all = there.partitions().all();
            let wanted = all.into_iter().filter(|((topic, _), _)| ids.contains(topic));
            wanted.map(|(place, log)| (place, log.leader_epoch())).collect::<BTreeMap<_, _>>()
        });
        let epochs = epochs.await;
        for topic in topics.iter_mut() {
            let id = TopicId(topic.topic_id);
            for partition in &mut topic.partitions {
                if let Some(epoch) = epochs.get(&(id, partition.partition_index)) {
                    partition.leader_epoch = *epoch;
                }
            }
        }
    }
}

fn described(shard: &Context, topic: &Topic) -> MetadataResponseTopic {
    let node = shard.options().node_id;
    let partitions = (0..topic.partitions).map(|partition_index| MetadataResponsePartition {
        error_code: ErrorCode::NONE,
        partition_index,
        leader_id: node,
        replica_nodes: vec![node],
        isr_nodes: vec![node],
        ..Default::default()
    });
    MetadataResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(topic.name.clone()),
        topic_id: topic.id.0,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        ..Default::default()
    }
}
