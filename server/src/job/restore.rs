//! Reading a job's changelog back: where its sources go on, and what its tables held.

use super::changelog::{Part, PartError, decode};
use crate::shard::{Context, PartitionError};
use millrace_engine::epoch::Positions;
use millrace_record::{Offset, Scratch, SharedBatch, TopicId};
use millrace_runtime::ShardId;
use millrace_storage::{Isolation, ReadRequest};
use std::collections::VecDeque;

/// Bytes of a partition that are read at a time.
const READ_BYTES: usize = 1 << 20;
/// The longest batch of a changelog, decompressed, in bytes: ours are not compressed.
const BATCH_MAX: usize = 64 << 20;

/// Why a changelog can't be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RestoreError {
    /// The log does not give it.
    #[error("the job's changelog can't be read: {0}")]
    Partition(#[from] PartitionError),
    /// It holds something else.
    #[error("the job's changelog is damaged: {0}")]
    Part(#[from] PartError),
}

/// A partition of the changelog that is being read.
struct Cursor {
    owner: ShardId,
    partition: i32,
    next: Offset,
    is_ended: bool,
    parts: VecDeque<Part>,
}

/// Reads the committed changelog of a job, all partitions merged by epoch. Memory holds a few megabytes of each.
pub struct ChangelogReader {
    shard: Context,
    changelog: TopicId,
    cursors: Vec<Cursor>,
    scratch: Scratch,
}

impl ChangelogReader {
    /// At the start. Everything that is published by now is in it.
    pub async fn open(shard: &Context, changelog: TopicId) -> Self {
        let mut cursors = Vec::new();
        for owner in (0..shard.count()).map(ShardId) {
            let find = move |there: Context| async move { there.partitions().starts_of(changelog) };
            for (partition, next) in shard.on(owner, find).await {
                cursors.push(Cursor { owner, partition, next, is_ended: false, parts: VecDeque::new() });
            }
        }
        Self { shard: shard.clone(), changelog, cursors, scratch: Scratch::new(BATCH_MAX) }
    }

    /// The next part: parts of earlier epochs come first.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub async fn next(&mut self) -> Result<Option<Part>, RestoreError> {
        for index in 0..self.cursors.len() {
            self.fill(index).await?;
        }
        let epoch_of = |cursor: &&mut Cursor| cursor.parts.front().map(|part| part.header.id.mark.epoch);
        let ready = self.cursors.iter_mut().filter(|cursor| !cursor.parts.is_empty());
        Ok(ready.min_by_key(epoch_of).and_then(|cursor| cursor.parts.pop_front()))
    }

    async fn fill(&mut self, index: usize) -> Result<(), RestoreError> {
        let Self { shard, changelog, cursors, scratch } = self;
        let cursor = &mut cursors[index];
        while cursor.parts.is_empty() && !cursor.is_ended {
            let (changelog, partition, from) = (*changelog, cursor.partition, cursor.next);
            let read = move |there: Context| async move { read(&there, changelog, partition, from).await };
            let batches = shard.on(cursor.owner, read).await?;
            cursor.is_ended = batches.is_empty();
            for batch in &batches {
                cursor.next = batch.header().next_offset();
                cursor.parts.extend(decode(batch, scratch)?);
            }
        }
        Ok(())
    }
}

/// The next batches of a partition of this shard; none at its end.
async fn read(
    shard: &Context,
    topic: TopicId,
    partition: i32,
    offset: Offset,
) -> Result<Vec<SharedBatch>, PartitionError> {
    shard.partitions().commits().ready().await;
    let log = shard.partitions().log(topic, partition)?;
    let isolation = Isolation::ReadUncommitted;
    let request = ReadRequest { offset, max_bytes: READ_BYTES, at_least_one: true, isolation };
    while log.high_watermark() > offset {
        let read = log.read(&request).await?;
        if !read.batches.is_empty() {
            return Ok(read.batches);
        }
    }
    Ok(Vec::new())
}

/// Whether anything of a job was ever committed.
pub async fn has_state(shard: &Context, changelog: TopicId) -> bool {
    for owner in (0..shard.count()).map(ShardId) {
        let look = move |there: Context| async move {
            there.partitions().commits().ready().await;
            let partitions = there.partitions().starts_of(changelog);
            let log = |(partition, _)| there.partitions().log(changelog, partition).ok();
            partitions.into_iter().filter_map(log).any(|log| log.high_watermark() > log.start_offset())
        };
        if shard.on(owner, look).await {
            return true;
        }
    }
    false
}

/// How far a job's sources had read, and whether anything of it was committed at all.
///
/// # Errors
/// [`RestoreError`].
pub async fn positions(shard: &Context, changelog: TopicId) -> Result<(Positions, bool), RestoreError> {
    let mut reader = ChangelogReader::open(shard, changelog).await;
    let (mut positions, mut is_any) = (Positions::default(), false);
    while let Some(part) = reader.next().await? {
        is_any = true;
        positions.apply(part.header.id.mark.epoch, &part.changelog.positions);
    }
    Ok((positions, is_any))
}

impl std::fmt::Debug for ChangelogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChangelogReader of {} partitions", self.cursors.len())
    }
}
