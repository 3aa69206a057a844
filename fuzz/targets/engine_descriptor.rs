//! Descriptors of types.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_engine::fuzzing::descriptor(bytes));
