//! The partitions that this shard owns: their logs are made, hosted, appended to and removed here.

mod own;
mod read;

pub use read::{FoundOffset, OffsetAt, ReadFrom, ReadOutcome};

use super::ServerOptions;
use crate::{cluster::Topic, job::Commits};
use millrace_record::{LeaderEpoch, Offset, PushError, SharedBatch, Timestamp, TopicId};
use millrace_runtime::{sleep, unix_millis};
use millrace_storage::{
    AppendError as LogAppendError, Class, CreateError, CutError, FatalError, IoError, JournalStats, Log,
    LogKey, LogKind, LogOptions, LogStartError, ReadError as LogReadError, Store,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    future::{Future, pending},
    rc::Rc,
    time::Duration,
};

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

/// The partitions of a shard.
pub struct Partitions {
    /// Taken when the shard stops.
    store: RefCell<Option<Rc<Store>>>,
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
        Self { store: RefCell::new(Some(Rc::new(store))), hosted: RefCell::default(), commits }
    }

    /// What decides which committed output readers see here.
    #[must_use]
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// All logs of this shard, staged ones too.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.store.borrow().as_ref().map(|store| store.logs()).unwrap_or_default()
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

    /// The store, for as long as the caller has to do with it; `None` once it is closed. [`Self::close`] waits for it.
    fn store(&self) -> Option<Rc<Store>> {
        self.store.borrow().clone()
    }

    async fn create(&self, key: LogKey, options: LogOptions) -> Result<Log, CreateError> {
        // Who asks a shard that has stopped is about to end with it.
        let Some(store) = self.store() else { return pending().await };
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

    async fn remove(&self, topic: TopicId, partition: i32) -> Result<(), CutError> {
        let Some(store) = self.store() else { return Err(CutError::Closed) };
        store.remove(topic, partition).await
    }

    /// Brings everything into the segments and stops; nothing is hosted any more.
    ///
    /// # Errors
    /// If the store has failed, or fails on the way.
    pub async fn close(&self) -> Result<(), FatalError> {
        self.hosted.borrow_mut().clear();
        loop {
            let Some(store) = self.store.take() else { return Ok(()) };
            match Rc::try_unwrap(store) {
                Ok(store) => return store.close().await,
                // A job may be about to make the log that it stages in.
                Err(in_use) => drop(self.store.replace(Some(in_use))),
            }
            sleep(CLOSE_RETRY).await;
        }
    }

    /// Takes the space that is kept for a full disk, as far as there is any.
    ///
    /// # Errors
    /// The operating system's, other than that the disk is full.
    pub async fn restore_reserve(&self) -> Result<(), IoError> {
        match self.store() {
            Some(store) => store.restore_reserve().await,
            None => Ok(()),
        }
    }

    /// Waits until the store fails for good: normally for ever.
    pub async fn failed(&self) -> FatalError {
        let fatal = self.store.borrow().as_ref().map(|store| store.fatal());
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
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} partitions", self.hosted.borrow().len())
    }
}
