//! Batches of a segment whose header's checksum was made right, so that what lies behind it is reached.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_record::fuzzing::stored_batch_behind_its_checksum(bytes));
