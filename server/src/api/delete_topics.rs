//! DeleteTopics, by name or by id.

use super::{Asker, errors::Code};
use crate::{cluster::TopicError, shard::Context};
use futures_util::future::join_all;
use millrace_net::kafka::{
    ErrorCode,
    delete_topics::{DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse},
};
use millrace_record::TopicId;
use millrace_runtime::ShardId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// From this version on topics may be named by id.
const IDS_FROM: i16 = 6;

pub(super) async fn answer(asker: &Asker, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let wanted: Vec<DeleteTopicState> = if asker.version >= IDS_FROM {
        request.topics
    } else {
        let named = |name| DeleteTopicState { name: Some(name), ..Default::default() };
        request.topic_names.into_iter().map(named).collect()
    };
    let mut times: BTreeMap<(Option<String>, Uuid), usize> = BTreeMap::new();
    for topic in &wanted {
        *times.entry((topic.name.clone(), topic.topic_id)).or_default() += 1;
    }
    let mut responses = Vec::with_capacity(times.len());
    for topic in wanted {
        match times.remove(&(topic.name.clone(), topic.topic_id)) {
            Some(1) if topic.name.is_some() != topic.topic_id.is_nil() => {
                responses.push(refused(topic, "A topic is named by its name or by its id."));
            }
            Some(1) => responses.push(delete(asker, topic).await),
            Some(_) => responses.push(refused(topic, "The topic is named more than once.")),
            // Answered when it first came.
            None => {}
        }
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}

/// Has every coordinator drop what groups committed for a topic.
async fn forget_offsets(shard: &Context, topic: &str) {
    let forgotten = (0..shard.count()).map(|owner| {
        let topic = topic.to_owned();
        shard.on(ShardId(owner), move |there| async move {
            for partition in there.coordinator().loaded() {
                partition.forget_topic(&topic).await;
            }
        })
    });
    join_all(forgotten).await;
}

fn refused(topic: DeleteTopicState, message: &str) -> DeletableTopicResult {
    DeletableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_code: ErrorCode::INVALID_REQUEST,
        error_message: Some(message.to_owned()),
    }
}

async fn delete(asker: &Asker, wanted: DeleteTopicState) -> DeletableTopicResult {
    let found = {
        let image = asker.shard.image();
        match &wanted.name {
            Some(name) => image.topic(name).cloned(),
            None => image.topic_by_id(TopicId(wanted.topic_id)).cloned(),
        }
    };
    let deleted = match &found {
        Some(topic) => asker.shard.delete_topic(topic.id).await,
        None => Err(TopicError::Unknown),
    };
    if let (Ok(()), Some(topic)) = (&deleted, &found) {
        forget_offsets(&asker.shard, &topic.name).await;
    }
    let (error_code, error_message) = match deleted {
        Ok(()) => (ErrorCode::NONE, None),
        Err(TopicError::Unknown) if wanted.name.is_none() => {
            (ErrorCode::UNKNOWN_TOPIC_ID, Some("This server does not host this topic ID.".to_owned()))
        }
        Err(error) => (error.code(), Some(error.to_string())),
    };
    DeletableTopicResult {
        name: found.as_ref().map(|topic| topic.name.clone()).or(wanted.name),
        topic_id: found.map_or(wanted.topic_id, |topic| topic.id.0),
        error_code,
        error_message,
    }
}
