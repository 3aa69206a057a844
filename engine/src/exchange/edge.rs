//! What the plan says about an edge.

use std::fmt;

/// The number of an edge within its job's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub u32);

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which shard a record of an edge goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// To the shard that has the key group of its key.
    Keyed,
    /// To the task on the same shard.
    Local,
}

/// Sizes of what is on its way between tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeOptions {
    /// A frame is sent when its rows have this many bytes. 4 to 16 KiB measured as good as 64.
    pub frame_bytes: usize,
    /// How many frames of one channel may be on their way or waiting at the receiver.
    pub credits: u32,
    /// How many bytes of backlog a task may have. A record that produces more fails the job.
    pub spill_bytes: usize,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self { frame_bytes: 16 << 10, credits: 8, spill_bytes: 64 << 20 }
    }
}
