//! Sources: how batches of a topic reach a task.
//!
//! A task asks for a partition's records with a [`Demand`]; whoever owns the partition answers each demand with one
//! [`SourceData`], when there is something: batches by reference, never copied. What is not demanded is not sent, so that
//! back-pressure reaches the log.

mod batch;
mod reader;

pub use batch::{Demand, SourceBatch, SourceData, SplitSpec};

pub(crate) use reader::{SourceReader, SourceTurn};
