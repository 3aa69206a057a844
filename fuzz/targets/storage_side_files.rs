//! Indexes, producers, the format file, marks of pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_storage::fuzzing::side_files(bytes));
