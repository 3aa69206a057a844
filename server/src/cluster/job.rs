//! Jobs, as the metadata log knows them.

use millrace_engine::plan::StateLayout;
use millrace_record::TopicId;
use std::collections::BTreeMap;

/// A job that was run once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number, never given twice.
    pub id: u64,
    /// Its name in the binary.
    pub name: String,
    /// The version of its code when it was run.
    pub version: u32,
    /// What was set of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The shards that run it; empty for all.
    pub shards: Vec<u16>,
    /// The topic of its changelog, which no client sees: a partition for each shard that there has been.
    pub changelog: TopicId,
    /// What it should do.
    pub state: JobState,
    /// What its plan meant for its state when it last began; `None` before its first attempt.
    pub layout: Option<StateLayout>,
}

/// What a job should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Run, also after the next start of the server.
    Running,
    /// Nothing: it was stopped.
    Stopped,
    /// Nothing: it failed again and again.
    Failed {
        /// The last failure.
        reason: String,
    },
}
