//! Records of the commit log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace::fuzzing::commit_log(bytes));
