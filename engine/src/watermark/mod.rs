//! Event time: how far it has come.
//!
//! A watermark `w` says that no record with a timestamp at or below `w` is expected. Each partition of a source has a
//! **generator**, which looks at timestamps; the watermark of a source's task is the smallest of its partitions', leaving
//! out those that are idle; that of an operator's input is the smallest of its channels', likewise. Clocks are state:
//! they are saved with every epoch, so that a job goes on at the time at which it stopped.

mod strategy;

pub use strategy::{Ascending, BoundedDisorder, WatermarkStrategy, Watermarks};
