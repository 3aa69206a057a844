//! The outputs of launched shards.

use super::{NodeId, node::Node};
use std::{cell::RefCell, fmt, rc::Rc};

/// Shards that were launched together: one simulated process. Dropping this lets them run on.
pub struct Running<T> {
    node: Rc<Node>,
    epoch: u64,
    outputs: Rc<RefCell<Vec<Option<T>>>>,
}

/// The node was killed before the work on it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {0} was killed")]
pub struct Killed(pub NodeId);

impl<T> Running<T> {
    pub(crate) fn new(node: Rc<Node>, outputs: Rc<RefCell<Vec<Option<T>>>>) -> Self {
        let epoch = node.epoch.get();
        Self { node, epoch, outputs }
    }

    /// Whether every shard's main future has finished. It stays so if the node is killed later.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.outputs.borrow().iter().all(Option::is_some)
    }

    /// Whether the node was killed before every main future had finished.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        !self.is_finished() && self.node.epoch.get() != self.epoch
    }

    /// The main futures' outputs in order of shard.
    ///
    /// # Errors
    /// `self`, if they have not all finished.
    pub fn outputs(self) -> Result<Vec<T>, Self> {
        if !self.is_finished() {
            return Err(self);
        }
        Ok(self.outputs.take().into_iter().flatten().collect())
    }

    pub(crate) fn killed(&self) -> Killed {
        Killed(NodeId(self.node.id))
    }
}

impl<T> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finished = self.outputs.borrow().iter().filter(|output| output.is_some()).count();
        write!(f, "Running({finished} of {} shards have finished)", self.outputs.borrow().len())
    }
}
