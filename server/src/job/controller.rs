//! Jobs of the server: run, started, stopped. On shard 0; the others ask it.
//!
//! A job's record is durable before it runs. After a start of the server every job that should run does so again, from
//! what it had committed.

use super::{
    deploy::{build, make_topics, placement},
    failure,
    layout::{StateChanged, fitting_plan, layout},
    message::{AttemptFailed, DATAFLOW_RING, JOBS_MAX},
    restore::RestoreError,
    supervise::Supervised,
};
use crate::{
    cluster::{Image, Job, JobState, MetadataRecord, TopicError},
    shard::Context,
};
use millrace_engine::{
    epoch::{Attempt, JobId, StartError},
    key::PlacementError,
    plan::Plan,
    registry::RegistryError,
};
use millrace_record::TopicId;
use millrace_runtime::{Queue, ShardId, random_bytes, spawn_into};
use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc};
use tokio::sync::Mutex;
use uuid::Builder;

/// A frame, its credit, and those of the attempt before.
const RING_PER_FRAME: usize = 4;

/// A job to be run.
#[derive(Clone, Debug, Default)]
pub struct RunJob {
    /// Its name in the binary.
    pub name: String,
    /// What is set of its parameters.
    pub parameters: BTreeMap<String, String>,
    /// The shards that run it; empty for all.
    pub shards: Vec<u16>,
}

/// Why a job is not run, or not stopped.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// It is not in this binary, or can't be built.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Its function panicked instead of building it.
    #[error("job `{job}` can't be built: it panicked: {message}")]
    BuildPanicked {
        /// The job.
        job: String,
        /// What it said.
        message: String,
    },
    /// It runs already.
    #[error("job {0} runs already: stop it first")]
    Running(JobId),
    /// There is no such job.
    #[error("there is no job `{0}`")]
    Unknown(String),
    /// There are several of this name.
    #[error("several jobs are called `{0}`: say which by its number")]
    Ambiguous(String),
    /// It does not run.
    #[error("job {0} does not run")]
    NotRunning(JobId),
    /// Its topics can't be had.
    #[error("topic `{topic}`: {cause}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        cause: TopicError,
    },
    /// A shard that does not exist.
    #[error("there is no shard {shard}: the server has {count}")]
    Shard {
        /// The shard.
        shard: u16,
        /// How many there are.
        count: u16,
    },
    /// The shards can't share its keys.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The rings between shards are made for fewer.
    #[error(
        "the jobs that run leave no room for this one: it needs {needed} places on each ring between shards, {left} are left"
    )]
    NoRoom {
        /// What it needs.
        needed: usize,
        /// What is left.
        left: usize,
    },
    /// It would read on one shard what another has not synced.
    #[error(
        "a job must run on all shards where topic.durability is \"os\": what shard {without} has not synced, a power cut could take \
         after the job has read it elsewhere. Name no shards and have at most as many as the job has key groups, or set \
         topic.durability to \"fsync\""
    )]
    UnsyncedInput {
        /// A shard that the job would not run on.
        without: ShardId,
    },
    /// As many jobs run as may.
    #[error("{JOBS_MAX} jobs are running, no more may")]
    TooMany,
    /// The metadata log can't be written.
    #[error(transparent)]
    Metadata(#[from] TopicError),
    /// What it had committed can't be read.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The shards have built different plans: the job depends on something else than its parameters.
    #[error("shard {0} has built another plan than shard 0: a job must depend on nothing but its parameters")]
    PlansDiffer(ShardId),
    /// What it had committed was written by another plan of it.
    #[error("{0}")]
    StateChanged(StateChanged),
    /// Another attempt is alive.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The jobs. Clones are the same. On other shards than the first it has nothing to do.
#[derive(Clone, Default)]
pub struct Controller(Rc<Inner>);

#[derive(Default)]
struct Inner {
    jobs: RefCell<BTreeMap<JobId, Rc<Supervised>>>,
    /// Held while a job is run, started or stopped: each is checked against what the ones before it have left.
    commands: Mutex<()>,
}

/// What the controller knows of a job that runs.
#[derive(Clone, Debug, Default)]
pub struct Supervision {
    /// The attempt that is alive.
    pub attempt: Option<Attempt>,
    /// Whether this binary can't run it.
    pub is_refused: bool,
    /// How often it was started again since it was last well.
    pub restarts: u32,
    /// Why it was last started again, or can't be.
    pub last_failure: Option<LastFailure>,
    /// When it is to be started again, in ms since the Unix epoch, while it waits for that.
    pub next_start_ms: Option<i64>,
}

/// Why an attempt ended, or did not begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastFailure {
    /// What happened, and where.
    pub reason: String,
    /// When, in ms since the Unix epoch.
    pub at_ms: i64,
}

