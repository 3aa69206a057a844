//! Keys and values of `__consumer_offsets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_net::fuzzing::consumer_offsets(bytes));
