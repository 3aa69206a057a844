//! The real binary killed, or its disk's power cut, under load: nothing acknowledged may be missing afterwards.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests watch a process from outside"
)]

#[expect(dead_code, reason = "other tests run commands and look at logs")]
#[path = "../process/mod.rs"]
mod process;

#[expect(dead_code, reason = "nothing is late here")]
#[path = "../demo/oracle.rs"]
mod oracle;
#[path = "../demo/records.rs"]
mod records;

mod chance;
mod device;
mod jobs;
mod kills;
mod ledger;
mod load;
mod power;
mod stops;
mod unsynced;
