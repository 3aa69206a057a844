//! ListGroups: those of all shards.

use super::Asker;
use millrace_net::kafka::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use millrace_runtime::ShardId;

/// The type of every group here.
const CLASSIC: &str = "classic";

pub(super) async fn answer(asker: &Asker, request: ListGroupsRequest) -> ListGroupsResponse {
    let mut groups = Vec::new();
    for shard in 0..asker.shard.count() {
        let found = asker.shard.on(ShardId(shard), |there| async move {
            let partitions = there.coordinator().loaded();
            partitions.iter().flat_map(|partition| partition.groups()).collect::<Vec<_>>()
        });
        groups.extend(found.await.into_iter().map(|(group_id, group)| ListedGroup {
            group_id,
            protocol_type: group.protocol_type,
            group_state: group.state.name().to_owned(),
            group_type: CLASSIC.to_owned(),
        }));
    }
    let named = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    groups.retain(|group| {
        named(&request.states_filter, &group.group_state) && named(&request.types_filter, &group.group_type)
    });
    groups.sort_by(|one, other| one.group_id.cmp(&other.group_id));
    ListGroupsResponse { groups, ..Default::default() }
}
