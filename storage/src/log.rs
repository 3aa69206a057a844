//! A log: one partition, or what is staged for one.

mod append;
mod claim;
mod cold;
mod cut;
mod direct;
mod flush;
mod indexing;
mod lookup;
mod patience;
mod prepare;
mod producers;
mod read;
mod remove;
mod segments;
mod staged;
mod trouble;
mod watch;

pub use append::{AppendError, Appended, Durable};
pub(crate) use cold::{Source, WINDOW_MAX};
pub use cut::{CutError, LogStartError};
pub use lookup::{FoundOffset, LookupError};
pub use read::{Isolation, Read, ReadError, ReadRequest};
pub(crate) use remove::remove_folder;
pub(crate) use segments::{base_of, file_name, index_name};
pub use staged::{Piece, PieceMark, SpliceError, Staged};
pub use watch::Watcher;

use crate::{
    epochs::EpochTable,
    fatal::FatalError,
    journal::{
        entry::{Body, Checkpoint, Entry, Place, SpliceMark},
        queues::Pending,
    },
    key::LogKey,
    options::LogOptions,
    producer::ProducerTable,
    recovery::LogState as Recovered,
    shared::Shared,
    signal::{Done, Signal, Turnstile},
};
use claim::Room;
use millrace_record::{LeaderEpoch, Offset};
use segments::Segments;
use staged::PieceState;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    fmt,
    path::PathBuf,
    rc::{Rc, Weak},
};
use trouble::Trouble;
use watch::Waiters;

/// A log of this shard. Cheap to clone; all clones are the same log.
#[derive(Clone)]
pub struct Log(pub(crate) Rc<LogInner>);

pub(crate) struct LogInner {
    pub(crate) key: LogKey,
    pub(crate) shared: Rc<Shared>,
    /// Index of its data directory.
    dir: usize,
    folder: PathBuf,
    options: Cell<LogOptions>,
    state: RefCell<State>,
    /// Who appends or cuts goes in here: appends keep their order even where they have to wait.
    door: Turnstile,
    /// Who writes segments goes in here.
    io: Turnstile,
    waiters: Waiters,
    /// Notified when an entry of it is durable.
    settled: Signal,
    /// Finished once the journal has a checkpoint of it.
    pub(crate) known: Rc<Done>,
    /// Whether its folder, and those above it, are named durably.
    folder_named: Cell<bool>,
    /// Length of its checkpoint's entry, as the journal's reserve counts it.
    checkpoint_len: Cell<usize>,
    /// What was said of its files.
    trouble: Trouble,
}

struct State {
    status: Status,
    start: Offset,
    end: Offset,
    durable_end: Offset,
    /// What replication allows to be shown; there is none yet.
    replicated_end: Offset,
    /// Of the next append.
    leader_epoch: LeaderEpoch,
    epochs: EpochTable,
    spliced: SpliceMark,
    segments: Segments,
    entries: Entries,
    /// Spliced batches that are not known to be durable, as they wait for what lies before them: from where to where.
    splices: VecDeque<(Offset, Offset)>,
    /// What staged pieces have of the segment that is appended to.
    claimed: Room,
    /// What a staged log holds, and what of it is still needed.
    pieces: BTreeMap<Offset, PieceState>,
    /// The staged log that was spliced from.
    staged: Weak<LogInner>,
    /// Entries that wait for a sync of the segment, oldest first, and whether a task sees to it.
    held: VecDeque<Pending>,
    sending: bool,
    /// Bytes on their way to a segment are being written without need.
    writing_behind: bool,
    preparing: Option<Rc<prepare::Preparation>>,
    producers: Option<ProducerTable>,
    /// Bytes appended since the producers were last saved.
    unsaved_bytes: u64,
    /// How often the log was cut.
    cuts: u64,
}

/// Where a log is in its life.
#[derive(Clone, Debug)]
enum Status {
    Open,
    /// Something removes it; finished when that is durable.
    Removing(Rc<Done>),
    Removed,
    /// The store is closed.
    Closed,
}

/// Which of a log's entries are where.
#[derive(Default)]
struct Entries {
    /// Number of the last entry that was made, and of the last that the journal has durably.
    made: u64,
    durable: u64,
    /// Files of the journal with entries that no checkpoint contains, oldest first.
    framed: VecDeque<FramedIn>,
    /// The file with the latest checkpoint.
    checkpoint_file: u64,
    /// Every entry up to this number is contained in the last checkpoint that was queued.
    covered: u64,
    /// Every entry up to this number is contained in a durable checkpoint.
    checkpointed: u64,
    /// The frame that tells that the log is removed is on its way.
    removal_framed: bool,
    /// The last file that has listed this log.
    listed_in: u64,
}

struct FramedIn {
    file: u64,
    first_sequence: u64,
    last_number: u64,
}

/// All that a log is at a moment, as a checkpoint will tell it once everything up to `place` is in the segments.
pub(crate) struct Captured {
    place: Place,
    start: Offset,
    end: Offset,
    spliced: SpliceMark,
    epochs: EpochTable,
    /// Number of the last entry that is contained.
    covered: u64,
    cuts: u64,
    /// The producers, if they are to be saved.
    producers: Option<ProducerTable>,
}

