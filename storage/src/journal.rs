//! The shard's journal: any set of appends to any of the shard's logs becomes durable in one sync.
//!
//! Entries wait in [`queues`] while a [`frame`] is being written and synced; what has gathered by then goes into the
//! next one (group commit). Frames fill [`files`] that are used in a ring: before the oldest is written over, the
//! keeper brings every log with entries in it into its segments, journals a checkpoint for each, and tells in a
//! frame's header from which sequence on recovery still reads. [`chain`] is the rule that recovery applies.
//!
//! **Invariants**
//! - A file is overwritten only after a durable frame has said that it is not needed.
//! - Every log has a checkpoint in what is needed, and every entry behind it.
//! - When appends outrun the keeper, the last file keeps a reserve for its checkpoints: appends wait, the keeper never.

pub(crate) mod chain;
pub(crate) mod entry;
pub(crate) mod files;
pub(crate) mod frame;
mod keeper;
pub(crate) mod queues;
mod writer;

use crate::{
    dirs::Hex,
    error::IoError,
    fatal::{Fatal, FatalError},
    log::LogInner,
    options::{Class, FrameScope, StoreOptions},
    signal::{Done, Signal},
};
use entry::{Checkpoint, Entry};
use files::JournalFile;
use frame::{FRAME_HEADER_LEN, FRAME_LEN_MAX};
use millrace_runtime::{BLOCK_SIZE, Latencies, random_bytes};
use queues::{Pending, Queues};
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    path::{Path, PathBuf},
    rc::{Rc, Weak},
};

/// What the reserve of the last file has beside the checkpoints of all logs, in bytes: the frame that tells what is
/// free, the two closing frames, a cut, and removals that were admitted before the journal was full.
const RESERVE_SLACK: usize = 8 * BLOCK_SIZE;
/// A file holds the checkpoints of all logs at least so many times: else the journal would hold little else.
const CHECKPOINTS_PER_FILE: usize = 4;
/// The shortest journal file, in bytes. Frames of short files are shorter than they may be.
const FILE_LEN_MIN: u64 = 128 * 1024;
/// Files that a journal has at least: one that is written, and one that can be next.
const FILES_MIN: u64 = 2;
/// Appends wait when no file is free and less than this part of one is left: what is queued by then still fits.
const LAST_ROOM: u64 = 4;

/// A journal that is being written.
pub(crate) struct Journal {
    pub(crate) id: [u8; 16],
    generation: u64,
    folder: PathBuf,
    file_len: u64,
    options: StoreOptions,
    fatal: Fatal,
    state: RefCell<State>,
    /// The writer looks whether there is something to write.
    work: Signal,
    /// The keeper looks whether files are to be made or freed.
    chores: Signal,
    /// Who waits for room looks again.
    room: Signal,
}

struct State {
    queues: Queues,
    /// Of the last frame that was put together.
    sequence: u64,
    checksum: u32,
    durable_through: u64,
    /// What the next frame tells as needed, and what a durable frame has told.
    live_from: u64,
    live_told: u64,
    /// A frame is to be written though nothing waits.
    tell: bool,
    /// In order of use; the last one is being written.
    live: VecDeque<LiveFile>,
    free: VecDeque<JournalFile>,
    files_made: usize,
    run: [u8; 16],
    position: u64,
    /// Frames were written and not synced.
    unsynced: bool,
    /// Bytes of the checkpoints of all logs.
    checkpoints_len: usize,
    logs: usize,
    /// Bytes of logs that wait for their own sync instead of the journal.
    held_bytes: usize,
    stop: Stop,
    stats: JournalStats,
}

/// A file that recovery needs.
struct LiveFile {
    file: JournalFile,
    /// Rises with every use of any file.
    ordinal: u64,
    first_sequence: u64,
    /// Logs with an entry or a checkpoint in it.
    touched: Vec<Weak<LogInner>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The journal is in use.
    No,
    /// Files are not kept free any more; what is queued is still written.
    Ending,
    /// Closing frames are to be written once the queues are empty.
    Closing(u8),
    /// Nothing more is written.
    Stopped,
}

/// A journal that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct JournalPlan {
    pub(crate) id: [u8; 16],
    generation: u64,
    folder: PathBuf,
    /// Its files are not shorter: checkpoints of all logs must fit.
    file_len_min: u64,
}

impl JournalPlan {
    /// Below `journals`, where its folder is made, for logs whose checkpoints have these lengths.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) async fn make(
        journals: PathBuf,
        generation: u64,
        logs: impl Iterator<Item = usize>,
        options: &StoreOptions,
    ) -> Result<Self, IoError> {
        let id = random_bytes();
        let folder = journals.join(Hex(&id).to_string());
        crate::dirs::make_folder(&journals, &folder).await?;
        let (checkpoints_len, logs) = logs.fold((0, 0), |(len, logs), log| (len + log, logs + 1));
        let file_len_min = file_len_min(checkpoints_len, logs, options.frame_scope);
        Ok(Self { id, generation, folder, file_len_min })
    }

    /// What it needs of the disk at least, in bytes.
    pub(crate) fn len_min(&self) -> u64 {
        FILES_MIN * self.file_len_min
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What the journal has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Frames written.
    pub frames: u64,
    /// Their bytes, padding included.
    pub bytes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Files freed to be written again.
    pub files_freed: u64,
    /// How often appends had to wait because no file was free.
    pub stalls: u64,
    /// How long it took to write frames, and to sync those that are to be.
    pub writes: Latencies,
}

