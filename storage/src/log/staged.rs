//! Uncommitted output: staged beside a partition, spliced onto it when its epoch is committed.
//!
//! A **piece** is what one task of a job has for one partition in one epoch: a control batch with its [`PieceMark`], then
//! its batches. Pieces have offsets in the staged log, and none in the partition: nobody sees them, and nothing waits
//! for them. On commit their batches are **spliced**: they get the next offsets of the partition, and the journal gets a
//! reference, not the bytes. A splice is durable already, by what was staged and by the commit: if its journal entry is
//! lost, so is every later append to the partition (none was acknowledged as durable), and after the start the same splice in the same
//! order gives the same offsets. [`SpliceMark`] tells how far that had come. It finds space however full the disk is: who
//! stages a piece claims that first, see [`claim`](super::claim).
//!
//! The staged log is cut from the front: a piece goes when nobody needs it, which for a spliced one is when the
//! partition's segment holds it durably and the journal says so.

use super::{
    AppendError, Durable, Log, LogInner, ReadError, State,
    append::Attempt,
    claim::{Claim, Room},
    prepare::{Need, PrepareError, Whose},
};
use crate::{
    journal::entry::{Body, Place, SpliceMark, StagedBatch},
    key::LogKind,
};
use bytes::{Buf, BufMut};
use millrace_record::{
    ArchivedBatchBuilder, Assignment, Attributes, Batch, BatchMeta, HEADER_LEN, Headers, Offset, Scratch,
    SharedBatch,
};
use millrace_runtime::{Queue, spawn_into, unix_millis};
use std::{collections::BTreeMap, rc::Rc};

/// The longest batch that holds a mark, in bytes.
const MARK_BATCH_MAX: usize = 1024;
/// Length of a mark's value, in bytes.
const MARK_LEN: usize = 48;
const MARK_VERSION: u32 = 1;

/// Who made a piece, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceMark {
    /// The job.
    pub job: [u8; 16],
    /// Its attempt: it rises with every start of the job.
    pub attempt: u64,
    /// The epoch of that attempt.
    pub epoch: u64,
    /// The task.
    pub task: u32,
}

/// A piece in a staged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Who made it.
    pub mark: PieceMark,
    /// Offset of its mark in the staged log.
    pub offset: Offset,
    /// Offset behind its last record there.
    pub next_offset: Offset,
}

/// A piece that was staged.
#[derive(Debug)]
pub struct Staged {
    /// The piece.
    pub piece: Piece,
    /// Ready when it is durable: then the task may vote for its epoch.
    pub durable: Durable,
}

/// Why pieces are not spliced.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpliceError {
    /// The staged log can't be read, or has not what it should.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The partition can't be appended to.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The piece is not in the staged log, or not durable there yet.
    #[error("the piece at {offset} of the staged log is not there, or not durable yet")]
    NotStaged {
        /// Where it should be.
        offset: Offset,
    },
}

/// What is known of a piece.
pub(super) struct PieceState {
    next_offset: Offset,
    /// Number of the partition's entry behind which nobody needs it; `None` while somebody may.
    needed_until: Option<u64>,
    /// The space that its splice will take, if it was staged in this life.
    claim: Option<Claim>,
}

/// A staged batch on its way to the partition.
struct Splice {
    /// Offset of its piece.
    piece: Offset,
    place: Place,
    batch: SharedBatch,
    mark: SpliceMark,
}

impl PieceMark {
    /// The value of the mark's record.
    pub(crate) fn encode(&self, batches: u32, records: u64) -> [u8; MARK_LEN] {
        let mut bytes = [0; MARK_LEN];
        let mut out = &mut bytes[..];
        out.put_u32_le(MARK_VERSION);
        out.put_slice(&self.job);
        out.put_u64_le(self.attempt);
        out.put_u64_le(self.epoch);
        out.put_u32_le(self.task);
        // Records of a piece fit 32 bits many times over; the count is a check, not a limit.
        out.put_u32_le(batches);
        out.put_u32_le(records as u32);
        bytes
    }

    /// The mark, and how many batches and records its piece has (records modulo 2^32).
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<(Self, u32, u32)> {
        if bytes.len() != MARK_LEN || bytes.get_u32_le() != MARK_VERSION {
            return None;
        }
        let mut job = [0; 16];
        bytes.copy_to_slice(&mut job);
        let (attempt, epoch, task) = (bytes.get_u64_le(), bytes.get_u64_le(), bytes.get_u32_le());
        Some((Self { job, attempt, epoch, task }, bytes.get_u32_le(), bytes.get_u32_le()))
    }
}

