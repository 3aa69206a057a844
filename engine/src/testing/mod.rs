//! Running jobs in tests: simulated shards, topics in memory, epochs, failures. No I/O, no clock, one thread.
//!
//! A [`Testbed`] is a small server around the real [`Worker`](crate::worker::Worker): what users' jobs meet in production
//! (interleaving, back-pressure, restarts) they meet here, in an order that follows from a seed.
//!
//! ```
//! use millrace_engine::{prelude::*, testing::{Testbed, TestRecord}};
//! use std::time::Duration;
//!
//! fn words_per_second(job: &mut JobBuilder) {
//!     job.source("words")
//!         .parse(|record| record.value.map(|word| word.to_vec()))
//!         .record_time(Watermarks::ascending())
//!         .key_by(|word| word.to_vec())
//!         .window(Tumbling::of(Duration::from_secs(1)))
//!         .aggregate(Count)
//!         .to_topic("counts", |window, record| {
//!             record.key().extend_from_slice(&window.key);
//!             record.value().extend_from_slice(window.value.to_string().as_bytes());
//!         });
//! }
//!
//! let mut testbed = Testbed::new(words_per_second).shards(2).seed(7);
//! testbed.topic("words", 1);
//! testbed.topic("counts", 1);
//! for (timestamp, word) in [(10, "tea"), (20, "tea"), (30, "milk"), (1_500, "tea")] {
//!     testbed.produce("words", 0, &[TestRecord::new(timestamp, word)]);
//! }
//! testbed.start_bounded();
//! testbed.run_to_end();
//! let output = testbed.output("counts");
//! let mut counts: Vec<_> = output.iter().map(|row| (row.key_text(), row.value_text())).collect();
//! counts.sort();
//! assert_eq!(counts, [("milk", "1"), ("tea", "1"), ("tea", "2")]);
//! ```

mod epochs;
mod log;
mod network;
mod probe;
mod random;
mod testbed;

#[cfg(test)]
mod tests;

pub use log::{OutputRecord, TestRecord};
pub use probe::{Event, drive};
pub use testbed::Testbed;