impl Journal {
    /// Makes a new, empty journal, durably, with its first two files.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) async fn create(
        plan: JournalPlan,
        options: &StoreOptions,
        fatal: &Fatal,
    ) -> Result<Rc<Self>, IoError> {
        let JournalPlan { id, generation, folder, file_len_min: least } = plan;
        let wanted = least.max(options.journal_file_bytes.next_multiple_of(BLOCK_SIZE as u64));
        let (first, second) = make_first(&folder, wanted, least).await?;
        let file_len = first.len;
        let live = LiveFile { file: first, ordinal: 1, first_sequence: 1, touched: Vec::new() };
        let state = State {
            queues: Queues::default(),
            sequence: 0,
            checksum: 0,
            durable_through: 0,
            live_from: 1,
            live_told: 1,
            tell: false,
            live: VecDeque::from([live]),
            free: VecDeque::from([second]),
            files_made: FILES_MIN as usize,
            run: random_bytes(),
            position: 0,
            unsynced: false,
            checkpoints_len: 0,
            logs: 0,
            held_bytes: 0,
            stop: Stop::No,
            stats: JournalStats::default(),
        };
        Ok(Rc::new(Self {
            id,
            generation,
            folder,
            file_len,
            options: options.clone(),
            fatal: fatal.clone(),
            state: RefCell::new(state),
            work: Signal::default(),
            chores: Signal::default(),
            room: Signal::default(),
        }))
    }

    pub(crate) fn stats(&self) -> JournalStats {
        self.state.borrow().stats
    }

    /// Whether entries of `len` bytes may be queued now; if not, [`Journal::wait_for_room`].
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let state = self.state.borrow();
        let waiting = state.queues.bytes() + state.held_bytes;
        let last_room = (FRAME_LEN_MAX as u64).min(self.file_len / LAST_ROOM);
        let has_space = !state.free.is_empty() || state.class_room(self) >= last_room;
        waiting == 0 || (has_space && waiting + len <= self.options.queue_bytes)
    }

    /// The longest batch that goes through the journal, in bytes: one that fits what a file has left less often than
    /// not would waste the rest of it.
    pub(crate) fn append_len_max(&self) -> usize {
        (self.file_len / LAST_ROOM) as usize
    }

    /// Waits for the next change of what [`Journal::has_room`] tells.
    ///
    /// # Errors
    /// If the store has failed.
    pub(crate) async fn wait_for_room(&self) -> Result<(), FatalError> {
        let wait = self.room.wait();
        self.fatal.check()?;
        wait.await;
        self.fatal.check()
    }

    /// Queues an entry behind all others of its class.
    pub(crate) fn push(&self, class: Class, pending: Pending) {
        self.state.borrow_mut().queues.push(class, pending);
        self.work.notify();
    }

    /// Queues an entry before all classes.
    pub(crate) fn push_maintenance(&self, pending: Pending) {
        self.state.borrow_mut().queues.push_maintenance(pending);
        self.work.notify();
    }

    /// Counts bytes that wait for their own sync in or out.
    pub(crate) fn hold(&self, len: usize) {
        self.state.borrow_mut().held_bytes += len;
    }

    /// See [`Journal::hold`].
    pub(crate) fn release(&self, len: usize) {
        self.state.borrow_mut().held_bytes -= len;
        self.room.notify();
    }

    /// Waits until an entry is durable.
    ///
    /// # Errors
    /// If the store fails before.
    pub(crate) async fn wait_for(&self, done: &Done) -> Result<(), FatalError> {
        done.wait().await;
        self.fatal.check()
    }

    /// The sequence that the next frame will have.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.state.borrow().sequence + 1
    }

    /// Whether anything is still written.
    pub(crate) fn is_working(&self) -> bool {
        self.state.borrow().stop != Stop::Stopped
    }

    /// Makes room in the reserve for the checkpoint of one more log. Tells whether there is any.
    pub(crate) fn admit_log(&self, checkpoint_len: usize) -> bool {
        let mut state = self.state.borrow_mut();
        let scope = self.options.frame_scope;
        let fits =
            2 * reserve_len(state.checkpoints_len + checkpoint_len, state.logs + 1, scope) <= self.file_len;
        if fits {
            state.logs += 1;
            state.checkpoints_len += checkpoint_len;
        }
        fits
    }

    /// What the next start needs of the disk for its journal, with as many logs as there are now and some more, in bytes.
    pub(crate) fn next_len_min(&self) -> u64 {
        let state = self.state.borrow();
        let least = file_len_min(state.checkpoints_len, state.logs, self.options.frame_scope);
        FILES_MIN * least.next_power_of_two()
    }

    /// A log's checkpoint has another length than before.
    pub(crate) fn resize_log(&self, before: usize, after: usize) {
        let mut state = self.state.borrow_mut();
        state.checkpoints_len = state.checkpoints_len + after - before;
    }

    /// A log is gone.
    pub(crate) fn forget_log(&self, checkpoint_len: usize) {
        let mut state = self.state.borrow_mut();
        state.logs -= 1;
        state.checkpoints_len -= checkpoint_len;
    }

    /// The store has failed: nobody waits any longer.
    pub(crate) fn fail(&self) {
        let queues = {
            let mut state = self.state.borrow_mut();
            state.stop = Stop::Stopped;
            std::mem::take(&mut state.queues)
        };
        for pending in queues.into_pending() {
            if let Some(done) = pending.done {
                done.finish();
            }
        }
        self.stop_waiting();
    }

    /// Ends the writer and the keeper without a closing frame: what a dropped store does.
    pub(crate) fn stop(&self) {
        self.state.borrow_mut().stop = Stop::Stopped;
        self.stop_waiting();
    }

    fn stop_waiting(&self) {
        self.work.notify();
        self.chores.notify();
        self.room.notify();
    }
}

