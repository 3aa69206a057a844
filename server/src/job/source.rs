//! Reading partitions for sources: in place if the shard owns the partition, else by reference over the ring.

use crate::shard::{CALL_CREDITS, Context, PartitionError};
use millrace_engine::source::{Demand, SourceBatch, SourceData};
use millrace_record::{LeaderEpoch, Offset, SharedBatch};
use millrace_runtime::{ShardId, sleep, timeout};
use millrace_storage::{Isolation, Log, ReadRequest, Watcher};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Reads that may wait at another shard at a time. Each holds one of the calls that this shard may have out there, and
/// those are for all that it asks.
const WAITING_MAX: usize = CALL_CREDITS / 4;
/// How long such a read waits for records before it comes back and asks again.
const WAIT: Duration = Duration::from_secs(1);
/// How long while others want its place.
const WAIT_CONTENDED: Duration = Duration::from_millis(20);
/// How often a shard looks whether it has a partition that it should have: it is being told of it.
const HOSTED_RETRY: Duration = Duration::from_millis(5);

/// The places for reads that wait at other shards.
#[derive(Debug)]
pub struct Places(Vec<Semaphore>);

impl Places {
    /// For a shard's reads.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        Self((0..shards).map(|_| Semaphore::new(WAITING_MAX)).collect())
    }

    fn of(&self, shard: ShardId) -> &Semaphore {
        &self.0[shard.index()]
    }
}

/// What was read of a partition.
#[derive(Debug)]
pub struct SourceRead {
    batches: Vec<SharedBatch>,
    leader_epoch: LeaderEpoch,
    next: Offset,
    high_watermark: Offset,
}

impl SourceRead {
    /// The answer to `demand`.
    fn answer(self, demand: &Demand) -> SourceData {
        SourceData {
            job: demand.job,
            attempt: demand.attempt,
            source: demand.source,
            topic: demand.topic,
            partition: demand.partition,
            batches: self.batches.into_iter().map(SourceBatch::new).collect(),
            leader_epoch: self.leader_epoch,
            next: self.next,
            high_watermark: self.high_watermark,
        }
    }
}

/// The answer to a demand for a partition of this shard, if nothing need be waited for.
///
/// # Errors
/// [`PartitionError`]; the attempt can't go on then.
pub fn answer_now(shard: &Context, demand: &Demand) -> Result<Option<SourceData>, PartitionError> {
    let partitions = shard.partitions();
    if shard.owner(demand.topic, demand.partition) != shard.id() || !partitions.commits().is_ready() {
        return Ok(None);
    }
    let Ok(log) = partitions.log(demand.topic, demand.partition) else { return Ok(None) };
    if demand.from >= log.last_stable_offset() {
        return Ok(None);
    }
    let Some(read) = log.read_now(&request(demand))? else { return Ok(None) };
    Ok(read_of(&log, demand, read.batches, read.last_stable_offset).map(|read| read.answer(demand)))
}

/// The answer to a demand, as soon as there is a record.
///
/// # Errors
/// [`PartitionError`]; the attempt can't go on then.
pub async fn answer(shard: &Context, places: &Places, demand: Demand) -> Result<SourceData, PartitionError> {
    let owner = shard.owner(demand.topic, demand.partition);
    if owner == shard.id() {
        return Ok(read(shard, &demand).await?.answer(&demand));
    }
    let places = places.of(owner);
    loop {
        let _place = places.acquire().await.expect("places are never closed");
        let wait = if places.available_permits() > 0 { WAIT } else { WAIT_CONTENDED };
        let read = shard.on(owner, move |there| async move { timeout(wait, read(&there, &demand)).await });
        if let Ok(read) = read.await {
            return Ok(read?.answer(&demand));
        }
    }
}

async fn read(shard: &Context, demand: &Demand) -> Result<SourceRead, PartitionError> {
    let partitions = shard.partitions();
    let watcher = Watcher::new();
    let mut watched = false;
    loop {
        partitions.commits().ready().await;
        let log = match partitions.log(demand.topic, demand.partition) {
            Err(PartitionError::NotHosted) if shard.image().topic_by_id(demand.topic).is_some() => {
                sleep(HOSTED_RETRY).await;
                continue;
            }
            log => log?,
        };
        if demand.from >= log.last_stable_offset() {
            if !std::mem::replace(&mut watched, true) {
                watcher.watch(&log);
                continue;
            }
            watcher.advanced().await;
            continue;
        }
        let read = log.read(&request(demand)).await?;
        if let Some(read) = read_of(&log, demand, read.batches, read.last_stable_offset) {
            return Ok(read);
        }
    }
}

const fn request(demand: &Demand) -> ReadRequest {
    ReadRequest {
        offset: demand.from,
        max_bytes: demand.max_bytes,
        at_least_one: true,
        isolation: Isolation::ReadCommitted,
    }
}

fn read_of(log: &Log, demand: &Demand, batches: Vec<SharedBatch>, end: Offset) -> Option<SourceRead> {
    let next = batches.last()?.header().next_offset();
    Some(SourceRead {
        batches,
        leader_epoch: log.leader_epoch(),
        next: next.max(demand.from),
        high_watermark: end,
    })
}
