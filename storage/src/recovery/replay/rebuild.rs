//! One log that is being rebuilt from its checkpoint and the entries behind it.

use super::super::{LogState, RecoverError, survey::Authority};
use crate::{
    dirs::{DataDirs, make_folder},
    error::{Damage, IoError},
    journal::entry::{Body, Place, SpliceMark, StagedBatch},
    key::LogKind,
    log::{base_of, file_name, index_name},
    producer::SNAPSHOT_FILE,
    segment::{
        header::{SEGMENT_HEADER_LEN, SegmentHeader},
        walk::pad,
    },
};
use bytes::Bytes;
use millrace_record::{Assignment, Batch, BatchHeader, HEADER_LEN, Offset, header::padding_len};
use millrace_runtime::{AlignedBuf, BLOCK_SIZE, File, OpenOptions, fs};
use std::{fmt::Display, path::PathBuf};

const BLOCK: u64 = BLOCK_SIZE as u64;
/// Bytes that are gathered before they are written.
const GATHERED_MAX: usize = 1 << 20;

/// Says where in the journal something is wrong.
type Damaged<'a> = &'a dyn Fn(&dyn Display) -> Damage;

pub(super) struct Rebuild {
    state: LogState,
    /// Entries of earlier frames are contained in the checkpoint, or undone.
    pub(super) replay_from: u64,
    /// Batches of earlier frames are in the segments, or cut off.
    batches_from: u64,
    /// Where the log starts after all entries.
    last_start: Offset,
    store: [u8; 16],
    topics: PathBuf,
    folder: PathBuf,
    /// Where what was staged for this partition lies.
    staged_folder: PathBuf,
    file: Option<File>,
    has_folder: bool,
    /// Whether the segment at the log's end is not there, and those before that were not, with their last offsets:
    /// they were removed behind the log's start, which later entries tell.
    is_missing: bool,
    missing: Vec<(Offset, Offset)>,
    /// What is not written yet: it ends where the log does, and starts at a block.
    gathered: Vec<u8>,
}

impl Rebuild {
    pub(super) fn new(dirs: &DataDirs, state: LogState, authority: &Authority) -> Self {
        let dir = dirs.dir(state.dir);
        Self {
            replay_from: authority.checkpoint.replay_from,
            batches_from: authority.batches_from,
            last_start: authority.start,
            store: dirs.store_id(),
            topics: dir.topics(),
            folder: dir.folder(&state.key),
            staged_folder: dir.folder(&state.key.with_kind(LogKind::Staged)),
            file: None,
            has_folder: false,
            is_missing: false,
            missing: Vec::new(),
            gathered: Vec::new(),
            state,
        }
    }

    /// Does what an entry of the frame `sequence` says, unless that is done already.
    pub(super) async fn apply(
        &mut self,
        sequence: u64,
        body: &Body,
        payload: &[u8],
        damaged: Damaged<'_>,
    ) -> Result<(), RecoverError> {
        let is_due = sequence >= self.batches_from;
        match body {
            Body::Append { at, header } => {
                if is_due && self.reach(*at, header, true, damaged).await? {
                    self.gather(header, payload).await?;
                }
            }
            Body::Reference { at, header } => {
                if is_due && self.reach(*at, header, false, damaged).await? {
                    self.pass_over(*at, header).await?;
                }
            }
            Body::Splice { at, header, source, mark } => {
                if is_due && self.reach(*at, header, true, damaged).await? {
                    let payload = self.staged(source, header, damaged).await?;
                    self.gather(header, &payload).await?;
                }
                self.splice(*mark);
            }
            Body::Cut { to, at, block } => {
                if is_due {
                    self.cut(*to, *at, block).await?;
                }
            }
            Body::LogStart { start } => {
                self.state.start = self.state.start.max(*start);
                self.state.epochs.raise_start(*start);
            }
            Body::EpochStart { start } => {
                self.state.epochs.begin(start.epoch, start.start);
                self.state.leader_epoch = self.state.leader_epoch.max(start.epoch);
            }
            Body::Checkpoint(_) => {}
        }
        Ok(())
    }

    fn splice(&mut self, mark: SpliceMark) {
        self.state.spliced = self.state.spliced.max(mark);
    }

