//! Journal files as a crash may leave them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_storage::fuzzing::journal_file(bytes));
