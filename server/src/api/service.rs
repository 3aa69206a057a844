//! What a connection's requests are answered by.

use super::{
    Asker, alter_configs, api_versions, create_partitions, create_topics, delete_groups, delete_records,
    delete_topics, describe_cluster, describe_configs, describe_groups, fetch, fetch_session::FetchSession,
    find_coordinator, heartbeat, init_producer_id, join_group, leave_group, list_groups, list_offsets,
    metadata, offset_commit, offset_delete, offset_fetch, offset_for_leader_epoch, produce, sasl_handshake,
    sync_group,
};
use crate::shard::{Context, UnderWay};
use millrace_net::{
    connection::{Answer, Handler, Peer},
    kafka::{Request, RequestBody, Response},
};
use std::{cell::RefCell, rc::Rc};

/// Answers one connection.
#[derive(Debug)]
pub struct Service {
    shard: Context,
    peer: Rc<Peer>,
    session: Rc<RefCell<FetchSession>>,
}

impl Service {
    /// For a connection of `peer` to this shard.
    #[must_use]
    pub fn new(shard: Context, peer: &Rc<Peer>) -> Self {
        Self { shard, peer: Rc::clone(peer), session: Rc::default() }
    }
}

impl Handler for Service {
    fn handle(&self, request: Request) -> impl Future<Output = Answer> + 'static {
        let asker = Asker {
            shard: self.shard.clone(),
            version: request.header.version,
            client_id: request.header.client_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
            peer: self.peer.remote,
            reached: self.peer.local,
        };
        let under_way = UnderWay::begin(self.shard.clone(), request.header.api);
        let session = Rc::clone(&self.session);
        async move {
            let _under_way = under_way;
            match request.body {
                RequestBody::Produce(body) => produce::answer(&asker, body).await,
                RequestBody::Fetch(body) => fetch::answer(&asker, &session, body).await,
                body => Answer::Response(answer(&asker, body).await),
            }
        }
    }
}

/// Everything but the hot path.
async fn answer(asker: &Asker, body: RequestBody) -> Response {
    match body {
        RequestBody::Produce(_) | RequestBody::Fetch(_) => unreachable!("answered by the service itself"),
        RequestBody::ApiVersions(body) => Response::ApiVersions(api_versions::answer(asker.version, &body)),
        RequestBody::SaslHandshake(body) => Response::SaslHandshake(sasl_handshake::answer(&body)),
        RequestBody::Metadata(body) => Response::Metadata(metadata::answer(asker, body).await),
        RequestBody::ListOffsets(body) => Response::ListOffsets(list_offsets::answer(asker, body).await),
        RequestBody::OffsetForLeaderEpoch(body) => {
            Response::OffsetForLeaderEpoch(offset_for_leader_epoch::answer(asker, body).await)
        }
        RequestBody::DeleteRecords(body) => {
            Response::DeleteRecords(delete_records::answer(asker, body).await)
        }
        RequestBody::InitProducerId(body) => {
            Response::InitProducerId(init_producer_id::answer(asker, body).await)
        }
        RequestBody::FindCoordinator(body) => {
            Response::FindCoordinator(find_coordinator::answer(asker, body).await)
        }
        RequestBody::JoinGroup(body) => Response::JoinGroup(join_group::answer(asker, body).await),
        RequestBody::SyncGroup(body) => Response::SyncGroup(sync_group::answer(asker, body).await),
        RequestBody::Heartbeat(body) => Response::Heartbeat(heartbeat::answer(asker, body).await),
        RequestBody::LeaveGroup(body) => Response::LeaveGroup(leave_group::answer(asker, body).await),
        RequestBody::OffsetCommit(body) => Response::OffsetCommit(offset_commit::answer(asker, body).await),
        RequestBody::OffsetFetch(body) => Response::OffsetFetch(offset_fetch::answer(asker, body).await),
        RequestBody::DescribeGroups(body) => {
            Response::DescribeGroups(describe_groups::answer(asker, body).await)
        }
        RequestBody::ListGroups(body) => Response::ListGroups(list_groups::answer(asker, body).await),
        RequestBody::DeleteGroups(body) => Response::DeleteGroups(delete_groups::answer(asker, body).await),
        RequestBody::CreateTopics(body) => Response::CreateTopics(create_topics::answer(asker, body).await),
        RequestBody::DeleteTopics(body) => Response::DeleteTopics(delete_topics::answer(asker, body).await),
        RequestBody::CreatePartitions(body) => {
            Response::CreatePartitions(create_partitions::answer(asker, body).await)
        }
        RequestBody::DescribeConfigs(body) => {
            Response::DescribeConfigs(describe_configs::answer(asker, body))
        }
        RequestBody::AlterConfigs(body) => Response::AlterConfigs(alter_configs::replace(asker, body).await),
        RequestBody::IncrementalAlterConfigs(body) => {
            Response::IncrementalAlterConfigs(alter_configs::change_some(asker, body).await)
        }
        RequestBody::OffsetDelete(body) => Response::OffsetDelete(offset_delete::answer(asker, body).await),
        RequestBody::DescribeCluster(body) => {
            Response::DescribeCluster(describe_cluster::answer(asker, &body))
        }
    }
}
