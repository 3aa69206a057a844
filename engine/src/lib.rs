//! The dataflow: sources, operators, exchange, windows, time, state tables, epochs, sinks.
