//! Frames whose checksum was made right, so that what lies behind it is reached.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_storage::fuzzing::frame_behind_its_checksum(bytes));
