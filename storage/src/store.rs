//! A shard's store: its logs and its journal.

use crate::{
    epochs::EpochTable,
    error::IoError,
    fatal::{Fatal, FatalError},
    journal::{
        Journal, JournalPlan, JournalStats, checkpoint_entry,
        entry::{Checkpoint, Place, SpliceMark},
    },
    key::{LogKey, LogKind},
    log::{CutError, Log, LogInner},
    options::{LogOptions, StoreOptions},
    recovery::{LogState, ShardPart},
    reserve::Reserve,
    shared::Shared,
};
use millrace_record::{PartitionIndex, TopicId};
use millrace_runtime::{JoinHandle, Queue, sleep, spawn, spawn_into};
use std::{cell::RefCell, collections::BTreeMap, fmt, rc::Rc, time::Duration};

/// How long a start that found no space for its journal waits before it looks again.
const START_RETRY: Duration = Duration::from_millis(500);

/// The logs of one shard. Dropping it without [`Store::close`] is like a crash, only milder.
pub struct Store {
    shared: Rc<Shared>,
    logs: Rc<RefCell<BTreeMap<LogKey, Rc<LogInner>>>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Proof that a part of what was recovered has a journal of its own.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    pub(crate) generation: u64,
    pub(crate) logs: usize,
}

/// Why a store does not open.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A write or sync failed.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// Why a log can't be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// It is there already.
    #[error("log {0} exists")]
    Exists(LogKey),
    /// The journal could not hold the checkpoints of so many logs. Longer journal files can.
    #[error("{logs} logs are as many as this shard's journal can keep track of")]
    TooMany {
        /// How many there are.
        logs: usize,
    },
    /// The store has failed.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

