//! What an append may have to wait for: knowing the log's files, a segment, space in it, the producers.
//!
//! All of it runs in a task of its own, one at a time per log, so that nothing is left half done when a caller gives up
//! waiting. Space is allocated, durably, before an append is admitted: a full disk refuses it while nothing is acknowledged
//! yet, and what was acknowledged finds its space again after a loss of power.

use super::{
    LogInner, State, Status,
    claim::Room,
    segments::{self, Segment},
};
use crate::{
    dirs::make_folder,
    error::IoError,
    fatal::FatalError,
    options::Class,
    segment::header::{SEGMENT_HEADER_LEN, SegmentHeader},
    signal::Done,
};
use millrace_record::Offset;
use millrace_runtime::{AlignedBuf, BLOCK_SIZE, File, OpenOptions, Queue, fs, spawn, spawn_into};
use std::{cell::RefCell, path::Path, rc::Rc};

/// What space a segment is given first, in bytes: little for the many partitions that never get more.
const FIRST_SPACE: u64 = 16 * 1024;
/// The most that is allocated at once, in bytes.
const SPACE_MAX: u64 = 32 << 20;

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To know which segments there are.
    Files,
    /// A segment to append to.
    Segment,
    /// Space in the segment up to this position.
    Space(u64),
    /// The producers.
    Producers,
    /// Room in the journal.
    Room,
}

/// For whom space is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Somebody who can be refused, unless the log is one that others wait for.
    Append,
    /// A splice, whose commit is durable.
    Splice,
}

/// Something is being prepared.
pub(super) struct Preparation {
    need: Need,
    whose: Whose,
    done: Done,
    error: RefCell<Option<PrepareError>>,
}

