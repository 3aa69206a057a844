//! The log under simulation: random histories against a model, crashes at every step, damage, full disks.
//!
//! A life is one process: it recovers, checks all that the model knows, and works until it is closed or killed. The
//! model learns of an acknowledgement when the store gives it, and of nothing else.

#![expect(clippy::unwrap_used, reason = "tests panic where they fail")]

mod acts;
mod batches;
mod cold;
mod commits;
mod damage;
mod drive;
mod full;
mod model;
mod native;
mod random;
mod sweep;
mod syncs;
mod units;
