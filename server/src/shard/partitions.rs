//! The partitions that this shard owns.

use super::ServerOptions;
use crate::{cluster::Topic, job::Commits};
use bytes::Bytes;
use millrace_net::wire::RecordSet;
use millrace_record::{
    BatchMeta, Codec, Compressor, Encoding, Headers, KafkaBatchBuilder, LeaderEpoch, Offset, PushError,
    RecordView, Scratch, SharedBatch, Timestamp, TopicId, convert,
};
use millrace_runtime::{sleep, unix_millis};
use millrace_storage::{
    AppendError as LogAppendError, Class, CreateError, CutError, FatalError, Isolation, JournalStats, Log,
    LogKey, LogKind, LogOptions, LogStartError, ReadError as LogReadError, ReadRequest, Store, Watcher,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    future::{Future, pending},
    time::Duration,
};

/// Bytes read at a time when a partition of ours is read whole.
const REPLAY_BYTES: usize = 1 << 20;

/// The longest batch of records of ours, in bytes: they are bounded at the door, and this is what a batch can hold at all.
const OWN_BATCH_MAX: usize = 64 << 20;

/// Length of a staged log's segments, in bytes: space is given back by whole segments, and soon.
const STAGED_SEGMENT_BYTES: u64 = 16 << 20;

/// How often a shard that stops looks whether the last log is made or removed.
const CLOSE_RETRY: Duration = Duration::from_millis(1);

