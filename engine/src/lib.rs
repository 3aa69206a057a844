//! The dataflow: sources, operators, exchange, windows, time, state tables, epochs, sinks.

pub mod epoch;
pub mod key;
pub mod table;
