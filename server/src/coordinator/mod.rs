//! The coordinator of consumer groups: of those whose partition of `__consumer_offsets` this shard owns.
//!
//! A partition's groups are rebuilt by reading it from the start; until then its groups are refused as loading.
//! Whatever a client is told is durable in that partition before it is told.

mod expiry;
mod hash;
mod load;
mod offsets;
mod partition;
mod records;

pub use hash::partition_of;
pub use offsets::{Committed, OffsetCommit};
pub use partition::{CoordinatorError, GroupDescription, GroupPartition, Waiting};

use crate::{group::Timeouts, shard::Context};
use millrace_record::TopicId;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// The topic's name.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The groups of a shard, by partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct Coordinator {
    timeouts: Timeouts,
    partitions: RefCell<BTreeMap<i32, Rc<GroupPartition>>>,
}

impl Coordinator {
    /// No partitions yet.
    #[must_use]
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, partitions: RefCell::default() }
    }

    /// Takes charge of a partition that this shard owns: loads it in the background, then serves its groups.
    pub fn open(&self, shard: &Context, topic: TopicId, index: i32) {
        let opened = GroupPartition::open(shard.clone(), topic, index, self.timeouts);
        self.partitions.borrow_mut().insert(index, opened);
    }

    /// Forgets all partitions: the topic is gone.
    pub fn close(&self) {
        self.partitions.borrow_mut().clear();
    }

    /// The partition that holds a group.
    ///
    /// # Errors
    /// [`CoordinatorError::NotCoordinator`] if this shard does not own it, [`CoordinatorError::Loading`] while it is
    /// read.
    pub fn partition(&self, index: i32) -> Result<Rc<GroupPartition>, CoordinatorError> {
        let partitions = self.partitions.borrow();
        let partition = partitions.get(&index).ok_or(CoordinatorError::NotCoordinator)?;
        partition.ready()?;
        Ok(Rc::clone(partition))
    }

    /// All partitions that are loaded.
    #[must_use]
    pub fn loaded(&self) -> Vec<Rc<GroupPartition>> {
        self.partitions.borrow().values().filter(|partition| partition.ready().is_ok()).cloned().collect()
    }
}
