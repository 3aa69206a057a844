//! Records of the metadata and commit logs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace::fuzzing::records(bytes));
