//! Compressed records, with every codec.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_record::fuzzing::compressed(bytes));