impl Context {
    /// Runs a job, and gives its number when that it runs is durable.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn run_job(&self, job: RunJob) -> Result<JobId, JobError> {
        self.on(super::dataflow::CONTROLLER, move |shard| async move {
            let running =
                spawn_into(Queue::Control, async move { shard.controller().run(&shard, job).await });
            running.await.unwrap_or(Err(JobError::Metadata(stopping())))
        })
        .await
    }

    /// Starts a job again that was stopped or has failed, from what it had committed.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn start_job(&self, name: String) -> Result<JobId, JobError> {
        self.on(super::dataflow::CONTROLLER, move |shard| async move {
            let running =
                spawn_into(Queue::Control, async move { shard.controller().resume(&shard, &name).await });
            running.await.unwrap_or(Err(JobError::Metadata(stopping())))
        })
        .await
    }

    /// Stops a job; what it has committed stays.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn stop_job(&self, name: String) -> Result<JobId, JobError> {
        self.on(super::dataflow::CONTROLLER, move |shard| async move {
            let running =
                spawn_into(Queue::Control, async move { shard.controller().stop(&shard, &name).await });
            running.await.unwrap_or(Err(JobError::Metadata(stopping())))
        })
        .await
    }
}

fn stopping() -> TopicError {
    TopicError::NotWritten("the server is stopping".to_owned())
}

impl Controller {
    /// Runs what should run, after a start of the server.
    pub fn resume_all(&self, shard: &Context) {
        let jobs: Vec<_> =
            shard.image().jobs().filter(|job| job.state == JobState::Running).cloned().collect();
        for job in jobs {
            let id = JobId(job.id);
            match build(shard, &job.name, &job.parameters) {
                Ok(plan) => self.supervise(shard, id, ring_places(&plan)),
                Err(error) => {
                    tracing::error!(job = job.name, %id, %error, "the job can't run in this binary");
                    self.insert(id, Supervised::refused(failure::bounded(error.to_string())));
                }
            }
        }
    }

    /// What is known of a job that should run.
    #[must_use]
    pub fn supervision(&self, job: JobId) -> Supervision {
        let jobs = self.0.jobs.borrow();
        jobs.get(&job).map(|supervised| supervised.supervision()).unwrap_or_default()
    }

    /// An epoch of an attempt is committed.
    pub fn committed(&self, job: JobId, attempt: Attempt) {
        if let Some(supervised) = self.0.jobs.borrow().get(&job) {
            supervised.committed(attempt);
        }
    }

    /// An attempt can't go on.
    pub fn failed(&self, shard: &Context, failed: AttemptFailed) {
        let AttemptFailed { job, attempt, reason } = failed;
        let supervised = self.0.jobs.borrow().get(&job).cloned();
        let Some(supervised) = supervised.filter(|supervised| supervised.is_alive(attempt)) else {
            return;
        };
        tracing::warn!(%job, %attempt, reason, "an attempt ended");
        shard.epochs().end(shard, job, attempt);
        supervised.end();
        supervised.fail(reason);
        supervised.changed.notify_one();
    }

