//! What clients read of a shard's partitions. Nothing is answered before what is committed is applied, see
//! [`Commits::ready`](crate::job::Commits::ready).

use super::{PartitionError, Partitions};
use bytes::Bytes;
use millrace_net::wire::RecordSet;
use millrace_record::{Encoding, LeaderEpoch, Offset, SharedBatch, Timestamp, TopicId, convert};
use millrace_storage::{Isolation, Log, ReadRequest, Watcher};

/// What a reader wants of a partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadFrom {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub offset: Offset,
    /// Bytes of batches at most.
    pub bytes_max: usize,
    /// The leader epoch that the reader takes to be ours; -1 if it does not say.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that it has; -1 if it does not say.
    pub last_fetched_epoch: LeaderEpoch,
}

/// What a reader gets.
#[derive(Clone, Debug, Default)]
pub struct ReadOutcome {
    /// Why there is nothing.
    pub error: Option<PartitionError>,
    /// End of what is durable; -1 if unknown.
    pub high_watermark: Offset,
    /// End of what readers of committed records see; -1 if unknown.
    pub last_stable_offset: Offset,
    /// First offset; -1 if unknown.
    pub log_start_offset: Offset,
    /// Where the reader's log and ours part: epoch and end offset.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// The batches, as a Kafka client reads them.
    pub records: RecordSet,
}

impl ReadOutcome {
    /// Up to where such a reader sees.
    #[must_use]
    pub fn visible_end(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable_offset,
        }
    }

    fn failed(error: PartitionError) -> Self {
        Self {
            error: Some(error),
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            ..Self::default()
        }
    }
}

/// An offset that is asked for by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first.
    Start,
    /// Behind the last that such a reader sees.
    End(Isolation),
    /// Of the record with the largest timestamp.
    MaxTimestamp,
    /// Of the first record that is not older.
    Timestamp(Timestamp),
}

/// An offset that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset; -1 if no record fits.
    pub offset: Offset,
    /// The record's timestamp; -1 where none was asked for.
    pub timestamp: Timestamp,
    /// The leader epoch that wrote it; -1 if no record fits.
    pub leader_epoch: LeaderEpoch,
}

impl Partitions {
    /// Reads batches, as a Kafka client is sent them.
    pub async fn read(
        &self,
        from: &ReadFrom,
        bytes_max: usize,
        at_least_one: bool,
        isolation: Isolation,
    ) -> ReadOutcome {
        match self.try_read(from, bytes_max, at_least_one, isolation).await {
            Ok(outcome) => outcome,
            Err(error) => ReadOutcome::failed(error),
        }
    }

    async fn try_read(
        &self,
        from: &ReadFrom,
        bytes_max: usize,
        at_least_one: bool,
        isolation: Isolation,
    ) -> Result<ReadOutcome, PartitionError> {
        self.commits.ready().await;
        let log = self.log(from.topic, from.partition)?;
        check_epoch(&log, from.current_leader_epoch)?;
        if let Some(diverging) = diverging(&log, from) {
            return Ok(ReadOutcome {
                diverging: Some(diverging),
                high_watermark: log.high_watermark(),
                last_stable_offset: log.last_stable_offset(),
                log_start_offset: log.start_offset(),
                ..ReadOutcome::default()
            });
        }
        let request = ReadRequest {
            offset: from.offset,
            max_bytes: from.bytes_max.min(bytes_max),
            at_least_one,
            isolation,
        };
        let read = log.read(&request).await?;
        let mut records = RecordSet::new();
        for batch in &read.batches {
            records.push(for_kafka(batch)?);
        }
        Ok(ReadOutcome {
            error: None,
            high_watermark: read.high_watermark,
            last_stable_offset: read.last_stable_offset,
            log_start_offset: read.start_offset,
            diverging: None,
            records,
        })
    }