impl Store {
    /// Opens a shard's part of what was recovered, under a new journal. `options_of` tells how each log behaves.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        options: StoreOptions,
        part: ShardPart,
        options_of: impl Fn(LogKey) -> LogOptions,
    ) -> Result<(Self, Opened), OpenError> {
        let ShardPart { dirs, generation, nth, logs } = part;
        let fatal = Fatal::default();
        let lens = logs.iter().map(|log| Checkpoint::entry_len(log.epochs.len()));
        let journals = dirs.for_journal(nth);
        let plan = JournalPlan::make(dirs.dir(journals).journals(), generation, lens, &options).await?;
        let reserve = Reserve::make(&dirs, &plan.id, &options, journals, plan.len_min()).await?;
        let journal = make_journal(&plan, &reserve, &options, &fatal).await?;
        reserve.restore_all().await?;
        let shared = Rc::new(Shared::new(options, dirs, fatal, Rc::clone(&journal), reserve));
        let opened = Opened { generation, logs: logs.len() };
        let logs: BTreeMap<_, _> = logs
            .into_iter()
            .map(|log| (log.key, LogInner::new(&shared, log.clone(), options_of(log.key))))
            .collect();
        let logs = Rc::new(RefCell::new(logs));
        let tasks = vec![
            spawn(Rc::clone(&journal).write()),
            spawn_into(Queue::Background, Rc::clone(&journal).keep()),
            spawn(on_failure(Rc::clone(&shared), Rc::clone(&logs))),
        ];
        let store = Self { shared, logs, tasks };
        store.write_head().await?;
        Ok((store, opened))
    }

    /// Journals a checkpoint of every log: from now on the old journals are not needed for them.
    async fn write_head(&self) -> Result<(), FatalError> {
        let journal = &self.shared.journal;
        let logs: Vec<_> = self.logs.borrow().values().cloned().collect();
        for log in &logs {
            let admitted = journal.admit_log(log.checkpoint_len());
            debug_assert!(admitted, "the journal's files were made long enough");
            journal.push_maintenance(checkpoint_entry(log, log.present_checkpoint(), &log.known));
        }
        for log in &logs {
            journal.wait_for(&log.known).await?;
        }
        Ok(())
    }

    /// The log of this name, if this shard has it.
    #[must_use]
    pub fn log(&self, key: LogKey) -> Option<Log> {
        self.logs.borrow().get(&key).cloned().map(Log)
    }

    /// All logs, in order of their names.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.logs.borrow().values().cloned().map(Log).collect()
    }

    /// Makes an empty log. The server has made the topic durable in its metadata before; the log itself is on disk with
    /// its first append.
    ///
    /// # Errors
    /// [`CreateError`].
    pub async fn create(&self, key: LogKey, options: LogOptions) -> Result<Log, CreateError> {
        let journal = &self.shared.journal;
        while !journal.has_room(0) {
            journal.wait_for_room().await?;
        }
        self.shared.fatal.check()?;
        let mut logs = self.logs.borrow_mut();
        if logs.contains_key(&key) {
            return Err(CreateError::Exists(key));
        }
        if !journal.admit_log(Checkpoint::entry_len(0)) {
            return Err(CreateError::TooMany { logs: logs.len() });
        }
        let state = LogState {
            key,
            dir: self.dir_for(key, &logs),
            start: 0,
            end: 0,
            place: Place { segment: 0, position: 0 },
            spliced: SpliceMark::default(),
            epochs: EpochTable::default(),
            leader_epoch: 0,
            is_new: true,
        };
        self.shared.reserve.expect(journal.next_len_min());
        let log = LogInner::new(&self.shared, state, options);
        journal.push_maintenance(checkpoint_entry(&log, log.present_checkpoint(), &log.known));
        logs.insert(key, Rc::clone(&log));
        Ok(Log(log))
    }

    /// A partition's two logs lie together; otherwise the directory with the fewest logs of this shard gets the next.
    fn dir_for(&self, key: LogKey, logs: &BTreeMap<LogKey, Rc<LogInner>>) -> usize {
        let siblings = [LogKind::Data, LogKind::Staged].map(|kind| key.with_kind(kind));
        if let Some(sibling) = siblings.iter().find_map(|sibling| logs.get(sibling)) {
            return sibling.dir();
        }
        let mut counts = vec![0; self.shared.dirs.partition_dirs()];
        logs.values().for_each(|log| counts[log.dir()] += 1);
        (0..counts.len()).min_by_key(|index| counts[*index]).unwrap_or(0)
    }

    /// Removes a partition: its log, what is staged for it, and their files. That they are gone is durable when this
    /// returns. The server has made the topic's end durable in its metadata before.
    ///
    /// # Errors
    /// [`CutError`].
    pub async fn remove(&self, topic: TopicId, partition: PartitionIndex) -> Result<(), CutError> {
        // The partition goes first: what was spliced onto it may be needed by recovery as long as it is there.
        for key in [LogKey::data(topic, partition), LogKey::staged(topic, partition)] {
            let log = self.logs.borrow().get(&key).cloned();
            if let Some(log) = log {
                log.remove().await?;
                self.logs.borrow_mut().remove(&key);
                log.remove_partition_folder().await?;
            }
        }
        Ok(())
    }

    /// Takes the space that is kept for a full disk, as far as there is any: when the old journals have gone.
    ///
    /// # Errors
    /// The operating system's, other than that the disk is full.
    pub async fn restore_reserve(&self) -> Result<(), IoError> {
        self.shared.reserve.restore_all().await
    }

    /// Tells when the store fails for good.
    #[must_use]
    pub fn fatal(&self) -> Fatal {
        self.shared.fatal.clone()
    }

    /// What the journal has done so far.
    #[must_use]
    pub fn journal_stats(&self) -> JournalStats {
        self.shared.journal.stats()
    }

    /// Bytes of memory that tails and caches hold.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.shared.memory.tails() + self.shared.cache.len()
    }

    /// Brings everything into the segments and stops. Appends are refused from the call on; those that were accepted
    /// become durable. The next start has nothing to replay.
    ///
    /// # Errors
    /// If the store has failed, or fails on the way.
    pub async fn close(mut self) -> Result<(), FatalError> {
        let mut logs: Vec<_> = self.logs.borrow().values().cloned().collect();
        logs.iter().for_each(|log| log.close());
        let journal = Rc::clone(&self.shared.journal);
        journal.drain().await?;
        let [writer, keeper] = [self.tasks.remove(0), self.tasks.remove(0)];
        keeper.await;
        logs.retain(|log| log.has_changed());
        journal.close(logs).await?;
        writer.await;
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.journal.stop();
        self.tasks.iter().for_each(JoinHandle::cancel);
        self.logs.borrow().values().for_each(|log| log.shut());
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let logs = self.logs.borrow();
        f.debug_struct("Store")
            .field("journal", &self.shared.journal)
            .field("memory", &self.memory_bytes())
            .field("logs", &logs.values().collect::<Vec<_>>())
            .finish()
    }
}

/// Makes the shard's journal, without which nothing can be appended or removed: on a full disk of what the last start has
/// kept for this one. If there is less, the start waits, and tells for what.
async fn make_journal(
    plan: &JournalPlan,
    reserve: &Reserve,
    options: &StoreOptions,
    fatal: &Fatal,
) -> Result<Rc<Journal>, IoError> {
    let mut has_told = false;
    loop {
        match Journal::create(plan.clone(), options, fatal).await {
            Err(error) if error.is_full() => {
                if reserve.give_up_all().await? {
                    continue;
                }
                if !std::mem::replace(&mut has_told, true) {
                    let (folder, bytes) = (plan.folder().display(), plan.len_min());
                    tracing::error!(%folder, bytes, %error, "the disk is full: the start waits for so much space for its journal");
                }
                sleep(START_RETRY).await;
            }
            made => return made,
        }
    }
}

/// When the store fails, nobody waits any longer.
async fn on_failure(shared: Rc<Shared>, logs: Rc<RefCell<BTreeMap<LogKey, Rc<LogInner>>>>) {
    shared.fatal.raised().await;
    shared.journal.fail();
    let logs: Vec<_> = logs.borrow().values().cloned().collect();
    logs.iter().for_each(|log| log.shut());
}
