//! Attempts and commits.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_engine::fuzzing::commit_log(bytes));
