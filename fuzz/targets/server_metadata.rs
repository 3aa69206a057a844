//! Records of the metadata log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace::fuzzing::metadata(bytes));