impl Log {
    /// Stages a piece for `partition`: this is the log where that is done. Its batches lie together, in their order. The
    /// space that a splice of them takes in the partition is the piece's from then on, until it is spliced or
    /// [released](Log::release): no full disk is in the way of a commit.
    ///
    /// # Errors
    /// [`AppendError`]; what was staged of the piece is given up then.
    ///
    /// # Panics
    /// If this is not where output for `partition` is staged.
    pub async fn stage(
        &self,
        partition: &Log,
        mark: PieceMark,
        batches: &[Batch<'_>],
    ) -> Result<Staged, AppendError> {
        let log = &self.0;
        assert_eq!(log.key, partition.key().with_kind(LogKind::Staged), "pieces are staged in a staged log");
        let claim = partition.0.claim(Room::of_all(batches)).await?;
        let records: u64 = batches.iter().map(|batch| u64::from(batch.header().last_offset_delta) + 1).sum();
        let value = mark.encode(batches.len() as u32, records);
        let mut builder = ArchivedBatchBuilder::new(MARK_BATCH_MAX);
        builder.push(unix_millis(), None, Some(&value), Headers::EMPTY).expect("a mark is short");
        let mut image = Vec::new();
        let meta = BatchMeta { attributes: Attributes::CONTROL, ..BatchMeta::PLAIN };
        let header = builder.finish(&meta, &mut image).expect("the mark is one record");
        let head = Batch::new(header, &image[HEADER_LEN..]).expect("the builder's header fits its payload");

        let _inside = log.door.enter().await;
        let offset = self.end_offset();
        let mut result = Ok(());
        for batch in std::iter::once(&head).chain(batches) {
            result = log.append_inside(batch).await;
            if result.is_err() {
                break;
            }
        }
        let piece = Piece { mark, offset, next_offset: self.end_offset() };
        if piece.next_offset > offset {
            let (needed_until, claim) = if result.is_ok() { (None, Some(claim)) } else { (Some(0), None) };
            let state = PieceState { next_offset: piece.next_offset, needed_until, claim };
            log.state.borrow_mut().pieces.insert(offset, state);
        }
        result.map(|()| Staged { piece, durable: self.durable() })
    }

    /// The whole pieces that a staged log holds, in order. After a start this is how its owner learns what to commit or
    /// to give up; what is no whole piece was never durable as one, and is given up here.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn pieces(&self) -> Result<Vec<Piece>, ReadError> {
        let log = &self.0;
        log.ensure_listed().await?;
        let (found, broken) = log.find_pieces(self.start_offset(), self.high_watermark()).await?;
        let mut state = log.state.borrow_mut();
        for piece in &found {
            let known = PieceState { next_offset: piece.next_offset, needed_until: None, claim: None };
            state.pieces.entry(piece.offset).or_insert(known);
        }
        for (offset, next_offset) in broken {
            let broken = PieceState { next_offset, needed_until: Some(0), claim: None };
            state.pieces.entry(offset).or_insert(broken);
        }
        Ok(found)
    }

    /// Nobody needs a piece any more: its epoch was not committed. Space is given back when all before it is, too.
    pub fn release(&self, piece: &Piece) {
        self.0.state.borrow_mut().release(piece, 0);
        self.0.trim_soon(0);
    }

    /// Splices what commit number `commit` has for this partition: `pieces` of `staged`, always in the same order. What
    /// was spliced before, of this commit or a later one, is not spliced again. Consumers see it when everything
    /// before it is durable. Returns the offset behind the last batch.
    ///
    /// # Errors
    /// [`SpliceError`]. Batches may have been spliced then; a repetition goes on behind them.
    pub async fn splice(&self, staged: &Log, commit: u64, pieces: &[Piece]) -> Result<Offset, SpliceError> {
        let (log, from) = (&self.0, &staged.0);
        let mut batches = Vec::new();
        for piece in pieces {
            let placed = from.read_placed(piece.offset, piece.next_offset).await?;
            let mut sorter = PieceSorter::new();
            placed.iter().for_each(|(_, batch)| sorter.push(batch));
            let (found, broken) = sorter.finish();
            if found != [*piece] || !broken.is_empty() {
                return Err(SpliceError::NotStaged { offset: piece.offset });
            }
            // The first one is the mark.
            batches.extend(placed.into_iter().skip(1).map(|(place, batch)| (piece.offset, place, batch)));
        }
        let _inside = log.door.enter().await;
        let done = log.already_spliced(commit, batches.len());
        let mut may_begin = true;
        for (at, (piece, place, batch)) in batches.into_iter().enumerate().skip(done) {
            let mark = SpliceMark { commit, batches: at as u32 + 1 };
            log.splice_inside(from, &Splice { piece, place, batch, mark }, &mut may_begin).await?;
        }
        log.advance_over_spliced();
        let (end, last, checkpointed) = {
            let mut state = log.state.borrow_mut();
            state.staged = Rc::downgrade(from);
            (state.end, state.entries.made, state.entries.checkpointed)
        };
        pieces.iter().for_each(|piece| from.state.borrow_mut().release(piece, last));
        from.trim_soon(checkpointed);
        Ok(end)
    }
}

