//! The dataflow: sources, operators, exchange, windows, time, state tables, epochs, sinks.

extern crate self as millrace_engine;

pub mod aggregate;
pub mod data;
pub mod epoch;
pub mod exchange;
pub mod failure;
pub mod key;
pub mod metrics;
pub mod operator;
pub mod plan;
pub mod prelude;
pub mod registry;
pub mod sink;
pub mod source;
pub mod stream;
pub mod table;
pub mod task;
pub mod testing;
pub mod timer;
pub mod watermark;
pub mod window;
pub mod worker;

pub use data::Data;
pub use rkyv;