    async fn run(&self, shard: &Context, job: RunJob) -> Result<JobId, JobError> {
        let _turn = self.0.commands.lock().await;
        let plan = build(shard, &job.name, &job.parameters)?;
        layout(shard, &job.name, &job.parameters)?;
        if let Some(&named) = job.shards.iter().find(|named| **named >= shard.count()) {
            return Err(JobError::Shard { shard: named, count: shard.count() });
        }
        placement(shard, &plan, &job.shards)?;
        self.admit(&plan)?;
        if let Some(running) =
            shard.image().jobs().find(|known| known.name == job.name && known.state == JobState::Running)
        {
            return Err(JobError::Running(JobId(running.id)));
        }
        make_topics(shard, &plan).await?;
        let (name, version) = (job.name, plan.version());
        let changelog = TopicId(Builder::from_random_bytes(random_bytes()).into_uuid());
        let (parameters, shards) = (job.parameters, job.shards);
        let new = move |image: &Image| {
            let id = image.next_job_id();
            Ok(MetadataRecord::Job(Job {
                id,
                name,
                version,
                parameters,
                shards,
                changelog,
                state: JobState::Running,
                layout: None,
            }))
        };
        let MetadataRecord::Job(job) = shard.change(new).await? else {
            unreachable!("the record that was made")
        };
        let id = JobId(job.id);
        tracing::info!(job = job.name, %id, "the job runs");
        self.supervise(shard, id, ring_places(&plan));
        Ok(id)
    }

    async fn resume(&self, shard: &Context, name: &str) -> Result<JobId, JobError> {
        let _turn = self.0.commands.lock().await;
        let job = find(&shard.image(), name)?;
        let id = JobId(job.id);
        let plan = fitting_plan(shard, &job).await?;
        if let Some(running) =
            shard.image().jobs().find(|known| known.name == job.name && known.state == JobState::Running)
        {
            return Err(JobError::Running(JobId(running.id)));
        }
        self.admit(&plan)?;
        shard.record(MetadataRecord::JobState { id: job.id, state: JobState::Running }).await?;
        self.supervise(shard, id, ring_places(&plan));
        Ok(id)
    }

    async fn stop(&self, shard: &Context, name: &str) -> Result<JobId, JobError> {
        let _turn = self.0.commands.lock().await;
        let job = find(&shard.image(), name)?;
        let id = JobId(job.id);
        if job.state != JobState::Running {
            return Err(JobError::NotRunning(id));
        }
        shard.record(MetadataRecord::JobState { id: job.id, state: JobState::Stopped }).await?;
        let supervised = self.0.jobs.borrow_mut().remove(&id);
        if let Some(supervised) = supervised {
            supervised.is_stopping.set(true);
            supervised.changed.notify_one();
            if let Some(attempt) = supervised.end() {
                shard.epochs().end(shard, id, attempt);
            }
        }
        tracing::info!(job = job.name, %id, "the job was stopped");
        Ok(id)
    }

    /// That one more job may run beside those that do.
    fn admit(&self, plan: &Plan) -> Result<(), JobError> {
        let jobs = self.0.jobs.borrow();
        if jobs.len() >= JOBS_MAX {
            return Err(JobError::TooMany);
        }
        let used: usize = jobs.values().map(|job| job.ring_places()).sum();
        let (needed, left) = (ring_places(plan), DATAFLOW_RING.saturating_sub(used));
        if needed > left { Err(JobError::NoRoom { needed, left }) } else { Ok(()) }
    }

    pub(super) fn insert(&self, id: JobId, supervised: Rc<Supervised>) {
        self.0.jobs.borrow_mut().insert(id, supervised);
    }

    /// A job is not supervised any more, unless it was started anew.
    pub(super) fn forget(&self, id: JobId, supervised: &Rc<Supervised>) {
        let mut jobs = self.0.jobs.borrow_mut();
        if jobs.get(&id).is_some_and(|current| Rc::ptr_eq(current, supervised)) {
            jobs.remove(&id);
        }
    }
}

fn ring_places(plan: &Plan) -> usize {
    plan.ring_frames() * RING_PER_FRAME
}

/// The job of this number or, if only one has it, of this name: of those that run, if one does.
fn find(image: &Image, name: &str) -> Result<Job, JobError> {
    if let Some(job) = name.parse().ok().and_then(|id| image.job(id)) {
        return Ok(job.clone());
    }
    let named: Vec<_> = image.jobs().filter(|job| job.name == name).collect();
    if let Some(running) = named.iter().find(|job| job.state == JobState::Running) {
        return Ok((*running).clone());
    }
    match named.as_slice() {
        [] => Err(JobError::Unknown(name.to_owned())),
        [job] => Ok((*job).clone()),
        _ => Err(JobError::Ambiguous(name.to_owned())),
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Controller of {} jobs", self.0.jobs.borrow().len())
    }
}