    /// Looks an offset up.
    ///
    /// # Errors
    /// [`PartitionError`].
    pub async fn list_offset(
        &self,
        topic: TopicId,
        partition: i32,
        at: OffsetAt,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<FoundOffset, PartitionError> {
        self.commits.ready().await;
        let log = self.log(topic, partition)?;
        check_epoch(&log, current_leader_epoch)?;
        let leader_epoch = log.leader_epoch();
        let isolation = Isolation::ReadUncommitted;
        let found = match at {
            OffsetAt::Start => {
                return Ok(FoundOffset { offset: log.start_offset(), timestamp: -1, leader_epoch });
            }
            OffsetAt::End(isolation) => {
                let offset = visible_end(&log, isolation);
                return Ok(FoundOffset { offset, timestamp: -1, leader_epoch });
            }
            OffsetAt::MaxTimestamp => log.max_timestamp(isolation).await?,
            OffsetAt::Timestamp(timestamp) => log.offset_for_timestamp(timestamp, isolation).await?,
        };
        Ok(found.map_or(FoundOffset { offset: -1, timestamp: -1, leader_epoch: -1 }, |found| FoundOffset {
            offset: found.offset,
            timestamp: found.timestamp,
            leader_epoch: found.leader_epoch,
        }))
    }

    /// The largest epoch up to `epoch` and where it ended; `None` if `epoch` is newer than all.
    ///
    /// # Errors
    /// [`PartitionError`].
    pub async fn epoch_end(
        &self,
        topic: TopicId,
        partition: i32,
        current_leader_epoch: LeaderEpoch,
        epoch: LeaderEpoch,
    ) -> Result<Option<(LeaderEpoch, Offset)>, PartitionError> {
        self.commits.ready().await;
        let log = self.log(topic, partition)?;
        check_epoch(&log, current_leader_epoch)?;
        if epoch < 0 {
            return Ok(None);
        }
        if epoch == log.leader_epoch() {
            return Ok(Some((epoch, log.end_offset())));
        }
        Ok(log.end_offset_for_leader_epoch(epoch))
    }

    /// Waits until one of these partitions shows such a reader more than it has seen, or is gone.
    pub async fn advanced(&self, seen: Vec<(TopicId, i32, Offset)>, isolation: Isolation) {
        let watcher = Watcher::new();
        let mut logs = Vec::with_capacity(seen.len());
        for (topic, partition, end) in seen {
            let Ok(log) = self.log(topic, partition) else { return };
            watcher.watch(&log);
            logs.push((log, end));
        }
        let has_more = |(log, end): &(Log, Offset)| visible_end(log, isolation) > *end;
        while !logs.iter().any(has_more) {
            watcher.advanced().await;
        }
    }
}

/// Up to where such a reader sees.
fn visible_end(log: &Log, isolation: Isolation) -> Offset {
    match isolation {
        Isolation::ReadUncommitted => log.high_watermark(),
        Isolation::ReadCommitted => log.last_stable_offset(),
    }
}

/// That a client's idea of our leader epoch is ours.
fn check_epoch(log: &Log, asked: LeaderEpoch) -> Result<(), PartitionError> {
    let present = log.leader_epoch();
    match asked {
        -1 => Ok(()),
        asked if asked < present => Err(PartitionError::FencedLeaderEpoch { asked, present }),
        asked if asked > present => Err(PartitionError::UnknownLeaderEpoch { asked, present }),
        _ => Ok(()),
    }
}

/// Where the reader's log parts from ours, if it went on in an epoch further than we did.
fn diverging(log: &Log, from: &ReadFrom) -> Option<(LeaderEpoch, Offset)> {
    if from.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end) = log.end_offset_for_leader_epoch(from.last_fetched_epoch)?;
    (epoch < from.last_fetched_epoch || end < from.offset).then_some((epoch, end))
}

/// A batch's bytes for a Kafka client: those that a producer sent, or an archived batch encoded, always to the same.
fn for_kafka(batch: &SharedBatch) -> Result<Bytes, PartitionError> {
    if batch.header().encoding == Encoding::Kafka {
        return Ok(batch.payload().clone());
    }
    let mut out = Vec::with_capacity(batch.header().kafka_len as usize);
    convert::to_kafka(&batch.as_batch(), &mut out).map_err(|_| PartitionError::Failed)?;
    Ok(Bytes::from(out))
}
