//! Batch headers as they stand on disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_record::fuzzing::header(bytes));
