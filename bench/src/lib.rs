//! Criterion micro-benchmarks and the side-by-side harness.

pub mod cpu;
pub mod process;
pub mod table;