    /// Moves the log's end to where a batch begins. `false` if the log has the batch already. `makes` tells whether a
    /// segment that begins there is to be made.
    async fn reach(
        &mut self,
        at: Place,
        header: &BatchHeader,
        makes: bool,
        damaged: Damaged<'_>,
    ) -> Result<bool, RecoverError> {
        let end = self.state.end;
        if header.next_offset() <= end {
            return Ok(false);
        }
        if header.base_offset != end {
            let what = format_args!("{}: offset {} where {end} follows", self.state.key, header.base_offset);
            return Err(damaged(&what).into());
        }
        let place = self.state.place;
        let is_next = at == place
            || (at.segment == place.segment && at.position == place.position.next_multiple_of(BLOCK));
        let begins = at.segment == end && at.position == SEGMENT_HEADER_LEN && at.segment >= place.segment;
        if is_next && place.position > 0 {
            self.pad_to(at.position);
        } else if begins {
            self.begin(at.segment, makes).await?;
        } else {
            let what = format_args!("{}: a batch at {at:?} where the log ends at {place:?}", self.state.key);
            return Err(damaged(&what).into());
        }
        Ok(true)
    }

    fn pad_to(&mut self, position: u64) {
        let len = (position - self.state.place.position) as usize;
        let at = self.gathered.len();
        self.gathered.resize(at + len, 0);
        pad(&mut self.gathered[at..]);
        self.state.place.position = position;
    }

    async fn gather(&mut self, header: &BatchHeader, payload: &[u8]) -> Result<(), RecoverError> {
        self.gathered.extend_from_slice(&header.pack());
        self.gathered.extend_from_slice(payload);
        self.advance(header);
        if self.gathered.len() >= GATHERED_MAX {
            self.write_blocks().await?;
        }
        Ok(())
    }

    fn advance(&mut self, header: &BatchHeader) {
        self.state.place.position += header.total_len() as u64;
        self.state.end = header.next_offset();
    }

    /// A batch whose bytes are in the segment: they are looked at, and stay.
    async fn pass_over(&mut self, at: Place, header: &BatchHeader) -> Result<(), RecoverError> {
        self.write_blocks().await?;
        let path = self.path();
        let file = self.open().await?;
        let Some(file) = file.filter(|_| header.next_offset() > self.last_start) else {
            // Nobody will read it, and its segment may be gone.
            self.pass(header);
            return Ok(());
        };
        let bytes = read_batch(&file, at.position, header.total_len(), &path).await?;
        let (batch, _) =
            Batch::split_first(&bytes).map_err(|error| Damage::new(&path, at.position, error))?;
        if batch.header() != header {
            return Err(
                Damage::new(&path, at.position, "this is not the batch that the journal tells of").into()
            );
        }
        batch.check().map_err(|error| Damage::new(&path, at.position, error))?;
        self.pass(header);
        Ok(())
    }

    fn pass(&mut self, header: &BatchHeader) {
        self.advance(header);
        // Its run ends with padding, which is there too.
        self.state.place.position += padding_len(self.state.place.position, BLOCK);
    }

    /// The payload of a spliced batch, from what was staged.
    async fn staged(
        &self,
        source: &StagedBatch,
        header: &BatchHeader,
        damaged: Damaged<'_>,
    ) -> Result<Vec<u8>, RecoverError> {
        let path = self.staged_folder.join(file_name(source.at.segment));
        let file = File::open(&path, OpenOptions::READ).await.map_err(IoError::on("open", &path))?;
        let bytes = read_batch(&file, source.at.position, header.total_len(), &path).await?;
        let damage = |error: &dyn Display| Damage::new(&path, source.at.position, error);
        let (batch, _) = Batch::split_first(&bytes).map_err(|error| damage(&error))?;
        batch.check().map_err(|error| damage(&error))?;
        let mut spliced = *batch.header();
        let mut payload = batch.payload().to_vec();
        let assignment = Assignment {
            base_offset: header.base_offset,
            leader_epoch: header.leader_epoch,
            append_time: None,
        };
        assignment.apply(&mut spliced, &mut payload).map_err(|error| damage(&error))?;
        if batch.header().base_offset != source.offset || spliced != *header {
            return Err(damaged(&"a spliced batch is not what was staged").into());
        }
        Ok(payload)
    }

    /// Begins a segment at the log's end, or goes over to one that is there.
    async fn begin(&mut self, base: Offset, makes: bool) -> Result<(), RecoverError> {
        if self.state.place.position > 0 {
            self.finish_segment(true).await?;
        }
        if self.is_missing {
            self.missing.push((self.state.place.segment, self.state.end));
        }
        self.state.place = Place { segment: base, position: SEGMENT_HEADER_LEN };
        if !makes {
            self.file = None;
            self.is_missing = false;
            return Ok(());
        }
        let file = self.create().await?;
        let mut block = AlignedBuf::zeroed(BLOCK_SIZE);
        let epochs = self.state.epochs.clone();
        SegmentHeader { store: self.store, key: self.state.key, base, epochs }.encode(&mut block);
        file.write_at(0, block.freeze()).await.map_err(IoError::on("write", &self.path()))?;
        Ok(())
    }