/// What came of making a checkpoint.
pub(crate) enum Checkpointing {
    Ready(Checkpoint),
    /// The log has gone on in a way that the captured state does not know: it is to be captured again.
    Stale,
    /// The log is being removed, and its last checkpoint is on its way.
    Removing(Rc<Done>),
    /// The log is removed, and needs none.
    Removed,
}

impl Log {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> LogKey {
        self.0.key
    }

    /// How it behaves.
    #[must_use]
    pub fn options(&self) -> LogOptions {
        self.0.options.get()
    }

    /// Changes how it behaves from now on. Its class stays: entries of two classes could pass each other.
    pub fn set_options(&self, options: LogOptions) {
        self.0.options.set(LogOptions { class: self.0.options.get().class, ..options });
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn start_offset(&self) -> Offset {
        self.0.state.borrow().start
    }

    /// The offset behind the last record that was appended, durable or not. Nobody is shown records up to here.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.0.state.borrow().end
    }

    /// The offset behind the last record that consumers may see: never past what is durable.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.0.state.borrow().high_watermark()
    }

    /// The offset behind the last record that a reader of committed transactions may see. No transaction is ever open
    /// yet, so it is the high watermark.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.high_watermark()
    }

    /// The epoch of the next append.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.0.state.borrow().leader_epoch
    }

    /// Appends are of epoch `epoch` from now on, if that is higher than the present one. It is recorded with the next
    /// append.
    pub fn raise_leader_epoch(&self, epoch: LeaderEpoch) {
        let mut state = self.0.state.borrow_mut();
        state.leader_epoch = state.leader_epoch.max(epoch);
    }

    /// The largest epoch not above `epoch` and the offset at which it ended: Kafka's OffsetForLeaderEpoch. `None` if
    /// `epoch` is newer than all.
    #[must_use]
    pub fn end_offset_for_leader_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.0.state.borrow();
        state.epochs.end_of(epoch, state.end)
    }

    /// What has been spliced onto it.
    #[must_use]
    pub fn spliced(&self) -> SpliceMark {
        self.0.state.borrow().spliced
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({}: {}..{})", self.0.key, self.start_offset(), self.end_offset())
    }
}

impl fmt::Debug for LogInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        f.debug_struct("LogInner")
            .field("key", &format_args!("{}", self.key))
            .field("offsets", &(state.start, state.durable_end, state.end))
            .field("place", &state.segments.end())
            .field("status", &state.status)
            .field("held", &state.held.len())
            .field("door", &self.door)
            .field("io", &self.io)
            .field("preparing", &state.preparing.is_some())
            .field("writing_behind", &state.writing_behind)
            .finish_non_exhaustive()
    }
}

impl State {
    fn high_watermark(&self) -> Offset {
        self.durable_end.min(self.replicated_end)
    }

    /// The number of an entry that is being made.
    fn number(&mut self) -> u64 {
        self.entries.made += 1;
        self.entries.made
    }
}

impl LogInner {
    /// A log as recovery left it, or a new one. Nothing is read or written.
    pub(crate) fn new(shared: &Rc<Shared>, recovered: Recovered, options: LogOptions) -> Rc<Self> {
        let Recovered { key, dir, start, end, place, spliced, epochs, leader_epoch, is_new } = recovered;
        let folder = shared.dirs.dir(dir).folder(&key);
        let checkpoint_len = Checkpoint::entry_len(epochs.len());
        Rc::new(Self {
            key,
            shared: Rc::clone(shared),
            dir,
            folder,
            options: Cell::new(options),
            state: RefCell::new(State {
                status: Status::Open,
                start,
                end,
                durable_end: end,
                replicated_end: Offset::MAX,
                leader_epoch,
                epochs,
                spliced,
                segments: Segments::new(place, end, is_new),
                entries: Entries::default(),
                splices: VecDeque::new(),
                claimed: Room::default(),
                pieces: BTreeMap::new(),
                staged: Weak::new(),
                held: VecDeque::new(),
                sending: false,
                writing_behind: false,
                preparing: None,
                producers: is_new.then(ProducerTable::default),
                unsaved_bytes: 0,
                cuts: 0,
            }),
            door: Turnstile::default(),
            io: Turnstile::default(),
            waiters: Waiters::default(),
            settled: Signal::default(),
            known: Rc::default(),
            folder_named: Cell::new(place.position > 0),
            checkpoint_len: Cell::new(checkpoint_len),
            trouble: Trouble::default(),
        })
    }

    pub(crate) fn options(&self) -> LogOptions {
        self.options.get()
    }

    pub(crate) fn checkpoint_len(&self) -> usize {
        self.checkpoint_len.get()
    }

    /// A checkpoint of what the log is, all of which is durable in its segments.
    pub(crate) fn present_checkpoint(&self) -> Checkpoint {
        self.present(&self.state.borrow())
    }