/// Why a partition can't be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PartitionError {
    /// This shard does not own it, or it is gone.
    #[error("this shard does not host the partition")]
    NotHosted,
    /// The client knows a newer leader epoch than we are in.
    #[error("leader epoch {asked} is newer than ours, {present}")]
    UnknownLeaderEpoch {
        /// What the client said.
        asked: LeaderEpoch,
        /// The partition's.
        present: LeaderEpoch,
    },
    /// The client knows an older leader epoch than we are in.
    #[error("leader epoch {asked} is older than ours, {present}")]
    FencedLeaderEpoch {
        /// What the client said.
        asked: LeaderEpoch,
        /// The partition's.
        present: LeaderEpoch,
    },
    /// An append was refused.
    #[error(transparent)]
    Append(#[from] LogAppendError),
    /// A read failed.
    #[error(transparent)]
    Read(#[from] LogReadError),
    /// The start can't be moved there.
    #[error(transparent)]
    Start(#[from] LogStartError),
    /// The server is about to end because of an earlier fault.
    #[error("the log has failed")]
    Failed,
    /// A record of ours is longer than a batch may be.
    #[error(transparent)]
    Record(#[from] PushError),
    /// Its log can't be made.
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// What a producer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// The time that the log gave the records, if the topic's timestamps are the log's.
    pub append_time: Option<Timestamp>,
    /// The log's first offset.
    pub log_start_offset: Offset,
}

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

/// The partitions of a shard.
pub struct Partitions {
    /// Taken when the shard stops.
    store: RefCell<Option<Store>>,
    hosted: RefCell<BTreeMap<(TopicId, i32), Hosted>>,
    commits: Commits,
}

/// A partition, and what of its topic's settings matters on the way in.
#[derive(Clone)]
struct Hosted {
    log: Log,
    log_append_time: bool,
}

/// How logs behave in which output is staged.
pub(super) fn staged_options() -> LogOptions {
    LogOptions { class: Class::Delta, segment_bytes: STAGED_SEGMENT_BYTES, ..LogOptions::default() }
}

/// How changelogs of jobs behave.
pub(super) fn changelog_options() -> LogOptions {
    LogOptions { class: Class::Delta, ..LogOptions::default() }
}

impl Partitions {
    /// Over a shard's store; none is hosted yet.
    #[must_use]
    pub fn new(store: Store, commits: Commits) -> Self {
        Self { store: RefCell::new(Some(store)), hosted: RefCell::default(), commits }
    }

    /// What decides which committed output readers see here.
    #[must_use]
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// All logs of this shard, staged ones too.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.store.borrow().as_ref().map(Store::logs).unwrap_or_default()
    }

    /// What the journal has done, and how many bytes tails and caches hold; `None` once the store is closed.
    #[must_use]
    pub fn store_metrics(&self) -> Option<(JournalStats, u64)> {
        let store = self.store.borrow();
        let store = store.as_ref()?;
        Some((store.journal_stats(), store.memory_bytes() as u64))
    }

    /// A log of this shard, if there is one of this name.
    #[must_use]
    pub fn existing(&self, key: LogKey) -> Option<Log> {
        self.store.borrow().as_ref().and_then(|store| store.log(key))
    }

    /// Where uncommitted output for a partition of this shard is staged.
    ///
    /// # Errors
    /// [`PartitionError::NotHosted`] if the partition is not of this shard, [`PartitionError::Create`].
    pub async fn staged_log(&self, topic: TopicId, partition: i32) -> Result<Log, PartitionError> {
        self.hosted(topic, partition)?;
        self.log_of(LogKey::staged(topic, partition), staged_options()).await
    }

    /// The log of this name, made if there is none.
    async fn log_of(&self, key: LogKey, options: LogOptions) -> Result<Log, PartitionError> {
        if let Some(log) = self.existing(key) {
            return Ok(log);
        }
        match self.create(key, options).await {
            // Somebody else has made it meanwhile.
            Err(CreateError::Exists(_)) => self.existing(key).ok_or(PartitionError::NotHosted),
            created => Ok(created?),
        }
    }

    /// Hosts a partition of a job's changelog, and makes its log if it is new.
    ///
    /// # Errors
    /// [`PartitionError::Create`].
    pub async fn open_changelog(&self, topic: TopicId, partition: i32) -> Result<(), PartitionError> {
        let log = self.log_of(LogKey::data(topic, partition), changelog_options()).await?;
        self.hosted.borrow_mut().insert((topic, partition), Hosted { log, log_append_time: false });
        Ok(())
    }

    /// The partitions of a topic that have a log here, hosted or not, each with its first offset.
    #[must_use]
    pub fn starts_of(&self, topic: TopicId) -> Vec<(i32, Offset)> {
        let logs = self.logs().into_iter();
        let own = logs.filter(|log| log.key().topic == topic && log.key().kind == LogKind::Data);
        own.map(|log| (log.key().partition, log.start_offset())).collect()
    }

    /// Hosts a partition of `topic` with the topic's present settings, and makes its log if it is new. Tells whether it
    /// was not hosted before.
    ///
    /// # Errors
    /// [`CreateError`].
    pub async fn open(
        &self,
        topic: &Topic,
        partition: i32,
        options: &ServerOptions,
    ) -> Result<bool, CreateError> {
        let key = LogKey::data(topic.id, partition);
        let log_options = options.log_options(topic);
        let log_append_time =
            topic.configs.get("message.timestamp.type").is_some_and(|value| value == "LogAppendTime");
        let known = self.store.borrow().as_ref().and_then(|store| store.log(key));
        let log = match known {
            Some(log) => {
                log.set_options(log_options);
                log
            }
            None => self.create(key, log_options).await?,
        };
        let hosted = Hosted { log, log_append_time };
        Ok(self.hosted.borrow_mut().insert((topic.id, partition), hosted).is_none())
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "the store is taken out only when nobody holds it")]
    async fn create(&self, key: LogKey, options: LogOptions) -> Result<Log, CreateError> {
        let store = self.store.borrow();
        // Who asks a shard that has stopped is about to end with it.
        let Some(store) = store.as_ref() else { return pending().await };
        store.create(key, options).await
    }

    /// Removes this shard's partitions of a topic, with their files.
    pub async fn remove_topic(&self, topic: TopicId) {
        let partitions: Vec<i32> = self
            .hosted
            .borrow()
            .keys()
            .filter(|(id, _)| *id == topic)
            .map(|(_, partition)| *partition)
            .collect();
        for partition in partitions {
            self.hosted.borrow_mut().remove(&(topic, partition));
            if let Err(error) = self.remove(topic, partition).await {
                // The topic's end is durable in the metadata: the next start sets aside what is left of it.
                tracing::error!(%topic, partition, %error, "cannot remove a partition");
            }
        }
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "the store is taken out only when nobody holds it")]
    async fn remove(&self, topic: TopicId, partition: i32) -> Result<(), CutError> {
        let store = self.store.borrow();
        let Some(store) = store.as_ref() else { return Err(CutError::Closed) };
        store.remove(topic, partition).await
    }

    /// Brings everything into the segments and stops; nothing is hosted any more.
    ///
    /// # Errors
    /// If the store has failed, or fails on the way.
    pub async fn close(&self) -> Result<(), FatalError> {
        self.hosted.borrow_mut().clear();
        let store = loop {
            // A job may be about to make the log that it stages in.
            if let Ok(mut store) = self.store.try_borrow_mut() {
                break store.take();
            }
            sleep(CLOSE_RETRY).await;
        };
        match store {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    }

    /// Waits until the store fails for good: normally for ever.
    pub async fn failed(&self) -> FatalError {
        let fatal = self.store.borrow().as_ref().map(Store::fatal);
        match fatal {
            Some(fatal) => fatal.raised().await,
            None => pending().await,
        }
    }

    /// The partitions with their logs, in order.
    #[must_use]
    pub fn all(&self) -> Vec<((TopicId, i32), Log)> {
        self.hosted.borrow().iter().map(|(place, hosted)| (*place, hosted.log.clone())).collect()
    }

    fn hosted(&self, topic: TopicId, partition: i32) -> Result<Hosted, PartitionError> {
        self.hosted.borrow().get(&(topic, partition)).cloned().ok_or(PartitionError::NotHosted)
    }

    /// The partition's log.
    ///
    /// # Errors
    /// [`PartitionError::NotHosted`].
    pub fn log(&self, topic: TopicId, partition: i32) -> Result<Log, PartitionError> {
        self.hosted(topic, partition).map(|hosted| hosted.log)
    }

    /// Appends a batch that was checked where it was received. Batches of one partition are appended in the order in
    /// which the futures are first polled; each is ready when its batch is durable.
    pub fn append(
        &self,
        topic: TopicId,
        partition: i32,
        batch: SharedBatch,
    ) -> impl Future<Output = Result<Appended, PartitionError>> + use<> {
        let hosted = self.hosted(topic, partition);
        async move {
            let Hosted { log, log_append_time } = hosted?;
            let append_time = log_append_time.then(unix_millis);
            let appended = log.append(&batch.as_batch(), append_time).await?;
            let base_offset = appended.base_offset;
            // The received bytes go back as soon as they are copied, however long the disk takes.
            drop(batch);
            appended.durable.await.map_err(|_| PartitionError::Failed)?;
            Ok(Appended { base_offset, append_time, log_start_offset: log.start_offset() })
        }
    }

    /// Appends records of ours as one batch; gives the first one's offset when they are durable.
    pub fn append_records(
        &self,
        topic: TopicId,
        partition: i32,
        records: &[(Bytes, Option<Bytes>)],
    ) -> impl Future<Output = Result<Offset, PartitionError>> + use<> {
        let batch = own_batch(records);
        let appending = batch.map(|batch| self.append(topic, partition, batch));
        async move { appending?.await.map(|appended| appended.base_offset) }
    }

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

    /// Raises the log's start to `offset` (-1: to what is durable), and gives the start there is then.
    ///
    /// # Errors
    /// [`PartitionError`].
    pub async fn delete_records(
        &self,
        topic: TopicId,
        partition: i32,
        offset: Offset,
    ) -> Result<Offset, PartitionError> {
        let log = self.log(topic, partition)?;
        let offset = if offset == -1 { log.high_watermark() } else { offset };
        log.advance_start(offset).await?;
        Ok(log.start_offset())
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

    /// Hands every record of a partition to `each`, from its start to what is durable.
    ///
    /// # Errors
    /// That it can't be read, or what `each` gives.
    pub async fn for_each_record<E>(
        &self,
        topic: TopicId,
        partition: i32,
        mut each: E,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        E: FnMut(&RecordView<'_>) -> Result<(), Box<dyn std::error::Error>>,
    {
        let log = self.log(topic, partition)?;
        let mut scratch = Scratch::new(OWN_BATCH_MAX);
        let mut offset = log.start_offset();
        while offset < log.high_watermark() {
            let request = ReadRequest {
                offset,
                max_bytes: REPLAY_BYTES,
                at_least_one: true,
                isolation: Isolation::ReadUncommitted,
            };
            let read = log.read(&request).await?;
            for batch in &read.batches {
                for record in batch.as_batch().records(&mut scratch)? {
                    let record = record?;
                    if record.offset >= offset {
                        each(&record)?;
                    }
                }
                offset = offset.max(batch.header().next_offset());
            }
        }
        Ok(())
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

/// Records of ours as a batch.
fn own_batch(records: &[(Bytes, Option<Bytes>)]) -> Result<SharedBatch, PartitionError> {
    let mut builder = KafkaBatchBuilder::new(OWN_BATCH_MAX);
    let now = unix_millis();
    for (key, value) in records {
        builder.push(now, Some(key), value.as_deref(), Headers::EMPTY)?;
    }
    let mut out = Vec::new();
    let header = builder.finish(&BatchMeta::PLAIN, Codec::None, &mut Compressor::new(), &mut out);
    let header = header.expect("we append at least one record");
    Ok(SharedBatch::new(header, Bytes::from(out)).expect("a batch just built is whole"))
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} partitions", self.hosted.borrow().len())
    }
}
