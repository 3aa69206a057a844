//! The typed builder: streams, and what can be made of them.
//!
//! ```text
//! JobBuilder::source -> Source --parse--> Stream --filter, map, flat_map, event_time--> Stream
//! Stream --key_by--> KeyedStream --window--> WindowedStream --aggregate--> Stream
//!                    KeyedStream --process--> Stream
//! Stream --to_topic, sink--> the end
//! Stream --branch--> several Streams,  Stream --union--> one
//! ```
//!
//! A [`Stream`] is a chain of operators in the making. What needs another key, or several inputs, or several outputs, ends
//! the chain as a task and begins the next one behind an edge. Records that cross an edge land as archived values, so behind
//! `key_by` closures see `&Archived...`, as they do behind a typed source.

mod branch;
mod chain;
mod decoy;
mod draft;
mod dynamic;
mod input;
mod keyed;
mod sinks;
mod source;
mod transform;
mod windowed;

pub use chain::{Downstream, Pipeline, Then};
pub use decoy::HasKey;
pub use dynamic::DynamicStream;
pub use input::Rows;
pub use keyed::KeyedStream;
pub use source::{Parsed, ParsedWith, Source, Typed};
pub use transform::Stream;
pub use windowed::WindowedStream;

pub(crate) use chain::{ChainTask, Tally};
pub(crate) use draft::{Draft, Graph};
pub(crate) use input::Keyed;
