//! What tasks leave behind at a barrier.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_engine::fuzzing::changelog(bytes));
