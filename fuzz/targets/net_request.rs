//! Requests as any peer may send them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_net::fuzzing::request(bytes));
