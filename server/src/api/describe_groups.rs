//! DescribeGroups.

use super::{Asker, errors::Code, group_route::on_coordinator};
use millrace_net::kafka::{
    ErrorCode,
    describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember},
};

/// From this version on a group that does not exist is an error; before, it is "Dead".
const NOT_FOUND_FROM: i16 = 6;

pub(super) async fn answer(asker: &Asker, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group_id in request.groups {
        groups.push(describe(asker, group_id).await);
    }
    DescribeGroupsResponse { groups, ..Default::default() }
}

async fn describe(asker: &Asker, group_id: String) -> DescribedGroup {
    let id = group_id.clone();
    let found =
        on_coordinator(&asker.shard, &group_id, move |partition| async move { Ok(partition.describe(&id)) });
    match found.await {
        Err(error) => DescribedGroup { error_code: error.code(), group_id, ..Default::default() },
        Ok(None) if asker.version >= NOT_FOUND_FROM => DescribedGroup {
            error_code: ErrorCode::GROUP_ID_NOT_FOUND,
            error_message: Some(format!("Group {group_id} not found.")),
            group_id,
            group_state: "Dead".to_owned(),
            ..Default::default()
        },
        Ok(None) => DescribedGroup { group_id, group_state: "Dead".to_owned(), ..Default::default() },
        Ok(Some(group)) => {
            let members = group.members.into_iter().map(|member| DescribedGroupMember {
                member_id: member.id,
                group_instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                member_metadata: member.metadata,
                member_assignment: member.assignment,
            });
            DescribedGroup {
                group_id,
                group_state: group.state.name().to_owned(),
                protocol_type: group.protocol_type,
                protocol_data: group.protocol,
                members: members.collect(),
                ..Default::default()
            }
        }
    }
}
