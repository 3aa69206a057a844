//! Entries of a journal, behind the checksum of their frame.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_storage::fuzzing::entries(bytes));
