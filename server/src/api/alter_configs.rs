//! AlterConfigs and IncrementalAlterConfigs: the settings of topics change while they are used. The server's own come from
//! its configuration alone.

use super::{Asker, errors::Code};
use crate::cluster::{ConfigBase, ConfigChange, TopicError};
use millrace_net::kafka::{
    ErrorCode,
    alter_configs::{AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse},
    incremental_alter_configs::{
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResourceResponse,
        IncrementalAlterConfigsResponse,
    },
};
use std::collections::BTreeMap;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

type Changes = Result<Vec<(String, ConfigChange)>, TopicError>;

/// A resource that is to be changed.
struct Wanted {
    resource_type: i8,
    name: String,
    changes: Changes,
}

pub(super) async fn replace(asker: &Asker, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let wanted = request.resources.into_iter().map(|resource| {
        let changes = resource.configs.into_iter().map(|config| change(config.name, 0, config.value));
        Wanted {
            resource_type: resource.resource_type,
            name: resource.resource_name,
            changes: changes.collect(),
        }
    });
    let altered = alter(asker, wanted.collect(), ConfigBase::Defaults, request.validate_only).await;
    let responses = altered.into_iter().map(|(resource_type, resource_name, error_code, error_message)| {
        AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
    });
    AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
}

pub(super) async fn change_some(
    asker: &Asker,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let wanted = request.resources.into_iter().map(|resource| {
        let changes = resource.configs.into_iter();
        let changes = changes.map(|config| change(config.name, config.config_operation, config.value));
        Wanted {
            resource_type: resource.resource_type,
            name: resource.resource_name,
            changes: changes.collect(),
        }
    });
    let altered = alter(asker, wanted.collect(), ConfigBase::Present, request.validate_only).await;
    let responses = altered.into_iter().map(|(resource_type, resource_name, error_code, error_message)| {
        IncrementalAlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
    });
    IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
}

/// A change as the protocol numbers it.
fn change(name: String, operation: i8, value: Option<String>) -> Result<(String, ConfigChange), TopicError> {
    let valued = |make: fn(String) -> ConfigChange, value: Option<String>| {
        value
            .map(make)
            .ok_or_else(|| TopicError::InvalidRequest(format!("Null value not supported for: {name}")))
    };
    let change = match operation {
        0 => valued(ConfigChange::Set, value)?,
        1 => ConfigChange::Reset,
        2 => valued(ConfigChange::Append, value)?,
        3 => valued(ConfigChange::Subtract, value)?,
        other => return Err(TopicError::InvalidRequest(format!("Unknown operation {other} on {name}."))),
    };
    Ok((name, change))
}

async fn alter(
    asker: &Asker,
    resources: Vec<Wanted>,
    base: ConfigBase,
    validate_only: bool,
) -> Vec<(i8, String, ErrorCode, Option<String>)> {
    let mut times: BTreeMap<(i8, String), usize> = BTreeMap::new();
    for wanted in &resources {
        *times.entry((wanted.resource_type, wanted.name.clone())).or_default() += 1;
    }
    let mut answers = Vec::with_capacity(resources.len());
    for Wanted { resource_type, name, changes } in resources {
        let altered = match (resource_type, changes) {
            _ if times.get(&(resource_type, name.clone())).is_some_and(|times| *times > 1) => {
                Err(TopicError::InvalidRequest("Each resource must appear at most once.".to_owned()))
            }
            (_, Err(error)) => Err(error),
            (TOPIC, Ok(changes)) => asker.shard.alter_topic(name.clone(), base, changes, validate_only).await,
            (BROKER, Ok(_)) => {
                let text =
                    "A broker's settings come from its configuration and can't be changed at run time.";
                Err(TopicError::InvalidRequest(text.to_owned()))
            }
            (other, Ok(_)) => Err(TopicError::InvalidRequest(format!("Unsupported resource type: {other}"))),
        };
        let (code, message) = match altered {
            Ok(()) => (ErrorCode::NONE, None),
            Err(error) => (error.code(), Some(error.to_string())),
        };
        answers.push((resource_type, name, code, message));
    }
    answers
}
