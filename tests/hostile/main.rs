//! Peers that break the protocol, by mistake or on purpose, against the real binary. Each gets Kafka's own error, or its
//! connection closed with one line in the log; none gets memory on credit; and another connection goes on all the while.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests watch a process from outside"
)]

#[expect(dead_code, reason = "other tests run commands")]
#[path = "../process/mod.rs"]
mod process;

mod batches;
mod bodies;
mod frames;
mod peer;
mod scene;
mod slow;
