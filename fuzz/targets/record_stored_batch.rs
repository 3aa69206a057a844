//! Batches as they are read back from a segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_record::fuzzing::stored_batch(bytes));
