//! Epochs: the protocol that makes output and state appear exactly once, as pure state machines.

mod ids;

pub use ids::{Attempt, Epoch, JobId, TaskId};