impl State {
    /// A piece is needed until the partition's entries up to this number are in a durable checkpoint.
    fn release(&mut self, piece: &Piece, entry: u64) {
        if let Some(known) = self.pieces.get_mut(&piece.offset) {
            known.needed_until = Some(known.needed_until.map_or(entry, |known| known.min(entry)));
            known.claim = None;
        }
    }

    /// What a piece has of its claim for a batch that takes `room`.
    fn claimed_for(&self, piece: Offset, room: Room) -> Room {
        let claim = self.pieces.get(&piece).and_then(|piece| piece.claim.as_ref());
        claim.map_or(Room::default(), |claim| claim.covers(room))
    }

    fn spend(&mut self, piece: Offset, room: Room) {
        if let Some(claim) = self.pieces.get_mut(&piece).and_then(|piece| piece.claim.as_mut()) {
            claim.spend(room);
        }
    }
}

impl LogInner {
    /// The whole pieces between two offsets, and the ranges that are none. A staged log may be longer than memory: no more
    /// than one step of it is held at a time.
    async fn find_pieces(self: &Rc<Self>, from: Offset, to: Offset) -> Result<Pieces, ReadError> {
        let mut sorter = PieceSorter::new();
        let mut offset = from;
        while offset < to {
            let placed = self.read_step(offset, to).await?;
            let Some((_, last)) = placed.last() else { break };
            offset = last.header().next_offset();
            placed.iter().for_each(|(_, batch)| sorter.push(batch));
        }
        Ok(sorter.finish())
    }

    /// Appends for somebody who is inside the door.
    async fn append_inside(self: &Rc<Self>, batch: &Batch<'_>) -> Result<(), AppendError> {
        loop {
            match self.try_append(batch, None)? {
                Attempt::Appended(_) => return Ok(()),
                Attempt::Needs(need) => self.provide(need).await?,
            }
        }
    }

    /// How many batches of a commit of `count` batches are on the partition.
    fn already_spliced(&self, commit: u64, count: usize) -> usize {
        let spliced = self.state.borrow().spliced;
        match spliced.commit.cmp(&commit) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => spliced.batches as usize,
            std::cmp::Ordering::Greater => count,
        }
    }

    /// Splices a batch. A segment that is full is ended if the next can be begun (`may_begin` tells whether that is to be
    /// tried); on a full disk the one that holds the claim grows beyond its length.
    async fn splice_inside(
        self: &Rc<Self>,
        from: &Rc<Self>,
        splice: &Splice,
        may_begin: &mut bool,
    ) -> Result<(), AppendError> {
        let header = splice.batch.header();
        loop {
            let need = {
                self.shared.fatal.check()?;
                let state = &mut *self.state.borrow_mut();
                if !state.is_open() {
                    return Err(AppendError::Closed);
                }
                let own = from.state.borrow().claimed_for(splice.piece, Room::of(header));
                let segment_bytes = if *may_begin { self.options.get().segment_bytes } else { u64::MAX };
                match state.need_for(header.total_len(), false, segment_bytes, own) {
                    Err(need) => need,
                    Ok(_) if !self.shared.journal.has_room(HEADER_LEN) => Need::Room,
                    Ok(_) => {
                        from.state.borrow_mut().spend(splice.piece, own);
                        state.claimed -= own;
                        self.put_spliced(state, splice);
                        break;
                    }
                }
            };
            match self.provide_for(need, Whose::Splice).await.map_err(|error: PrepareError| error.into()) {
                Err(AppendError::Exhausted(_)) if need == Need::Segment && *may_begin => *may_begin = false,
                provided => provided?,
            }
        }
        self.shared.memory.relieve(&self.shared.cache);
        Ok(())
    }

    fn put_spliced(self: &Rc<Self>, state: &mut State, splice: &Splice) {
        let &Splice { place, ref batch, mark, .. } = splice;
        // The epoch that the log's end has: a splice that is repeated after a start must give the same batch, though
        // the leader's epoch has risen meanwhile.
        let leader_epoch = state.epochs.latest().unwrap_or(state.leader_epoch);
        self.begin_epoch(state, leader_epoch);
        let assignment = Assignment { base_offset: state.end, leader_epoch, append_time: None };
        let source = StagedBatch { at: place, offset: batch.header().base_offset };
        let batch = batch.as_batch();
        let header = self.put(state, &batch, &assignment, false, |at, header| Body::Splice {
            at,
            header,
            source,
            mark,
        });
        state.spliced = mark;
        state.splices.push_back((header.base_offset, header.next_offset()));
    }

    /// A checkpoint of this partition is durable: pieces that it contains may go.
    pub(super) fn trim_staged(&self) {
        let (staged, checkpointed) = {
            let state = self.state.borrow();
            (state.staged.upgrade(), state.entries.checkpointed)
        };
        if let Some(staged) = staged {
            staged.trim_soon(checkpointed);
        }
    }

    /// Moves a staged log's start over pieces that nobody needs.
    fn trim_soon(self: &Rc<Self>, checkpointed: u64) {
        let start = {
            let state = &mut *self.state.borrow_mut();
            let mut start = state.start;
            while let Some(piece) = state.pieces.get(&start)
                && piece.needed_until.is_some_and(|entry| entry <= checkpointed)
            {
                let next = piece.next_offset;
                state.pieces.remove(&start);
                start = next;
            }
            let start = start.min(state.high_watermark());
            if start <= state.start {
                return;
            }
            start
        };
        let log = Log(Rc::clone(self));
        spawn_into(Queue::Background, async move {
            // What stays is tried again by the next start.
            if let Err(error) = log.advance_start(start).await {
                tracing::debug!(%error, "a staged log is not trimmed");
            }
        });
    }
}

