//! What the server answers: one file per API. A request comes in whole, is carried out on the shards that own what it is
//! about, and becomes a response.

mod admission;
mod alter_configs;
mod api_versions;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod errors;
mod fetch;
mod fetch_session;
mod find_coordinator;
mod group_route;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl_handshake;
mod service;
mod sync_group;
mod topic_names;

pub use service::Service;

use crate::{config::HostPort, shard::Context};
use std::net::SocketAddr;

/// Who asks, and how.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The shard that holds the connection.
    pub shard: Context,
    /// The request's version.
    pub version: i16,
    /// The client's name for itself.
    pub client_id: String,
    /// Where it connects from.
    pub peer: SocketAddr,
    /// The address at which it reached us.
    pub reached: SocketAddr,
}

impl Asker {
    /// The address that the client is told to come back to: the advertised one, or the one that it reached.
    #[must_use]
    pub fn advertised(&self) -> HostPort {
        let advertised = self.shard.options().config.server.advertise.clone();
        advertised
            .unwrap_or_else(|| HostPort { host: self.reached.ip().to_string(), port: self.reached.port() })
    }

    /// The client's address as group members carry it.
    #[must_use]
    pub fn client_host(&self) -> String {
        format!("/{}", self.peer.ip())
    }
}