    fn present(&self, state: &State) -> Checkpoint {
        Checkpoint {
            present: true,
            dir: self.shared.dirs.dir(self.dir).id,
            start: state.start,
            end: state.end,
            place: state.segments.end(),
            replay_from: 1,
            spliced: state.spliced,
            epochs: state.epochs.clone(),
        }
    }

    /// The checkpoint that tells what was captured.
    pub(crate) fn checkpoint_of(&self, captured: &Captured) -> Checkpointing {
        let mut state = self.state.borrow_mut();
        match &state.status {
            Status::Removed => return Checkpointing::Removed,
            Status::Removing(done) if state.entries.removal_framed => {
                return Checkpointing::Removing(Rc::clone(done));
            }
            _ => {}
        }
        // A later checkpoint may be on its way, or the log was cut: this one would bring back what is no more.
        if captured.cuts != state.cuts || captured.covered < state.entries.covered {
            return Checkpointing::Stale;
        }
        let entries = &mut state.entries;
        entries.covered = captured.covered;
        while entries.framed.front().is_some_and(|file| file.last_number <= captured.covered) {
            entries.framed.pop_front();
        }
        let replay_from = entries
            .framed
            .front()
            .map_or_else(|| self.shared.journal.next_sequence(), |file| file.first_sequence);
        Checkpointing::Ready(Checkpoint {
            present: true,
            dir: self.shared.dirs.dir(self.dir).id,
            start: captured.start,
            end: captured.end,
            place: captured.place,
            replay_from,
            spliced: captured.spliced,
            epochs: captured.epochs.clone(),
        })
    }

    /// A checkpoint of what was captured is durable.
    pub(crate) fn on_checkpoint(self: &Rc<Self>, captured: &Captured) {
        {
            let mut state = self.state.borrow_mut();
            state.entries.checkpointed = state.entries.checkpointed.max(captured.covered);
            if state.cuts != captured.cuts {
                return;
            }
        }
        // Entries that are held back are contained too, and the checkpoint is what makes them durable.
        self.advance(captured.end);
        self.save_producers(captured);
        self.trim_staged();
    }

    /// An entry went into a frame. Tells whether the file that holds it has not heard of this log before.
    pub(crate) fn note_framed(&self, file: u64, sequence: u64, pending: &Pending) -> bool {
        let entries = &mut self.state.borrow_mut().entries;
        let number = pending.number;
        entries.removal_framed |= matches!(&pending.entry.body, Body::Checkpoint(last) if !last.present);
        if number == 0 {
            entries.checkpoint_file = file;
        } else {
            match entries.framed.back_mut() {
                Some(last) if last.file == file => last.last_number = number,
                _ => {
                    entries.framed.push_back(FramedIn {
                        file,
                        first_sequence: sequence,
                        last_number: number,
                    });
                }
            }
        }
        std::mem::replace(&mut entries.listed_in, file) != file
    }

    /// Whether recovery needs the journal's files up to `through` for this log.
    pub(crate) fn needs_file(&self, through: u64) -> bool {
        let state = self.state.borrow();
        let needs_entries = state.entries.framed.front().is_some_and(|file| file.file <= through);
        let needs_checkpoint = state.entries.checkpoint_file <= through;
        !matches!(state.status, Status::Removed) && (needs_entries || needs_checkpoint)
    }

    /// An entry is durable.
    pub(crate) fn on_durable(&self, pending: &Pending) {
        if pending.number > 0 {
            self.state.borrow_mut().entries.durable = pending.number;
            self.settled.notify();
        }
        if let Some((_, header)) = pending.entry.body.batch() {
            self.advance(header.next_offset());
        }
    }

    /// Waits until no entry of the log is on its way. That all its batches are durable is not enough: a checkpoint may
    /// have made them so before their entries came to the journal.
    async fn settle(&self) -> Result<(), FatalError> {
        loop {
            let wait = self.settled.wait();
            self.shared.fatal.check()?;
            {
                let entries = &self.state.borrow().entries;
                if entries.durable == entries.made {
                    return Ok(());
                }
            }
            wait.await;
        }
    }

    /// Queues an entry behind all others of this log.
    fn queue(
        self: &Rc<Self>,
        state: &mut State,
        body: Body,
        batch: Option<crate::tail::View>,
        done: Option<Rc<Done>>,
    ) {
        let entry = Entry { key: self.key, body };
        let pending = Pending { log: Rc::clone(self), number: state.number(), entry, batch, done };
        let waits = matches!(pending.entry.body, Body::Reference { .. }) || !state.held.is_empty();
        if waits {
            self.shared.journal.hold(pending.entry.weight());
            state.held.push_back(pending);
            self.send_held(state);
        } else {
            self.shared.journal.push(self.options.get().class, pending);
        }
    }

    /// The journal's reserve has to hold another checkpoint of this log than before.
    fn resize_checkpoint(&self, state: &State) {
        let len = Checkpoint::entry_len(state.epochs.len());
        self.shared.journal.resize_log(self.checkpoint_len.replace(len), len);
    }
}
