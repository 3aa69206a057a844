//! Sinks: where a stream's records end.
//!
//! Output to a topic is **staged**: batches go to the owner of the target partition, who keeps them aside until their epoch
//! is committed. Until then they have no offset and are in no partition. A batch is marked with the barrier that its task
//! passed last ([`StagedAppend::after`]): it belongs to the epoch of the next one.

mod closure;
mod partitioner;
mod record;
mod topic;

pub use partitioner::{murmur2, partition_of};
pub use record::TopicRecord;
pub use topic::{SinkEncoding, SinkOptions, StagedAppend, TopicInfo};

pub(crate) use closure::{CallSink, TopicSink};
pub(crate) use topic::{Origin, TopicOutput};

use crate::task::Context;

/// The end of a chain.
pub(crate) trait Sink<T: ?Sized>: 'static {
    /// Takes a record.
    fn push(&mut self, timestamp: i64, item: &T, cx: &mut Context);
}
