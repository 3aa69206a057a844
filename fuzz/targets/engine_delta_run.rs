//! Runs of state deltas.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_engine::fuzzing::delta_run(bytes));
