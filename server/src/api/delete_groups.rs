//! DeleteGroups.

use super::{Asker, errors::Code, group_route::on_coordinator};
use millrace_net::kafka::{
    ErrorCode,
    delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse},
};

pub(super) async fn answer(asker: &Asker, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let id = group_id.clone();
        let deleted =
            on_coordinator(
                &asker.shard,
                &group_id,
                move |partition| async move { partition.delete(&id).await },
            );
        let error_code = deleted.await.map_or_else(|error| error.code(), |()| ErrorCode::NONE);
        results.push(DeletableGroupResult { group_id, error_code });
    }
    DeleteGroupsResponse { results, ..Default::default() }
}
