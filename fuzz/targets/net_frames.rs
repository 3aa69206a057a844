//! Frames as they come out of a socket, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_net::fuzzing::frames(bytes));
