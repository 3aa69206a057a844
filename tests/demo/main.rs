//! The demo's job against an independent computation over the same data: every row, on any number of shards, simulated and real.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]

mod oracle;
mod records;
mod server;
mod shards;
