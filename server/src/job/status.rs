//! What can be seen of a job: per operator over all shards, with rates, lag, watermark and backpressure.

use super::controller::Supervision;
use crate::{
    cluster::{Job, JobState},
    control::{Shards, Unreachable},
};
use millrace_engine::{
    epoch::JobId,
    metrics::{JobMetrics, TaskMetrics},
    plan::StageId,
};
use millrace_runtime::Instant;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// A job, as the admin interface tells of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its number.
    pub id: u64,
    /// Its name in the binary.
    pub name: String,
    /// The version of its code.
    pub version: u32,
    /// What it does.
    pub state: Phase,
    /// The run of it that is alive.
    pub attempt: Option<u64>,
    /// How often it was started again since it was last well.
    pub restarts: u32,
    /// How often it may be, before it is given up.
    pub restarts_max: u32,
    /// Why it has failed, or was last started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When that was, in ms since the Unix epoch, if it was since the server's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at_ms: Option<i64>,
    /// When it is started again, in ms since the Unix epoch, if it waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start_ms: Option<i64>,
    /// What was set of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Its tasks, one for each stage, over all shards.
    pub tasks: Vec<TaskStatus>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its tasks run, or read back what they had.
    Running,
    /// It should run and does not yet, or not at the moment.
    Starting,
    /// It was stopped.
    Stopped,
    /// It has failed too often, or this binary can't run it.
    Failed,
}

/// A stage of a job, over all shards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The names of its operators.
    pub name: String,
    /// The shards that run it.
    pub shards: Vec<u16>,
    /// Its operators.
    pub operators: Vec<OperatorStatus>,
    /// Records that its source could read and has not; absent for other stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// The smallest watermark of all shards, in ms since the Unix epoch; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// The share of time in which it worked, the busiest shard's: 0 to 1.
    pub busy: f64,
    /// The share of time in which it could take nothing because of what comes after it, the worst shard's: 0 to 1.
    pub backpressure: f64,
}

/// An operator of a job, over all shards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OperatorStatus {
    /// Its name.
    pub name: String,
    /// Records taken in since the attempt began.
    pub records_in: u64,
    /// Records handed on since the attempt began.
    pub records_out: u64,
    /// Records that came too late for their window.
    pub late_records: u64,
    /// Records taken in per second, over the time that was looked at.
    pub records_in_per_s: f64,
    /// Records handed on per second, over the time that was looked at.
    pub records_out_per_s: f64,
}

/// What all shards tell of all jobs at a moment.
#[derive(Clone, Debug)]
pub struct Sample {
    at: Instant,
    jobs: Vec<(Job, Supervision)>,
    restarts_max: u32,
    shards: Vec<Vec<JobMetrics>>,
}

/// All jobs, with rates over `span`: this waits so long.
///
/// # Errors
/// [`Unreachable`].
pub async fn statuses(shards: &Shards, span: Duration) -> Result<Vec<JobStatus>, Unreachable> {
    let before = sample(shards).await?;
    if span.is_zero() {
        return Ok(before.statuses(None));
    }
    tokio::time::sleep(span).await;
    Ok(sample(shards).await?.statuses(Some(&before)))
}

/// Asks all shards.
///
/// # Errors
/// [`Unreachable`].
pub async fn sample(shards: &Shards) -> Result<Sample, Unreachable> {
    let jobs = shards.on(0, |shard| {
        let jobs: Vec<Job> = shard.image().jobs().cloned().collect();
        let known = |job: Job| (job.clone(), shard.controller().supervision(JobId(job.id)));
        let jobs = jobs.into_iter().map(known).collect::<Vec<_>>();
        (Instant::now(), jobs, shard.options().config.dataflow.restarts_max)
    });
    let (at, jobs, restarts_max) = jobs.await?;
    let shards = shards.on_all(|shard| shard.dataflow().metrics()).await?;
    Ok(Sample { at, jobs, restarts_max, shards })
}

impl Sample {
    /// All jobs, with rates since an earlier sample.
    #[must_use]
    pub fn statuses(&self, since: Option<&Self>) -> Vec<JobStatus> {
        self.jobs.iter().map(|(job, supervision)| self.status(job, supervision, since)).collect()
    }

