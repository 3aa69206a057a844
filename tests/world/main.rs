//! The whole server (storage, net and shards together) in simulated worlds, driven through Kafka's protocol.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]

mod acknowledged;
mod acks;
mod answers;
mod basics;
mod flows;
mod house;
mod jobs;
mod jobs_binaries;
mod jobs_disk;
mod jobs_failure;
mod jobs_reads;
mod jobs_topics;
mod jobs_unsynced;
mod lag;
mod offsets;
mod play;
