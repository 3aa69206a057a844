//! How an attempt of a job begins: its plan on every shard, its topics, what it reads from where.

use super::{
    controller::JobError,
    dataflow::{Known, Prepared, reader},
    layout::fitting_plan,
    restore,
};
use crate::{
    cluster::{CreateTopic, Job, TopicError, is_internal},
    config::Durability,
    shard::Context,
};
use millrace_engine::{
    epoch::{Attempt, AttemptPlan, JobId, Positions},
    key::Placement,
    plan::Plan,
    registry::Parameters,
    sink::TopicInfo,
    source::SplitSpec,
    worker::Deployment,
};
use millrace_runtime::ShardId;
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Begins the next attempt of a job, from what it had committed.
pub(super) async fn begin(shard: &Context, id: JobId) -> Result<Attempt, JobError> {
    let job = shard.image().job(id.0).cloned().ok_or_else(|| JobError::Unknown(id.to_string()))?;
    let plan = fitting_plan(shard, &job).await?;
    make_topics(shard, &plan).await?;
    // Before the changelog is read: a commit that is published later would be in the tables, and its records be read again.
    shard.epochs().settled(id).await;
    let after = shard.epochs().last_attempt(id);
    let placement = placement(shard, &plan, &job.shards)?;
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
        let prepare = move |there: Context| async move { prepare(&there, &job, deployment, known, after) };
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
    Ok(shard.epochs().start_attempt(shard, id, attempt)?)
}

/// Builds the plan on this shard, keeps it for the attempt that begins, and gives its hash.
fn prepare(
    shard: &Context,
    job: &Job,
    deployment: Deployment,
    known: Known,
    after: Attempt,
) -> Result<u64, JobError> {
    let plan = build(shard, &job.name, &job.parameters)?;
    let hash = plan.hash();
    let changelog = job.changelog;
    shard.dataflow().prepare(deployment.job, Prepared { plan, deployment, changelog, known, after });
    Ok(hash)
}

/// Builds a plan. That is user code: if it panics, that is the job's failure and nobody else's.
pub(super) fn build(
    shard: &Context,
    name: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<Plan, JobError> {
    let parameters: Parameters = parameters.clone().into_iter().collect();
    Ok(caught(name, || shard.registry().plan(name, &parameters))??)
}

/// Runs user code that builds the job of this name.
pub(super) fn caught<T>(name: &str, code: impl FnOnce() -> T) -> Result<T, JobError> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload: Box<dyn Any + Send>| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        JobError::BuildPanicked { job: name.to_owned(), message: text.unwrap_or_default() }
    })
}

/// The shards that run a job: those named, or all. A server with fewer shards than before uses those of them that it has,
/// and all if it has none of them.
///
/// Where acknowledged records are not synced, they have to be all: what a job makes of a record is synced by the journal of the shard
/// that read it, and if that is the owner's, the record before it. Another shard's journal knows nothing of it.
pub(super) fn placement(shard: &Context, plan: &Plan, named: &[u16]) -> Result<Placement, JobError> {
    let count = shard.count();
    let mut shards: Vec<_> = named.iter().filter(|named| **named < count).copied().map(ShardId).collect();
    if shards.is_empty() {
        // More shards than key groups would leave some without keys.
        shards = (0..count).take(usize::from(plan.key_groups().count())).map(ShardId).collect();
    }
    let placement = Placement::new(plan.key_groups(), shards)?;
    let without = (0..count).map(ShardId).find(|shard| placement.range_of(*shard).is_none());
    if let (Durability::Os, Some(without)) = (shard.options().config.topic.durability, without) {
        return Err(JobError::UnsyncedInput { without });
    }
    Ok(placement)
}

/// Makes the topics that a job reads and writes, unless they are there.
pub(super) async fn make_topics(shard: &Context, plan: &Plan) -> Result<(), JobError> {
    let sources = plan.sources().map(|(_, spec)| spec.topic.clone());
    let names: BTreeSet<String> = sources.chain(plan.topics().map(|spec| spec.topic.clone())).collect();
    for topic in names {
        // What it would write there is not what the server reads there.
        if is_internal(&topic) {
            return Err(JobError::Topic { cause: TopicError::Internal(topic.clone()), topic });
        }
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
/// never read begins at the log's start, and so does what was deleted before it was read.
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
        let mut starts = BTreeMap::new();
        for owner in (0..shard.count()).map(ShardId) {
            let find = move |there: Context| async move { there.partitions().starts_of(topic) };
            starts.extend(shard.on(owner, find).await);
        }
        for partition in 0..partitions {
            let owner = shard.owner(topic, partition);
            let log_start = starts.get(&partition).copied().unwrap_or(0);
            let start = positions
                .get(source, topic, partition)
                .map_or(log_start, |position| position.offset.max(log_start));
            let split = SplitSpec { source, topic, partition, start, until: None };
            splits.entry(reader(placement, owner, partition)).or_default().push(split);
        }
    }
    splits
}