/// Whole pieces, and the ranges that are none.
type Pieces = (Vec<Piece>, BTreeMap<Offset, Offset>);

/// Sorts the batches of a staged log, one after the other, into pieces.
struct PieceSorter {
    scratch: Scratch,
    sorted: Pieces,
    /// The piece that the next batch may belong to, and how many batches and records it lacks.
    open: Option<(Piece, u32, u32)>,
}

impl PieceSorter {
    fn new() -> Self {
        Self { scratch: Scratch::new(MARK_BATCH_MAX), sorted: Pieces::default(), open: None }
    }

    fn push(&mut self, batch: &SharedBatch) {
        let header = batch.header();
        if header.attributes.is_control() {
            self.close();
            let mark = mark_of(batch, &mut self.scratch);
            let (mark, batches, records) =
                mark.unwrap_or((PieceMark { job: [0; 16], attempt: 0, epoch: 0, task: 0 }, u32::MAX, 0));
            let piece = Piece { mark, offset: header.base_offset, next_offset: header.next_offset() };
            self.open = Some((piece, batches, records));
        } else if let Some((piece, batches, records)) = &mut self.open {
            piece.next_offset = header.next_offset();
            *batches = batches.wrapping_sub(1);
            *records = records.wrapping_sub(header.last_offset_delta + 1);
        }
    }

    fn close(&mut self) {
        let (whole, broken) = &mut self.sorted;
        match self.open.take() {
            Some((piece, 0, 0)) => whole.push(piece),
            Some((piece, ..)) => drop(broken.insert(piece.offset, piece.next_offset)),
            None => {}
        }
    }

    fn finish(mut self) -> Pieces {
        self.close();
        self.sorted
    }
}

/// What a control batch of a staged log says.
fn mark_of(batch: &SharedBatch, scratch: &mut Scratch) -> Option<(PieceMark, u32, u32)> {
    let mut records = batch.as_batch().records(scratch).ok()?;
    PieceMark::decode(records.next()?.ok()?.value?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MARK: PieceMark = PieceMark { job: [7; 16], attempt: 2, epoch: 3, task: 4 };

    /// The layout, byte by byte, as docs/formats.md has it.
    #[test]
    fn layout_is_fixed() {
        let bytes = MARK.encode(5, (1 << 32) + 6);
        assert_eq!(bytes[..4], [1, 0, 0, 0]);
        assert_eq!(bytes[4..20], [7; 16]);
        assert_eq!(bytes[20..36], [2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[36..], [4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0]);
    }

    #[test]
    fn other_bytes_are_no_mark() {
        let bytes = MARK.encode(5, 6);
        assert_eq!(PieceMark::decode(&bytes), Some((MARK, 5, 6)));
        assert_eq!(PieceMark::decode(&bytes[1..]), None);
        let later = [&[2, 0, 0, 0], &bytes[4..]].concat();
        assert_eq!(PieceMark::decode(&later), None, "a later release's");
    }

    proptest! {
        #[test]
        fn round_trips(job: [u8; 16], attempt: u64, epoch: u64, task: u32, batches: u32, records: u32) {
            let mark = PieceMark { job, attempt, epoch, task };
            let bytes = mark.encode(batches, u64::from(records));
            prop_assert_eq!(PieceMark::decode(&bytes), Some((mark, batches, records)));
        }
    }
}
