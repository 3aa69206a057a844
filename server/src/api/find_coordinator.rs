//! FindCoordinator: this node, for every group; the first search makes the topic that holds groups.

use super::Asker;
use crate::coordinator::OFFSETS_TOPIC;
use millrace_net::kafka::{
    ErrorCode,
    find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse},
};

/// The key is a group.
const GROUP: i8 = 0;
/// The key is a transactional id.
const TRANSACTION: i8 = 1;
/// From this version on several keys are asked for.
const KEYS_FROM: i16 = 4;

pub(super) async fn answer(asker: &Asker, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let keys = if asker.version >= KEYS_FROM { request.coordinator_keys } else { vec![request.key] };
    let (error_code, error_message) = find(asker, request.key_type).await;
    let found = error_code == ErrorCode::NONE;
    let address = asker.advertised();
    let coordinators = keys.into_iter().map(|key| Coordinator {
        key,
        node_id: if found { asker.shard.options().node_id } else { -1 },
        host: if found { address.host.clone() } else { String::new() },
        port: if found { i32::from(address.port) } else { -1 },
        error_code,
        error_message: error_message.clone(),
    });
    let coordinators: Vec<Coordinator> = coordinators.collect();
    if asker.version >= KEYS_FROM {
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let one = coordinators.into_iter().next().unwrap_or_default();
    FindCoordinatorResponse {
        error_code,
        error_message,
        node_id: one.node_id,
        host: one.host,
        port: one.port,
        ..Default::default()
    }
}

async fn find(asker: &Asker, key_type: i8) -> (ErrorCode, Option<String>) {
    match key_type {
        GROUP => {
            if asker.shard.image().topic(OFFSETS_TOPIC).is_some() {
                return (ErrorCode::NONE, None);
            }
            match asker.shard.make_offsets_topic().await {
                Ok(()) => (ErrorCode::NONE, None),
                Err(error) => (ErrorCode::COORDINATOR_NOT_AVAILABLE, Some(error.to_string())),
            }
        }
        TRANSACTION => {
            let text = "Transactions are not supported yet.";
            (ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Some(text.to_owned()))
        }
        _ => (ErrorCode::INVALID_REQUEST, Some(format!("There is no coordinator of type {key_type}."))),
    }
}
