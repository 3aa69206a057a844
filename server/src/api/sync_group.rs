//! SyncGroup.

use super::{Asker, errors::Code, group_route::on_members_coordinator};
use crate::group::SyncRequest;
use millrace_net::kafka::{
    ErrorCode,
    sync_group::{SyncGroupRequest, SyncGroupResponse},
};

pub(super) async fn answer(asker: &Asker, request: SyncGroupRequest) -> SyncGroupResponse {
    let sync = SyncRequest {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: request.assignments.into_iter().map(|one| (one.member_id, one.assignment)).collect(),
    };
    let group = request.group_id.clone();
    let synced = on_members_coordinator(&asker.shard, &request.group_id, move |partition| async move {
        partition.sync(&group, sync).await
    });
    match synced.await {
        Ok(answer) => SyncGroupResponse {
            throttle_time_ms: 0,
            error_code: answer.error.map_or(ErrorCode::NONE, |error| error.code()),
            protocol_type: answer.protocol_type,
            protocol_name: answer.protocol,
            assignment: answer.assignment,
        },
        Err(error) => SyncGroupResponse { error_code: error.code(), ..Default::default() },
    }
}
