//! Values of types whose reading is derived, by unsafe code.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_engine::fuzzing::data(bytes));
