//! Responses as our own client reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_net::fuzzing::response(bytes));
