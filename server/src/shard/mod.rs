//! One shard: its partitions, its connections, its coordinators and its share of every job.

mod call;

pub use call::{CALL_CREDITS, CallMessage, Calls};
