//! The Millrace server: configuration, shards, coordinators, admin. The `millrace` binary is a thin face over it.

pub mod api;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod control;
pub mod coordinator;
pub mod demo;
pub mod exit;
pub mod group;
pub mod job;
pub mod shard;
