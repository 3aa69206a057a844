//! Frames of a journal.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_storage::fuzzing::frame(bytes));
