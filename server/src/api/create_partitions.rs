//! CreatePartitions.

use super::{Asker, errors::Code};
use crate::cluster::TopicError;
use millrace_net::kafka::{
    ErrorCode,
    create_partitions::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
    },
};

pub(super) async fn answer(asker: &Asker, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let mut results: Vec<CreatePartitionsTopicResult> = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        if results.iter().any(|result| result.name == topic.name) {
            let error = TopicError::InvalidRequest("Duplicate topic in request.".to_owned());
            results.retain(|result| result.name != topic.name);
            results.push(result(topic.name, Err(error)));
            continue;
        }
        let name = topic.name.clone();
        let grown = grow(asker, topic, request.validate_only).await;
        results.push(result(name, grown));
    }
    CreatePartitionsResponse { results, ..Default::default() }
}

async fn grow(asker: &Asker, topic: CreatePartitionsTopic, validate_only: bool) -> Result<(), TopicError> {
    let assignments =
        topic.assignments.map(|all| all.into_iter().map(|one| one.broker_ids).collect::<Vec<Vec<i32>>>());
    asker.shard.create_partitions(topic.name, topic.count, assignments, validate_only).await
}

fn result(name: String, grown: Result<(), TopicError>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult {
        name,
        error_code: grown.as_ref().map_or_else(Code::code, |()| ErrorCode::NONE),
        error_message: grown.err().map(|error| error.to_string()),
    }
}
