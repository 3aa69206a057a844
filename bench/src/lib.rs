//! Criterion micro-benchmarks and the side-by-side harness.

pub mod table;
