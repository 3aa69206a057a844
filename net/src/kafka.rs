//! Kafka's messages: one file per API, one declaration for both directions.
//!
//! Names, versions and defaults are those of Kafka's message schemas. `docs/wire.md` says which versions are served
//! and where Kafka's own behaviour differs from what a schema alone would tell.

#[macro_use]
mod message;

pub mod api;
pub mod error;
pub mod header;
mod request;
mod response;

pub mod alter_configs;
pub mod api_versions;
pub mod consumer_offsets;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sasl_handshake;
pub mod sync_group;

#[cfg(test)]
mod tests;

pub use api::{ApiKey, Call, RequestBody, Response};
pub use error::ErrorCode;
pub use header::RequestHeader;
pub use request::{Request, RequestError, encode_request, parse_request};
pub use response::{ResponseError, encode_response, parse_response};