/// Why something can't be prepared.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum PrepareError {
    #[error(transparent)]
    Io(#[from] IoError),
    #[error(transparent)]
    Fatal(#[from] FatalError),
    #[error(transparent)]
    Read(#[from] super::ReadError),
}

impl LogInner {
    /// As [`LogInner::provide_for`], for an append.
    pub(super) async fn provide(self: &Rc<Self>, need: Need) -> Result<(), PrepareError> {
        self.provide_for(need, Whose::Append).await
    }

    /// Has `need` prepared, or waits for what is being prepared already: the caller looks again what it needs.
    pub(super) async fn provide_for(self: &Rc<Self>, need: Need, whose: Whose) -> Result<(), PrepareError> {
        if need == Need::Room {
            return Ok(self.shared.journal.wait_for_room().await?);
        }
        let preparation = self.start_preparing(&mut self.state.borrow_mut(), need, whose);
        preparation.done.wait().await;
        if (preparation.need, preparation.whose) != (need, whose) {
            // What others wanted may have been more than there is.
            return Ok(());
        }
        let error = preparation.error.borrow().clone();
        error.map_or(Ok(()), Err)
    }

    /// Starts preparing `need`, unless something is being prepared: then that is returned.
    pub(super) fn start_preparing(
        self: &Rc<Self>,
        state: &mut State,
        need: Need,
        whose: Whose,
    ) -> Rc<Preparation> {
        if let Some(running) = &state.preparing {
            return Rc::clone(running);
        }
        let preparation =
            Rc::new(Preparation { need, whose, done: Done::default(), error: RefCell::default() });
        state.preparing = Some(Rc::clone(&preparation));
        let (log, outcome) = (Rc::clone(self), Rc::clone(&preparation));
        spawn(async move {
            let result = log.prepare(need, whose).await.inspect_err(|error| log.note_preparation(error));
            log.state.borrow_mut().preparing = None;
            *outcome.error.borrow_mut() = result.err();
            outcome.done.finish();
        });
        preparation
    }

    async fn prepare(self: &Rc<Self>, need: Need, whose: Whose) -> Result<(), PrepareError> {
        match need {
            Need::Room => Ok(()),
            Need::Files => Ok(self.list().await?),
            Need::Segment => self.begin_segment(whose).await,
            Need::Space(end) => self.grow(end, whose).await,
            Need::Producers => Ok(self.load_producers().await?),
        }
    }

    /// Learns which segments there are.
    pub(super) async fn list(self: &Rc<Self>) -> Result<(), IoError> {
        let (end, end_offset) = {
            let state = self.state.borrow();
            (state.segments.end(), state.end)
        };
        let (mut older, mut begun, mut has_removed) = (Vec::new(), None, false);
        if fs::exists(&self.folder).await.map_err(IoError::on("look for", &self.folder))? {
            for entry in fs::read_dir(&self.folder).await.map_err(IoError::on("list", &self.folder))? {
                let Some(base) = segments::base_of(&entry.name) else { continue };
                if base < end.segment {
                    older.push(base);
                } else if base == end_offset && (base > end.segment || end.position == 0) {
                    // Begun by an earlier life, perhaps for what is to be spliced now: it has the space for that.
                    begun = Some(base);
                } else if base > end.segment || end.position == 0 {
                    // Begun by appends of an earlier life that were never acknowledged: recovery has not taken them.
                    tracing::info!(log = %self.key, base, "removing a segment behind the log's end");
                    let path = self.folder.join(&entry.name);
                    fs::remove_file(&path).await.map_err(IoError::on("remove", &path))?;
                    has_removed = true;
                }
            }
        }
        if has_removed {
            // If it came back once the log has grown past it, it would be taken for a part of the log.
            fs::sync_dir(&self.folder).await.map_err(IoError::on("sync", &self.folder))?;
        }
        {
            let mut state = self.state.borrow_mut();
            if !state.segments.listed {
                state.segments.wake(older, || self.shared.next_id());
                if let Some(base) = begun {
                    state.segments.begin(base);
                }
            }
        }
        // What an earlier life has not come to.
        let log = Rc::clone(self);
        spawn_into(Queue::Background, async move { log.remove_before_start().await });
        Ok(())
    }

    /// Begins a segment at the log's end, with space for all that is claimed, and has the one before sealed.
    async fn begin_segment(self: &Rc<Self>, whose: Whose) -> Result<(), PrepareError> {
        // A folder without a checkpoint that knows it would be taken for a stranger's.
        self.wait_until_known().await?;
        self.make_folder().await?;
        // Once it is sealed, its file is needed to end it: that there is no descriptor is better found out now.
        self.open_active().await?;
        let (base, space) = {
            let state = &mut *self.state.borrow_mut();
            let base = state.end;
            state.segments.begin(base);
            (base, FIRST_SPACE.max(SEGMENT_HEADER_LEN + state.claimed.bytes))
        };
        let path = segments::path(&self.folder, base);
        let file = match self.make_segment(base, space, &path, whose).await {
            Ok(file) => file,
            Err(error) => {
                // What can't be removed is tried again before the log grows.
                if self.remove_if_there(&path).await.is_ok() {
                    self.state.borrow_mut().segments.give_up();
                }
                return Err(error);
            }
        };
        let sealed = {
            let state = &mut *self.state.borrow_mut();
            let sealed = state.segments.active().map(|active| {
                active.end = active.end.map(|end| active.tail.pad(end));
                active.base
            });
            state.segments.push(Segment::new(self.shared.next_id(), base, file, space));
            sealed
        };
        if sealed.is_some() {
            let log = Rc::clone(self);
            // What fails is raised there.
            spawn_into(Queue::Background, async move {
                drop(log.flush_all().await);
            });
        }
        Ok(())
    }

    /// Makes the file of a segment, durably. One that was begun before is taken as it is: what it holds was never
    /// acknowledged, and lies behind the log's end.
    async fn make_segment(
        &self,
        base: Offset,
        space: u64,
        path: &Path,
        whose: Whose,
    ) -> Result<File, PrepareError> {
        let options = OpenOptions { write: true, create: true, create_new: false };
        let file = File::open(path, options).await.map_err(IoError::on("create", path))?;
        self.allocate(&file, 0, space, path, whose).await?;
        let epochs = self.state.borrow().epochs.clone();
        let header = SegmentHeader { store: self.shared.dirs.store_id(), key: self.key, base, epochs };
        let mut block = AlignedBuf::zeroed(BLOCK_SIZE);
        header.encode(&mut block);
        file.write_at(0, block.freeze()).await.map_err(IoError::on("write", path))?;
        self.sync_space(&file, path).await?;
        if !self.shared.options.fault.skip_dir_sync {
            // Also that what was begun here in vain before is gone.
            match fs::sync_dir(&self.folder).await {
                // No sync was tried, and nothing is in the segment yet: this append is refused, and all else goes on.
                Err(error) if fs::is_out_of_files(&error) => {
                    return Err(IoError::on("sync", &self.folder)(error).into());
                }
                synced => self.shared.fatal.guard("sync a folder", &self.folder, synced)?,
            }
        }
        Ok(file)
    }

    /// Makes the log's folder, durably.
    async fn make_folder(&self) -> Result<(), IoError> {
        if self.folder_named.get() {
            return Ok(());
        }
        if self.shared.options.fault.skip_dir_sync {
            return fs::create_dir_all(&self.folder).await.map_err(IoError::on("create", &self.folder));
        }
        make_folder(&self.shared.dirs.dir(self.dir).topics(), &self.folder).await?;
        self.folder_named.set(true);
        Ok(())
    }

    /// The segment that is appended to, opened to write. `None` if there is none.
    async fn open_active(&self) -> Result<Option<(Offset, File)>, IoError> {
        let (base, file) = {
            let state = &mut *self.state.borrow_mut();
            let Some(active) = state.segments.active() else { return Ok(None) };
            (active.base, active.file.clone())
        };
        if let Some(file) = file {
            return Ok(Some((base, file)));
        }
        let path = segments::path(&self.folder, base);
        let file = File::open(&path, OpenOptions::WRITE).await.map_err(IoError::on("open", &path))?;
        let mut state = self.state.borrow_mut();
        if let Some(segment) = state.segments.get_mut(base) {
            segment.file.get_or_insert_with(|| file.clone());
        }
        drop(state);
        Ok(Some((base, file)))
    }

    /// Gives the segment that is appended to space up to `end`, and as much again as it has.
    async fn grow(&self, end: u64, whose: Whose) -> Result<(), PrepareError> {
        let Some((base, file)) = self.open_active().await? else { return Ok(()) };
        let allocated = {
            let state = &mut *self.state.borrow_mut();
            let active = state.segments.active().filter(|active| active.base == base);
            let Some(active) = active else { return Ok(()) };
            active.allocated
        };
        let path = segments::path(&self.folder, base);
        let wanted = end.max((2 * allocated).min(allocated + SPACE_MAX)).next_multiple_of(BLOCK_SIZE as u64);
        let mut reached = wanted;
        if wanted > allocated
            && let Err(error) = self.allocate(&file, allocated, wanted - allocated, &path, whose).await
        {
            // The disk may have enough for this append, though not for those to come.
            reached = end.next_multiple_of(BLOCK_SIZE as u64);
            if !error.is_full() || reached >= wanted || reached <= allocated {
                return Err(error.into());
            }
            self.allocate(&file, allocated, reached - allocated, &path, whose).await?;
        }
        self.sync_space(&file, &path).await?;
        let state = &mut *self.state.borrow_mut();
        if let Some(active) = state.segments.active()
            && active.base == base
        {
            active.allocated = active.allocated.max(reached);
        }
        Ok(())
    }

    /// Allocates space. On a full disk, what others wait for may use the reserve, and nothing else may before it is
    /// whole again.
    async fn allocate(
        &self,
        file: &File,
        position: u64,
        len: u64,
        path: &Path,
        whose: Whose,
    ) -> Result<(), IoError> {
        let reserve = &self.shared.reserve;
        let may_use_reserve = whose == Whose::Splice || self.options().class == Class::Control;
        if !may_use_reserve {
            reserve.restore(self.dir).await?;
        }
        loop {
            match file.allocate(position, len).await.map_err(IoError::on("allocate", path)) {
                Err(error) if error.is_full() && may_use_reserve => {
                    if !reserve.release(self.dir, len).await? {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// Makes what was allocated last beyond a power cut: a recovery needs no other space for what was acknowledged.
    async fn sync_space(&self, file: &File, path: &Path) -> Result<(), FatalError> {
        if self.shared.options.fault.skip_segment_sync {
            return Ok(());
        }
        self.shared.fatal.guard("sync a segment", path, file.sync_data().await)
    }
}

impl State {
    /// What an append of `len` bytes needs first, if it is to start on a block or not; where it may be put if nothing.
    /// It may take `own` of what is claimed.
    pub(super) fn need_for(
        &mut self,
        len: usize,
        aligned: bool,
        segment_bytes: u64,
        own: Room,
    ) -> Result<u64, Need> {
        if !self.segments.listed {
            return Err(Need::Files);
        }
        let claimed = self.claimed - own;
        let is_far = self.is_far(claimed.offsets);
        let Some(active) = self.segments.open() else { return Err(Need::Segment) };
        let end = active.end.unwrap_or(SEGMENT_HEADER_LEN);
        let start = if aligned { end.next_multiple_of(BLOCK_SIZE as u64) } else { end };
        let padded = (start + len as u64).next_multiple_of(BLOCK_SIZE as u64);
        if end > SEGMENT_HEADER_LEN && (padded > segment_bytes || is_far) {
            return Err(Need::Segment);
        }
        let wanted = padded + claimed.bytes;
        if wanted > active.allocated || active.file.is_none() {
            return Err(Need::Space(wanted));
        }
        Ok(start)
    }

    /// Whether offsets behind the next `claimed` ones are too far from the start of the last segment for its index.
    pub(super) fn is_far(&mut self, claimed: i64) -> bool {
        let end = self.end;
        self.segments.active().is_some_and(|active| end + claimed - active.base > i64::from(i32::MAX))
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.status, Status::Open)
    }
}

const _: () = assert!(FIRST_SPACE >= 2 * SEGMENT_HEADER_LEN);
