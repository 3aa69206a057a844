//! Heartbeat.

use super::{Asker, errors::Code, group_route::on_members_coordinator};
use millrace_net::kafka::{
    ErrorCode,
    heartbeat::{HeartbeatRequest, HeartbeatResponse},
};

pub(super) async fn answer(asker: &Asker, request: HeartbeatRequest) -> HeartbeatResponse {
    let group = request.group_id.clone();
    let heard = on_members_coordinator(&asker.shard, &request.group_id, move |partition| async move {
        let instance = request.group_instance_id.as_deref();
        partition.heartbeat(&group, &request.member_id, instance, request.generation_id)
    });
    let error_code = heard.await.map_or_else(|error| error.code(), |()| ErrorCode::NONE);
    HeartbeatResponse { throttle_time_ms: 0, error_code }
}
