//! Reading partitions for sources: in place if the shard owns the partition, else by reference over the ring.

use crate::shard::{Context, PartitionError};
use millrace_engine::source::{Demand, SourceBatch, SourceData};
use millrace_record::{LeaderEpoch, Offset, SharedBatch};
use millrace_storage::{Isolation, Log, ReadRequest, Watcher};

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
    let log = partitions.log(demand.topic, demand.partition)?;
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
pub async fn answer(shard: &Context, demand: Demand) -> Result<SourceData, PartitionError> {
    let owner = shard.owner(demand.topic, demand.partition);
    let read = shard.on(owner, move |there| async move { read(&there, &demand).await }).await?;
    Ok(read.answer(&demand))
}

async fn read(shard: &Context, demand: &Demand) -> Result<SourceRead, PartitionError> {
    let partitions = shard.partitions();
    let watcher = Watcher::new();
    let mut watched = false;
    loop {
        partitions.commits().ready().await;
        let log = partitions.log(demand.topic, demand.partition)?;
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
