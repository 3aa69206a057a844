//! Payloads in our own encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_record::fuzzing::archived_payload(bytes));
