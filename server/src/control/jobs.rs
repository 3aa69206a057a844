//! Jobs over the admin interface, in JSON.

use super::{Shards, Unreachable};
use crate::job::{JobError, JobStatus, Phase, RunJob, status};
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// The longest time that rates are taken over.
const INTERVAL_MAX: Duration = Duration::from_secs(10);

/// The routes of jobs.
pub(super) fn routes() -> Router<Shards> {
    Router::new()
        .route("/jobs", get(list).post(run))
        .route("/jobs/{job}", get(describe))
        .route("/jobs/{job}/stop", post(stop))
        .route("/jobs/{job}/start", post(start))
}

/// What a job is run with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    name: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    #[serde(default)]
    shards: Vec<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Describe {
    /// Over how long rates are taken; 0 for none.
    #[serde(default)]
    interval_ms: u64,
}

/// A job that was run, started or stopped.
#[derive(Debug, Serialize)]
struct Changed {
    id: u64,
}

/// Why nothing came of a request.
#[derive(Debug, Serialize)]
struct Refusal {
    error: String,
}

fn refuse(code: StatusCode, error: &impl ToString) -> Response {
    (code, Json(Refusal { error: error.to_string() })).into_response()
}

fn unreachable(error: Unreachable) -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, &error)
}

fn refused(error: &JobError) -> Response {
    let code = match error {
        JobError::Unknown(_) => StatusCode::NOT_FOUND,
        JobError::Running(_) | JobError::NotRunning(_) | JobError::Ambiguous(_) => StatusCode::CONFLICT,
        JobError::Metadata(_) | JobError::Restore(_) | JobError::Start(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        JobError::NoRoom { .. } | JobError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    refuse(code, error)
}

async fn list(State(shards): State<Shards>) -> Response {
    match status::statuses(&shards, Duration::ZERO).await {
        Ok(jobs) => Json(jobs).into_response(),
        Err(error) => unreachable(error),
    }
}

async fn describe(
    State(shards): State<Shards>,
    Path(job): Path<String>,
    Query(Describe { interval_ms }): Query<Describe>,
) -> Response {
    let interval = Duration::from_millis(interval_ms).min(INTERVAL_MAX);
    match status::statuses(&shards, interval).await {
        Ok(jobs) => match find(jobs, &job) {
            Some(job) => Json(job).into_response(),
            None => refused(&JobError::Unknown(job)),
        },
        Err(error) => unreachable(error),
    }
}

/// The job of this number or of this name: of those that should run, if one does, as when it is stopped; else the last.
fn find(jobs: Vec<JobStatus>, wanted: &str) -> Option<JobStatus> {
    let id = wanted.parse::<u64>().ok();
    let rank = |job: &JobStatus| (id == Some(job.id), job.state != Phase::Stopped, job.id);
    jobs.into_iter().filter(|job| id == Some(job.id) || job.name == wanted).max_by_key(rank)
}

async fn run(
    State(shards): State<Shards>,
    Json(Run { name, parameters, shards: on }): Json<Run>,
) -> Response {
    let job = RunJob { name, parameters, shards: on };
    changed(shards.call(0, |shard| async move { shard.run_job(job).await }).await)
}

async fn stop(State(shards): State<Shards>, Path(job): Path<String>) -> Response {
    changed(shards.call(0, |shard| async move { shard.stop_job(job).await }).await)
}

async fn start(State(shards): State<Shards>, Path(job): Path<String>) -> Response {
    changed(shards.call(0, |shard| async move { shard.start_job(job).await }).await)
}

fn changed(answer: Result<Result<millrace_engine::epoch::JobId, JobError>, Unreachable>) -> Response {
    match answer {
        Ok(Ok(id)) => Json(Changed { id: id.0 }).into_response(),
        Ok(Err(error)) => refused(&error),
        Err(error) => unreachable(error),
    }
}
