//! LeaveGroup: one member in older versions, several in newer ones.

use super::{Asker, errors::Code, group_route::on_members_coordinator};
use millrace_net::kafka::{
    ErrorCode,
    leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse},
};

/// From this version on the request names a list of members, each with an answer of its own.
const BATCH_FROM: i16 = 3;

pub(super) async fn answer(asker: &Asker, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let single = asker.version < BATCH_FROM;
    let members = if single {
        vec![MemberIdentity { member_id: request.member_id, ..Default::default() }]
    } else {
        request.members
    };
    let group = request.group_id.clone();
    let left = on_members_coordinator(&asker.shard, &request.group_id, move |partition| async move {
        let leave = |member: MemberIdentity| {
            let left = partition.leave(&group, &member.member_id, member.group_instance_id.as_deref());
            MemberResponse {
                member_id: member.member_id,
                group_instance_id: member.group_instance_id,
                error_code: left.map_or_else(|error| error.code(), |()| ErrorCode::NONE),
            }
        };
        Ok(members.into_iter().map(leave).collect::<Vec<_>>())
    });
    match left.await {
        Err(error) => LeaveGroupResponse { error_code: error.code(), ..Default::default() },
        Ok(members) if single => {
            let error_code = members.first().map_or(ErrorCode::NONE, |member| member.error_code);
            LeaveGroupResponse { error_code, ..Default::default() }
        }
        Ok(members) => LeaveGroupResponse { members, ..Default::default() },
    }
}
