//! Dataflow jobs inside the server: what joins the engine with the log.
//!
//! The engine does no I/O, and the log knows no jobs. Here their messages meet:
//!
//! | module | what |
//! |---|---|
//! | [`commit_log`] | the one log that says which epochs are committed, and the attempts that may be |
//! | [`changelog`] | what tasks leave behind at a barrier, as records of a partition |
//! | [`commits`] | a shard stages pieces, and splices them when their epoch is committed |
//! | [`dataflow`] | a shard's worker, its messages in and out, its part in epochs |
//! | [`source`] | partitions read for sources, in place or by reference from their owner |
//! | [`restore`] | state and positions read back from a job's changelog |
//! | [`epochs`] | the server's coordinator: ticks, votes, commits |
//! | [`controller`] | jobs run, started, stopped |
//! | `supervise` | a job kept running, and given up |
//! | [`recovery`] | what a start does before anybody reads |
//! | `deploy` | what an attempt is begun with |
//! | `layout` | whether a plan fits the state that is there |
//! | `failure` | why an attempt ended, in words |
//! | [`status`] | what can be seen of a running job |
//!
//! The protocol and its laws are in [`millrace_engine::epoch`].

pub mod changelog;
pub mod commit_log;
pub mod commits;
pub mod controller;
pub mod dataflow;
mod deploy;
pub mod epochs;
mod failure;
mod layout;
mod message;
pub mod recovery;
pub mod restore;
pub mod source;
pub mod status;
mod supervise;

pub use commits::{Applied, Commits};
pub use controller::{Controller, JobError, LastFailure, RunJob, Supervision};
pub use dataflow::Dataflow;
pub use layout::StateChanged;
pub use message::{DATAFLOW_RING, EPOCH_RING, EpochMessage, JOBS_MAX};
pub use status::{JobStatus, OperatorStatus, Phase, TaskStatus};