    async fn cut(&mut self, to: Offset, at: Place, block: &Bytes) -> Result<(), RecoverError> {
        // What was gathered is either before the place, then it belongs to the file, or it is dropped.
        self.write_blocks().await?;
        self.file = None;
        self.is_missing = false;
        let mut bases: Vec<_> =
            super::super::list(&self.folder).await?.iter().filter_map(|entry| base_of(&entry.name)).collect();
        bases.sort_unstable();
        self.remove_if_there(SNAPSHOT_FILE).await?;
        self.remove_if_there(&index_name(at.segment)).await?;
        for base in bases.into_iter().filter(|base| *base > at.segment) {
            self.remove_if_there(&file_name(base)).await?;
            self.remove_if_there(&index_name(base)).await?;
        }
        fs::sync_dir(&self.folder).await.map_err(IoError::on("sync", &self.folder))?;
        self.state.place = at;
        self.state.end = to;
        self.state.epochs.cut(to);
        self.gathered.clear();
        self.gathered.extend_from_slice(block);
        Ok(())
    }

    async fn remove_if_there(&self, name: &str) -> Result<(), IoError> {
        let path = self.folder.join(name);
        if fs::exists(&path).await.map_err(IoError::on("look for", &path))? {
            fs::remove_file(&path).await.map_err(IoError::on("remove", &path))?;
        }
        Ok(())
    }

    /// Writes the whole blocks of what was gathered.
    pub(super) async fn write_blocks(&mut self) -> Result<(), RecoverError> {
        let len = self.gathered.len() / BLOCK_SIZE * BLOCK_SIZE;
        if len == 0 {
            return Ok(());
        }
        let from = self.state.place.position - self.gathered.len() as u64;
        let mut bytes = AlignedBuf::zeroed(len);
        bytes.copy_from_slice(&self.gathered[..len]);
        self.gathered.drain(..len);
        if let Some(file) = self.open().await? {
            file.write_at(from, bytes.freeze()).await.map_err(IoError::on("write", &self.path()))?;
        }
        Ok(())
    }

    /// Pads and writes the rest of a segment, and makes it durable.
    async fn finish_segment(&mut self, is_sealed: bool) -> Result<(), RecoverError> {
        self.pad_to(self.state.place.position.next_multiple_of(BLOCK));
        self.write_blocks().await?;
        let path = self.path();
        let Some(file) = self.open().await? else { return Ok(()) };
        if is_sealed {
            file.set_len(self.state.place.position).await.map_err(IoError::on("cut", &path))?;
        }
        file.sync_data().await.map_err(IoError::on("sync", &path))?;
        self.file = None;
        Ok(())
    }

    /// Ends the rebuilding: everything is in the segments, durably.
    pub(super) async fn finish(mut self) -> Result<LogState, RecoverError> {
        if self.state.place.position > 0 {
            self.finish_segment(false).await?;
            if self.is_missing {
                self.missing.push((self.state.place.segment, Offset::MAX));
            }
            if let Some((base, _)) = self.missing.iter().find(|(_, end)| *end > self.state.start) {
                return Err(
                    Damage::new(&self.folder.join(file_name(*base)), 0, "the segment is missing").into()
                );
            }
            make_folder(&self.topics, &self.folder).await?;
            fs::sync_dir(&self.folder).await.map_err(IoError::on("sync", &self.folder))?;
        }
        Ok(self.state)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(file_name(self.state.place.segment))
    }

    /// The file of the segment at the log's end, if it is there.
    async fn open(&mut self) -> Result<Option<File>, IoError> {
        if self.file.is_none() && !self.is_missing {
            let path = self.path();
            match File::open(&path, OpenOptions::WRITE).await {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.is_missing = true,
                Err(error) => return Err(IoError::on("open", &path)(error)),
            }
        }
        Ok(self.file.clone())
    }

    /// Makes the file of the segment at the log's end, or takes the one that an earlier life has begun.
    async fn create(&mut self) -> Result<File, IoError> {
        if !std::mem::replace(&mut self.has_folder, true) {
            make_folder(&self.topics, &self.folder).await?;
        }
        let path = self.path();
        let options = OpenOptions { write: true, create: true, create_new: false };
        let file = File::open(&path, options).await.map_err(IoError::on("open", &path))?;
        self.is_missing = false;
        self.file = Some(file.clone());
        Ok(file)
    }
}

async fn read_batch(
    file: &File,
    position: u64,
    len: usize,
    path: &std::path::Path,
) -> Result<Bytes, RecoverError> {
    let bytes = file.read_at(position, len).await.map_err(IoError::on("read", path))?;
    if bytes.len() < len.max(HEADER_LEN) {
        return Err(Damage::new(path, position, "the file ends within a batch").into());
    }
    Ok(bytes)
}
