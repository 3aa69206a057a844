//! Record sets as producers send them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| millrace_record::fuzzing::kafka_batches(bytes));