/// Makes the first two files. On a full disk they become shorter, so that it can be emptied.
async fn make_first(folder: &Path, wanted: u64, least: u64) -> Result<(JournalFile, JournalFile), IoError> {
    let mut len = wanted;
    loop {
        let made = match files::make(folder, 0, len).await {
            Ok(first) => match files::make(folder, 1, len).await {
                Ok(second) => return Ok((first, second)),
                Err(error) => {
                    files::remove(first).await?;
                    error
                }
            },
            Err(error) => error,
        };
        if !made.is_full() || len == least {
            return Err(made);
        }
        len = (len / 2).next_multiple_of(BLOCK_SIZE as u64).max(least);
        tracing::warn!(len, "the disk is full: the journal's files are shorter than they should be");
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        f.debug_struct("Journal")
            .field("id", &Hex(&self.id).to_string())
            .field("sequence", &state.sequence)
            .field("durable_through", &state.durable_through)
            .field("live_from", &state.live_from)
            .field("live_told", &state.live_told)
            .field("files", &(state.live.len(), state.free.len(), state.files_made))
            .field("remaining", &state.remaining())
            .field("queued_bytes", &state.queues.bytes())
            .field("held_bytes", &state.held_bytes)
            .field("stop", &state.stop)
            .field("stats", &state.stats)
            .finish_non_exhaustive()
    }
}

/// A checkpoint's entry, ready for [`Journal::push_maintenance`].
pub(crate) fn checkpoint_entry(log: &Rc<LogInner>, checkpoint: Checkpoint, done: &Rc<Done>) -> Pending {
    let entry = Entry { key: log.key, body: entry::Body::Checkpoint(checkpoint) };
    Pending { log: Rc::clone(log), number: 0, entry, batch: None, done: Some(Rc::clone(done)) }
}

impl State {
    fn current(&self) -> &LiveFile {
        self.live.back().expect("a journal always has a file that is being written")
    }

    /// Bytes left in the file that is being written.
    fn remaining(&self) -> u64 {
        self.current().file.len - self.position
    }

    /// Bytes of it that appends may use.
    fn class_room(&self, journal: &Journal) -> u64 {
        if self.free.is_empty() {
            self.remaining().saturating_sub(self.reserve(journal))
        } else {
            self.remaining()
        }
    }

    /// Bytes that the last free file keeps for the keeper.
    fn reserve(&self, journal: &Journal) -> u64 {
        reserve_len(self.checkpoints_len, self.logs, journal.options.frame_scope)
    }
}

/// The length of files that the checkpoints of all logs fit.
fn file_len_min(checkpoints_len: usize, logs: usize, scope: FrameScope) -> u64 {
    let needed = reserve_len(checkpoints_len, logs, scope) * CHECKPOINTS_PER_FILE as u64;
    FILE_LEN_MIN.max(needed).next_multiple_of(BLOCK_SIZE as u64)
}

/// Bytes for checkpoints of all logs in as few frames as they fit, each of which may waste a block and the length of an
/// entry.
fn reserve_len(checkpoints_len: usize, logs: usize, scope: FrameScope) -> u64 {
    let frames = match scope {
        FrameScope::Shard => 1 + checkpoints_len / (FRAME_LEN_MAX - FRAME_HEADER_LEN - BLOCK_SIZE),
        FrameScope::Log => 1 + logs,
    };
    (checkpoints_len + frames * (FRAME_HEADER_LEN + BLOCK_SIZE) + RESERVE_SLACK) as u64
}
