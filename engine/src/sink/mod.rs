//! Sinks: where a stream's records end.
//!
//! Output to a topic is **staged**: when an epoch ends, its batches go to the owners of the target partitions, who keep them
//! aside until the epoch is committed. Until then they have no offset and are in no partition. A task holds batches of the
//! open epoch itself, since only at the barrier is it known which epoch that is; epochs are short.

mod closure;
mod partitioner;
mod record;
mod topic;

pub use partitioner::{murmur2, partition_of};
pub use record::TopicRecord;
pub use topic::{SinkEncoding, SinkOptions, StagedAppend, TopicInfo};

pub(crate) use closure::{CallSink, TopicSink};
pub(crate) use topic::TopicOutput;

use crate::task::Context;

/// The end of a chain.
pub(crate) trait Sink<T: ?Sized>: 'static {
    /// Takes a record.
    fn push(&mut self, timestamp: i64, item: &T, cx: &mut Context);
}
