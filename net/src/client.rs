//! A client of Kafka's protocol, small and layered: what the topic commands, the load generator, the demo and tests
//! need, not a client for everybody.
//!
//! | module | what |
//! |---|---|
//! | [`connection`] | one connection: versions agreed on, typed calls, pipelined |
//! | [`cluster`] | several: who leads what, connections by broker, retries |
//! | [`producer`] | records into batches, batches to leaders, in order and once |
//! | [`consumer`] | records of chosen partitions from chosen offsets on |
//! | [`admin`] | topics and offsets |
//!
//! Everything runs on one shard and in the caller's tasks, except that a connection has two tasks of its own, and a
//! producer one per partition it writes to.

pub mod admin;
pub mod cluster;
pub mod connection;
pub mod consumer;
pub mod partitioner;
pub mod producer;

#[cfg(test)]
mod tests;

pub use admin::Admin;
pub use cluster::{Cluster, ClusterError, ClusterOptions};
pub use connection::{CallError, Connection, ConnectionOptions};
pub use consumer::{Consumer, ConsumerOptions, Fetched};
pub use producer::{Delivery, Producer, ProducerOptions};
