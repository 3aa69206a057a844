//! Jobs of the server: started, restarted after a failure, stopped. On shard 0; the others ask it.
//!
//! A job's record is durable before it runs. After a start of the server every job that should run does so again, from
//! what it had committed.

use super::{
    dataflow::{Known, Prepared, reader},
    message::{AttemptFailed, DATAFLOW_RING, JOBS_MAX},
    restore::{self, RestoreError},
};
use crate::{
    cluster::{CreateTopic, Image, Job, JobState, MetadataRecord, TopicError},
    shard::Context,
};
use futures_util::future::{Either, select};
use millrace_engine::{
    epoch::{Attempt, AttemptPlan, JobId, Positions, StartError},
    key::{Placement, PlacementError},
    plan::Plan,
    registry::{Parameters, RegistryError},
    sink::TopicInfo,
    source::SplitSpec,
    worker::Deployment,
};
use millrace_record::TopicId;
use millrace_runtime::{Instant, Queue, ShardId, random_bytes, sleep, spawn_into};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::pin,
    rc::Rc,
    time::Duration,
};
use tokio::sync::Notify;
use uuid::Builder;

/// An attempt that has lived so long was no failed start: failures are counted from one again.
const HEALTHY: Duration = Duration::from_secs(60);
/// The longest wait before a job is started again.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
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
pub struct Controller(Rc<RefCell<BTreeMap<JobId, Rc<Supervised>>>>);

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
            shard.controller().resume(&shard, &name).await
        })
        .await
    }

    /// Stops a job; what it has committed stays.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn stop_job(&self, name: String) -> Result<JobId, JobError> {
        self.on(super::dataflow::CONTROLLER, move |shard| async move {
            shard.controller().stop(&shard, &name).await
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
            match shard.registry().plan(&job.name, &parameters(&job)) {
                Ok(plan) => self.supervise(shard, id, ring_places(&plan)),
                Err(error) => {
                    tracing::error!(job = job.name, %id, %error, "the job can't run in this binary");
                    // It stays as it is: the binary that has it will run it.
                    self.0.borrow_mut().insert(id, Supervised::broken(error.to_string()));
                }
            }
        }
    }

    /// What is known of a job that should run.
    #[must_use]
    pub fn supervision(&self, job: JobId) -> Supervision {
        let jobs = self.0.borrow();
        jobs.get(&job).map_or_else(Supervision::default, |supervised| Supervision {
            attempt: supervised.attempt.get(),
            restarts: supervised.restarts.get(),
            last_failure: supervised.failure.borrow().clone(),
        })
    }

    /// An attempt can't go on.
    pub fn failed(&self, shard: &Context, failed: AttemptFailed) {
        let AttemptFailed { job, attempt, reason } = failed;
        let supervised = self.0.borrow().get(&job).cloned();
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
        let parameters: Parameters = job.parameters.clone().into_iter().collect();
        let plan = shard.registry().plan(&job.name, &parameters)?;
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
        let job = find(&shard.image(), name)?;
        let id = JobId(job.id);
        if job.state == JobState::Running {
            return Err(JobError::Running(id));
        }
        let plan = shard.registry().plan(&job.name, &parameters(&job))?;
        self.admit(&plan)?;
        shard.record(MetadataRecord::JobState { id: job.id, state: JobState::Running }).await?;
        self.supervise(shard, id, ring_places(&plan));
        Ok(id)
    }

    async fn stop(&self, shard: &Context, name: &str) -> Result<JobId, JobError> {
        let job = find(&shard.image(), name)?;
        let id = JobId(job.id);
        if job.state != JobState::Running {
            return Err(JobError::NotRunning(id));
        }
        shard.record(MetadataRecord::JobState { id: job.id, state: JobState::Stopped }).await?;
        let supervised = self.0.borrow_mut().remove(&id);
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
        let jobs = self.0.borrow();
        if jobs.len() >= JOBS_MAX {
            return Err(JobError::TooMany);
        }
        let used: usize = jobs.values().map(|job| job.ring_places.get()).sum();
        let (needed, left) = (ring_places(plan), DATAFLOW_RING.saturating_sub(used));
        if needed > left { Err(JobError::NoRoom { needed, left }) } else { Ok(()) }
    }

    fn supervise(&self, shard: &Context, id: JobId, ring_places: usize) {
        let supervised = Rc::new(Supervised { ring_places: Cell::new(ring_places), ..Supervised::default() });
        self.0.borrow_mut().insert(id, Rc::clone(&supervised));
        drop(spawn_into(Queue::Control, self.clone().keep_running(shard.clone(), id, supervised)));
    }

    /// Starts a job, and starts it again when it fails, until it is stopped or fails too often.
    async fn keep_running(self, shard: Context, id: JobId, supervised: Rc<Supervised>) {
        let settings = shard.options().config.dataflow.clone();
        loop {
            let begun = Instant::now();
            match begin(&shard, id).await {
                Ok(attempt) if supervised.is_stopping.get() => {
                    return shard.epochs().end(&shard, id, attempt);
                }
                Ok(attempt) => {
                    supervised.attempt.set(Some(attempt));
                    supervised.changed.notified().await;
                }
                Err(error) => drop(supervised.failure.replace(Some(error.to_string()))),
            }
            if supervised.is_stopping.get() {
                return;
            }
            if begun.elapsed() >= HEALTHY {
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

    async fn give_up(&self, shard: &Context, id: JobId, supervised: &Supervised) {
        let reason = supervised.failure.borrow().clone().unwrap_or_default();
        tracing::error!(job = %id, reason, "the job has failed too often: it is started no more");
        let state = JobState::Failed { reason };
        if let Err(error) = shard.record(MetadataRecord::JobState { id: id.0, state }).await {
            tracing::error!(job = %id, %error, "that the job has failed can't be written");
        }
        self.0.borrow_mut().remove(&id);
    }
}

impl Supervised {
    /// A job that should run and can't.
    fn broken(reason: String) -> Rc<Self> {
        Rc::new(Self { failure: RefCell::new(Some(reason)), ..Self::default() })
    }
}

/// Begins the next attempt of a job, from what it had committed.
async fn begin(shard: &Context, id: JobId) -> Result<Attempt, JobError> {
    let job = shard.image().job(id.0).cloned().ok_or_else(|| JobError::Unknown(id.to_string()))?;
    let plan = shard.registry().plan(&job.name, &parameters(&job))?;
    make_topics(shard, &plan).await?;
    let placement = placement(&plan, &job.shards, shard.count())?;
    let (positions, is_restored) = restore::positions(shard, job.changelog).await?;
    let topics = topic_infos(shard, &plan);
    let splits = splits(shard, &plan, &placement, &positions).await;
    let mut known = Known::new();
    for split in splits.values().flatten() {
        let count = known.entry((split.source, split.topic)).or_default();
        *count = split.partition.saturating_add(1).max(*count);
    }
    for member in placement.shards() {
        let deployment = Deployment {
            job: id,
            attempt: Attempt(0),
            placement: placement.clone(),
            splits: splits.get(member).cloned().unwrap_or_default(),
            topics: topics.clone(),
            is_restored,
            is_bounded: false,
        };
        let job = job.clone();
        let known = known.clone();
        let prepare = move |there: Context| async move { prepare(&there, &job, deployment, known) };
        if shard.on(*member, prepare).await? != plan.hash() {
            return Err(JobError::PlansDiffer(*member));
        }
    }
    let mut participants: BTreeSet<ShardId> = placement.shards().iter().copied().collect();
    for info in topics.values() {
        let partitions = 0..i32::try_from(info.partitions).unwrap_or(i32::MAX);
        participants.extend(partitions.map(|partition| shard.owner(info.id, partition)));
    }
    let tasks = plan.tasks(&placement).collect();
    let attempt = AttemptPlan { plan: plan.hash(), tasks, participants, is_together: false };
    Ok(shard.epochs().start_attempt(shard, id, &attempt).await?)
}

/// Builds the plan on this shard, keeps it for the attempt that begins, and gives its hash.
fn prepare(shard: &Context, job: &Job, deployment: Deployment, known: Known) -> Result<u64, JobError> {
    let plan = shard.registry().plan(&job.name, &parameters(job))?;
    let hash = plan.hash();
    shard.dataflow().prepare(deployment.job, Prepared { plan, deployment, changelog: job.changelog, known });
    Ok(hash)
}

fn parameters(job: &Job) -> Parameters {
    job.parameters.clone().into_iter().collect()
}

fn ring_places(plan: &Plan) -> usize {
    plan.ring_frames() * RING_PER_FRAME
}

/// The shards that run a job: all, or those named that there are. A server with fewer shards than before uses those it
/// has.
fn placement(plan: &Plan, named: &[u16], count: u16) -> Result<Placement, JobError> {
    if let Some(&shard) = named.iter().find(|shard| **shard >= count) {
        return Err(JobError::Shard { shard, count });
    }
    let all = (0..count).map(ShardId);
    if named.is_empty() {
        // More shards than key groups would leave some without keys.
        return Ok(Placement::new(plan.key_groups(), all.take(usize::from(plan.key_groups().count())))?);
    }
    Ok(Placement::new(plan.key_groups(), named.iter().copied().map(ShardId))?)
}

/// Makes the topics that a job reads and writes, unless they are there.
async fn make_topics(shard: &Context, plan: &Plan) -> Result<(), JobError> {
    let sources = plan.sources().map(|(_, spec)| spec.topic.clone());
    let names: BTreeSet<String> = sources.chain(plan.topics().map(|spec| spec.topic.clone())).collect();
    for topic in names {
        if shard.image().topic(&topic).is_some() {
            continue;
        }
        if !shard.options().config.topic.auto_create {
            return Err(JobError::Topic { topic, cause: TopicError::Unknown });
        }
        let request = CreateTopic {
            name: topic.clone(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        };
        match shard.create_topic(request).await {
            Ok(_) | Err(TopicError::Exists(_)) => {}
            Err(cause) => return Err(JobError::Topic { topic, cause }),
        }
    }
    Ok(())
}

fn topic_infos(shard: &Context, plan: &Plan) -> BTreeMap<String, TopicInfo> {
    let image = shard.image();
    let topics = plan.topics().filter_map(|spec| image.topic(&spec.topic));
    let info = |topic: &crate::cluster::Topic| TopicInfo {
        id: topic.id,
        partitions: topic.partitions.unsigned_abs(),
        max_message_bytes: shard.options().batch_len_max(topic),
    };
    topics.map(|topic| (topic.name.clone(), info(topic))).collect()
}

/// Which shard reads which partitions, from where: the owner if it runs the job, else one of those that do. What was
/// never read begins at the log's start.
async fn splits(
    shard: &Context,
    plan: &Plan,
    placement: &Placement,
    positions: &Positions,
) -> BTreeMap<ShardId, Vec<SplitSpec>> {
    let mut splits = BTreeMap::<ShardId, Vec<SplitSpec>>::new();
    for (source, spec) in plan.sources() {
        let topic = shard.image().topic(&spec.topic).map(|topic| (topic.id, topic.partitions));
        let Some((topic, partitions)) = topic else { continue };
        for partition in 0..partitions {
            let owner = shard.owner(topic, partition);
            let start = match positions.get(source, topic, partition) {
                Some(position) => position.offset,
                None => {
                    shard
                        .on(owner, move |there| async move { there.partitions().start_of(topic, partition) })
                        .await
                }
            };
            let split = SplitSpec { source, topic, partition, start, until: None };
            splits.entry(reader(placement, owner, partition)).or_default().push(split);
        }
    }
    splits
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
        write!(f, "Controller of {} jobs", self.0.borrow().len())
    }
}
