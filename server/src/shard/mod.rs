//! One shard: its partitions, its connections, its coordinators and its share of every job.

mod alarm;
mod boot;
mod call;
mod context;
mod controller;
mod counters;
mod partitions;

pub use alarm::Alarm;
pub use boot::{Boot, MetadataError, NODE_ID, ShardError, Started};
pub use call::{CALL_CREDITS, CallMessage, Calls};
pub use context::{Context, ServerOptions};
pub use counters::{Counters, UnderWay};
pub use partitions::{Appended, FoundOffset, OffsetAt, PartitionError, Partitions, ReadFrom, ReadOutcome};

pub use millrace_storage::Isolation;
