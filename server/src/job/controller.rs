//! Jobs of the server: started, restarted after a failure, stopped. On shard 0; the others ask it.
//!
//! A job's record is durable before it runs. After a start of the server every job that should run does so again, from
//! what it had committed.

use super::{
    deploy::{begin, build, make_topics, placement},
    failure,
    message::{AttemptFailed, DATAFLOW_RING, JOBS_MAX},
    restore::RestoreError,
};
use crate::{
    cluster::{Image, Job, JobState, MetadataRecord, TopicError},
    shard::Context,
};
use futures_util::future::{Either, select};
use millrace_engine::{
    epoch::{Attempt, JobId, StartError},
    key::PlacementError,
    plan::Plan,
    registry::RegistryError,
};
use millrace_record::TopicId;
use millrace_runtime::{Instant, Queue, ShardId, random_bytes, sleep, spawn_into};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    pin::pin,
    rc::Rc,
    time::Duration,
};
use tokio::sync::{Mutex, Notify};
use uuid::Builder;

/// An attempt that has lived so long was no failed start: failures are counted from one again.
const HEALTHY: Duration = Duration::from_secs(60);
/// The longest wait before a job is started again.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often it is tried again to write that a job has failed, when the disk is full.
const GIVE_UP_RETRY: Duration = Duration::from_secs(1);
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

/// A job that runs, or waits to be started again.
#[derive(Default)]
struct Supervised {
    is_stopping: Cell<bool>,
    attempt: Cell<Option<Attempt>>,
    failure: RefCell<Option<String>>,
    restarts: Cell<u32>,
    /// Places on each ring between shards.
    ring_places: Cell<usize>,
    /// It has failed, or is to stop.
    changed: Notify,
}

/// What the controller knows of a job that runs.
#[derive(Clone, Debug, Default)]
pub struct Supervision {
    /// The attempt that is alive.
    pub attempt: Option<Attempt>,
    /// How often it was started again since it was last well.
    pub restarts: u32,
    /// Why it was last started again.
    pub last_failure: Option<String>,
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
                    // It stays as it is: the binary that has it will run it.
                    self.0.jobs.borrow_mut().insert(id, Supervised::broken(error.to_string()));
                }
            }
        }
    }

    /// What is known of a job that should run.
    #[must_use]
    pub fn supervision(&self, job: JobId) -> Supervision {
        let jobs = self.0.jobs.borrow();
        jobs.get(&job).map_or_else(Supervision::default, |supervised| Supervision {
            attempt: supervised.attempt.get(),
            restarts: supervised.restarts.get(),
            last_failure: supervised.failure.borrow().clone(),
        })
    }

    /// An attempt can't go on.
    pub fn failed(&self, shard: &Context, failed: AttemptFailed) {
        let AttemptFailed { job, attempt, reason } = failed;
        let supervised = self.0.jobs.borrow().get(&job).cloned();
        let Some(supervised) = supervised.filter(|supervised| supervised.attempt.get() == Some(attempt))
        else {
            return;
        };
        tracing::warn!(%job, %attempt, reason, "an attempt ended");
        shard.epochs().end(shard, job, attempt);
        supervised.attempt.set(None);
        supervised.failure.replace(Some(reason));
        supervised.changed.notify_one();
    }

    async fn run(&self, shard: &Context, job: RunJob) -> Result<JobId, JobError> {
        let _turn = self.0.commands.lock().await;
        let plan = build(shard, &job.name, &job.parameters)?;
        if let Some(&named) = job.shards.iter().find(|named| **named >= shard.count()) {
            return Err(JobError::Shard { shard: named, count: shard.count() });
        }
        placement(&plan, &job.shards, shard.count())?;
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
        if let Some(running) =
            shard.image().jobs().find(|known| known.name == job.name && known.state == JobState::Running)
        {
            return Err(JobError::Running(JobId(running.id)));
        }
        let plan = build(shard, &job.name, &job.parameters)?;
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
            if let Some(attempt) = supervised.attempt.take() {
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
        let used: usize = jobs.values().map(|job| job.ring_places.get()).sum();
        let (needed, left) = (ring_places(plan), DATAFLOW_RING.saturating_sub(used));
        if needed > left { Err(JobError::NoRoom { needed, left }) } else { Ok(()) }
    }

    fn supervise(&self, shard: &Context, id: JobId, ring_places: usize) {
        let supervised = Rc::new(Supervised { ring_places: Cell::new(ring_places), ..Supervised::default() });
        self.0.jobs.borrow_mut().insert(id, Rc::clone(&supervised));
        drop(spawn_into(Queue::Control, self.clone().keep_running(shard.clone(), id, supervised)));
    }

    /// Starts a job, and starts it again when it fails, until it is stopped or fails too often.
    async fn keep_running(self, shard: Context, id: JobId, supervised: Rc<Supervised>) {
        let settings = shard.options().config.dataflow.clone();
        loop {
            let mut lived = Duration::ZERO;
            match begin(&shard, id).await {
                Ok(attempt) if supervised.is_stopping.get() => {
                    return shard.epochs().end(&shard, id, attempt);
                }
                Ok(attempt) => {
                    let begun = Instant::now();
                    supervised.attempt.set(Some(attempt));
                    supervised.changed.notified().await;
                    lived = begun.elapsed();
                }
                Err(error) => {
                    let reason = failure::bounded(error.to_string());
                    tracing::warn!(job = %id, reason, "the job can't start");
                    supervised.failure.replace(Some(reason));
                }
            }
            if supervised.is_stopping.get() {
                return;
            }
            if lived >= HEALTHY {
                supervised.restarts.set(0);
            }
            let restarts = supervised.restarts.get();
            if restarts >= settings.restarts_max {
                return self.give_up(&shard, id, &supervised).await;
            }
            supervised.restarts.set(restarts + 1);
            let backoff = Duration::from_millis(settings.restart_ms << restarts.min(16)).min(BACKOFF_MAX);
            match select(pin!(sleep(backoff)), pin!(supervised.changed.notified())).await {
                Either::Left(_) => {}
                Either::Right(_) if supervised.is_stopping.get() => return,
                Either::Right(_) => {}
            }
        }
    }

    async fn give_up(&self, shard: &Context, id: JobId, supervised: &Rc<Supervised>) {
        let reason = supervised.failure.borrow().clone().unwrap_or_default();
        tracing::error!(job = %id, reason, "the job has failed too often: it is started no more");
        loop {
            let state = JobState::Failed { reason: reason.clone() };
            let fail = move |image: &Image| match image.job(id.0).map(|job| &job.state) {
                Some(JobState::Running) => Ok(MetadataRecord::JobState { id: id.0, state }),
                // It was stopped meanwhile.
                _ => Err(TopicError::Unknown),
            };
            match shard.change(fail).await {
                Ok(_) | Err(TopicError::Unknown) => break,
                Err(error) => {
                    tracing::error!(job = %id, %error, "that the job has failed can't be written yet");
                    sleep(GIVE_UP_RETRY).await;
                }
            }
            if supervised.is_stopping.get() {
                return;
            }
        }
        // It may have been started anew by now.
        let mut jobs = self.0.jobs.borrow_mut();
        if jobs.get(&id).is_some_and(|current| Rc::ptr_eq(current, supervised)) {
            jobs.remove(&id);
        }
    }
}

impl Supervised {
    /// A job that should run and can't.
    fn broken(reason: String) -> Rc<Self> {
        Rc::new(Self { failure: RefCell::new(Some(reason)), ..Self::default() })
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
