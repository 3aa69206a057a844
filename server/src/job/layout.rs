//! Whether a job can go on from what it has committed: another binary may have another plan of it.
//!
//! What the plan means for state is kept with the job before its first attempt. A job without committed state has nothing to
//! lose, and takes any plan.

use super::{
    controller::JobError,
    deploy::{build, caught},
    restore,
};
use crate::{
    cluster::{Job, MetadataRecord},
    shard::Context,
};
use millrace_engine::{
    epoch::JobId,
    plan::{LayoutChange, Plan, StateLayout},
};
use std::{collections::BTreeMap, fmt};

/// What keeps a job from going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChanged {
    id: JobId,
    name: String,
    changes: Vec<LayoutChange>,
}

impl fmt::Display for StateChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, changes } = self;
        write!(f, "job `{name}` (number {id}) of this binary can't go on from what it had committed")?;
        for (index, change) in changes.iter().enumerate() {
            write!(f, "{} {change}", if index == 0 { ":" } else { ";" })?;
        }
        write!(
            f,
            ". Start the server with the binary that it ran in; or have it begin anew, without its state, at the start of its \
             topics: `millrace job stop {id}`, then `millrace job run {name}`"
        )
    }
}

/// Builds the plan of a job that may have state, if it fits that.
pub(super) async fn fitting_plan(shard: &Context, job: &Job) -> Result<Plan, JobError> {
    let plan = build(shard, &job.name, &job.parameters)?;
    let layout = layout(shard, &job.name, &job.parameters)?;
    if job.layout.as_ref() == Some(&layout) {
        return Ok(plan);
    }
    let changes = job.layout.as_ref().map(|before| layout.changes_since(before)).unwrap_or_default();
    if !changes.is_empty() && restore::has_state(shard, job.changelog).await {
        let (id, name) = (JobId(job.id), job.name.clone());
        return Err(JobError::StateChanged(StateChanged { id, name, changes }));
    }
    shard.record(MetadataRecord::JobLayout { id: job.id, layout }).await?;
    Ok(plan)
}

/// What a job's plan means for its state. Its tables are made for that, by user code.
pub(super) fn layout(
    shard: &Context,
    name: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<StateLayout, JobError> {
    let plan = build(shard, name, parameters)?;
    Ok(caught(name, || plan.into_state_layout())??)
}
