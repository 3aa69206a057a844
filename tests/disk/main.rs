//! A disk that is full, below the whole server: appends are refused with Kafka's error, nothing acknowledged is lost, and all
//! is well when there is room again.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests watch a process from outside"
)]

#[expect(dead_code, reason = "other tests cut its power")]
#[path = "../crash/device.rs"]
mod device;
#[expect(dead_code, reason = "other tests look at logs and memory")]
#[path = "../process/mod.rs"]
mod process;

mod full;
mod jobs;
#[expect(dead_code, reason = "nothing is late here")]
#[path = "../demo/oracle.rs"]
mod oracle;
#[path = "../demo/records.rs"]
mod records;
