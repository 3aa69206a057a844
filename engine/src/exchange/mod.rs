//! The exchange: how records get from a task to the tasks that read it, on this shard or another.
//!
//! An **edge** joins one task's output to another task's input, on all shards of the job. A **channel** is an edge
//! together with an ordered pair of shards. What travels on a channel is [`Frame`]s: records as rows of bytes, and
//! between them [`Mark`]s (watermarks, barriers, idleness, the end), in the order in which the sender produced them.
//!
//! **Laws**
//! 1. A frame is sent only against a credit of its channel; the receiver returns the credit, with the emptied buffer,
//!    when the frame is consumed. So at most `credits` frames of a channel are on their way or waiting, and a ring
//!    between shards whose capacity is the sum of its channels' credits never refuses a push.
//! 2. What one record's processing produces beyond that goes to the channel's backlog, which is charged to the spill
//!    budget; a task with a backlog is not given anything until it is gone.
//! 3. A channel to the own shard is a channel like any other: same frames, same credits, no copy in between.
//! 4. After a barrier nothing of a channel is consumed until the barrier has come on every channel of the task.

mod edge;
mod frame;
mod gate;
mod output;

#[cfg(test)]
mod tests;

pub use edge::{EdgeId, ExchangeOptions, Partitioning};
pub use frame::{ChangeKind, Frame, Layout, Mark, Route, Row, Rows};

#[cfg(test)]
pub(crate) use frame::FrameBuffer;
pub(crate) use gate::{Gate, Turn};
pub(crate) use output::{EdgeOutput, SendState};