    fn status(&self, job: &Job, supervision: &Supervision, since: Option<&Self>) -> JobStatus {
        let span = since.map_or(Duration::ZERO, |since| self.at - since.at);
        let before = since.map(|since| since.tasks_of(job.id)).unwrap_or_default();
        let stages = stages(self.tasks_of(job.id));
        let tasks = stages.into_values().map(|on_shards| task_status(&on_shards, &before, span)).collect();
        let last = supervision.last_failure.as_ref();
        let failed_at_ms = last.map(|failure| failure.at_ms);
        let last_reason = last.map(|failure| failure.reason.clone());
        let (state, failure) = match &job.state {
            JobState::Running if supervision.is_refused => (Phase::Failed, last_reason),
            JobState::Running if supervision.attempt.is_some() => (Phase::Running, last_reason),
            JobState::Running => (Phase::Starting, last_reason),
            JobState::Stopped => (Phase::Stopped, None),
            JobState::Failed { reason } => (Phase::Failed, Some(reason.clone())),
        };
        JobStatus {
            id: job.id,
            name: job.name.clone(),
            version: job.version,
            state,
            attempt: supervision.attempt.map(|attempt| attempt.0),
            restarts: supervision.restarts,
            restarts_max: self.restarts_max,
            failure,
            failed_at_ms,
            next_start_ms: supervision.next_start_ms,
            parameters: job.parameters.clone(),
            tasks,
        }
    }

    fn tasks_of(&self, job: u64) -> Vec<(u16, u64, TaskMetrics)> {
        let mut tasks = Vec::new();
        for (shard, jobs) in (0..).zip(&self.shards) {
            for found in jobs.iter().filter(|found| found.job == JobId(job)) {
                tasks.extend(found.tasks.iter().map(|task| (shard, found.attempt.0, task.clone())));
            }
        }
        tasks
    }
}

type OnShards = Vec<(u16, u64, TaskMetrics)>;

fn stages(tasks: OnShards) -> BTreeMap<StageId, OnShards> {
    let mut stages = BTreeMap::<StageId, OnShards>::new();
    for task in tasks {
        stages.entry(StageId::of_task(task.2.task)).or_default().push(task);
    }
    stages
}

fn task_status(on_shards: &OnShards, before: &OnShards, span: Duration) -> TaskStatus {
    let first = &on_shards[0].2;
    // Counters begin anew with an attempt: rates are over what is the same one.
    let earlier = |shard: u16, attempt: u64, task: &TaskMetrics| {
        let same = before.iter().find(|(s, a, t)| (*s, *a, t.task) == (shard, attempt, task.task));
        same.map(|(_, _, task)| task.clone())
    };
    let per_s = |count: u64| if span.is_zero() { 0.0 } else { count as f64 / span.as_secs_f64() };
    let mut operators: Vec<OperatorStatus> =
        first.operators.iter().map(|operator| named(&operator.name)).collect();
    let (mut busy, mut backpressure) = (0.0_f64, 0.0_f64);
    for (shard, attempt, task) in on_shards {
        let earlier = earlier(*shard, *attempt, task);
        for (index, (sum, operator)) in operators.iter_mut().zip(&task.operators).enumerate() {
            let old = earlier.as_ref().and_then(|task| task.operators.get(index));
            sum.records_in += operator.records_in;
            sum.records_out += operator.records_out;
            sum.late_records += operator.late_records;
            if let Some(old) = old {
                sum.records_in_per_s += per_s(operator.records_in.saturating_sub(old.records_in));
                sum.records_out_per_s += per_s(operator.records_out.saturating_sub(old.records_out));
            }
        }
        if let (Some(old), false) = (&earlier, span.is_zero()) {
            let share = |now: u64, then: u64| now.saturating_sub(then) as f64 / span.as_nanos() as f64;
            busy = busy.max(share(task.busy_ns, old.busy_ns).min(1.0));
            backpressure = backpressure.max(share(task.blocked_ns, old.blocked_ns).min(1.0));
        }
    }
    let watermark = on_shards
        .iter()
        .map(|(_, _, task)| task.watermark)
        .min()
        .filter(|at| *at > i64::MIN && *at < i64::MAX);
    TaskStatus {
        name: first.name.clone(),
        shards: on_shards.iter().map(|(shard, _, _)| *shard).collect(),
        operators,
        lag: on_shards.iter().filter_map(|(_, _, task)| task.lag).reduce(|a, b| a + b),
        watermark_ms: watermark,
        busy,
        backpressure,
    }
}

fn named(name: &str) -> OperatorStatus {
    OperatorStatus {
        name: name.to_owned(),
        records_in: 0,
        records_out: 0,
        late_records: 0,
        records_in_per_s: 0.0,
        records_out_per_s: 0.0,
    }
}
