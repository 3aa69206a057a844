//! Message sets of old producers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_record::fuzzing::message_set(bytes));
