//! CreateTopics.

use super::{Asker, errors::Code};
use crate::cluster::{CreateTopic, TopicError};
use millrace_net::kafka::{
    ErrorCode,
    create_topics::{
        CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
        CreateTopicsResponse,
    },
};
use std::collections::BTreeMap;

pub(super) async fn answer(asker: &Asker, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for topic in &request.topics {
        *times.entry(topic.name.clone()).or_default() += 1;
    }
    let mut topics = Vec::with_capacity(times.len());
    for topic in request.topics {
        match times.remove(&topic.name) {
            Some(1) => topics.push(create(asker, topic, request.validate_only).await),
            Some(_) => {
                let error = TopicError::InvalidRequest(format!("Duplicate topic name: {}", topic.name));
                topics.push(refused(topic.name, &error));
            }
            // Answered when its name first came.
            None => {}
        }
    }
    CreateTopicsResponse { topics, ..Default::default() }
}

async fn create(asker: &Asker, topic: CreatableTopic, validate_only: bool) -> CreatableTopicResult {
    let name = topic.name.clone();
    let wanted = CreateTopic {
        name: topic.name,
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic.assignments.into_iter().map(|one| (one.partition_index, one.broker_ids)).collect(),
        configs: topic.configs.into_iter().map(|config| (config.name, config.value)).collect(),
    };
    let made = if validate_only {
        asker.shard.validate_topic(&wanted)
    } else {
        asker.shard.create_topic(wanted).await
    };
    match made {
        Err(error) => refused(name, &error),
        Ok(topic) => {
            let configs = super::describe_configs::of_topic(&asker.shard, &topic).into_iter();
            let configs = configs.map(|config| CreatableTopicConfigs {
                name: config.name,
                value: config.value,
                read_only: config.read_only,
                config_source: config.config_source,
                is_sensitive: config.is_sensitive,
            });
            CreatableTopicResult {
                name,
                topic_id: topic.id.0,
                error_code: ErrorCode::NONE,
                num_partitions: topic.partitions,
                replication_factor: 1,
                configs: Some(configs.collect()),
                ..Default::default()
            }
        }
    }
}

fn refused(name: String, error: &TopicError) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: error.code(),
        error_message: Some(error.to_string()),
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
