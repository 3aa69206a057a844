//! Space that staged pieces have in the segment of their partition, before they are spliced.
//!
//! Once the commit that names a piece is durable, its splice has to go through, whatever happens to the disk: readers wait
//! for it. So a piece **claims** what its splice will take before it is staged, durably, and whatever else is appended to
//! the partition leaves that alone. The law: behind the log's end, filled up to a block, the segment that is appended to
//! has space for all claims. Who begins a new segment gives it that space first; a splice that would begin one, and finds
//! no space for it, goes on in the one that holds its claim.
//!
//! Claims are not on disk, but the space is: after a start a splice finds it behind the log's end, or in the segment that
//! was begun for it.

use super::{
    AppendError, LogInner, State,
    prepare::{Need, Whose},
};
use crate::segment::header::SEGMENT_HEADER_LEN;
use millrace_record::{Batch, BatchHeader};
use millrace_runtime::BLOCK_SIZE;
use std::{
    ops::{Add, AddAssign, Sub, SubAssign},
    rc::{Rc, Weak},
};

/// What batches take of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes, with padding behind each batch: the log may be flushed between any two.
    pub(super) bytes: u64,
    /// Offsets, of which a segment has as many as an index can tell apart.
    pub(super) offsets: i64,
}

impl Room {
    pub(super) fn of(header: &BatchHeader) -> Self {
        Self {
            bytes: (header.total_len() as u64).next_multiple_of(BLOCK_SIZE as u64),
            offsets: i64::from(header.last_offset_delta) + 1,
        }
    }

    pub(super) fn of_all(batches: &[Batch<'_>]) -> Self {
        batches.iter().fold(Self::default(), |room, batch| room + Self::of(batch.header()))
    }
}

impl Add for Room {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, offsets: self.offsets + other.offsets }
    }
}

impl Sub for Room {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { bytes: self.bytes - other.bytes, offsets: self.offsets - other.offsets }
    }
}

impl AddAssign for Room {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Room {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// Room in a partition's segment that is one piece's. Dropping it gives it back.
pub(super) struct Claim {
    partition: Weak<LogInner>,
    room: Room,
}

impl Claim {
    /// What is left of the claim for a batch that takes `room`.
    pub(super) fn covers(&self, room: Room) -> Room {
        Room { bytes: room.bytes.min(self.room.bytes), offsets: room.offsets.min(self.room.offsets) }
    }

    /// The partition has taken `room` of it, and counts it no more.
    pub(super) fn spend(&mut self, room: Room) {
        self.room -= room;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(partition) = self.partition.upgrade() {
            partition.state.borrow_mut().claimed -= self.room;
        }
    }
}

impl LogInner {
    /// Claims room for batches that will be spliced. Returns when their space is allocated durably.
    pub(super) async fn claim(self: &Rc<Self>, room: Room) -> Result<Claim, AppendError> {
        // A segment may have to be begun at the log's end: nobody may move that meanwhile.
        let _inside = self.door.enter().await;
        loop {
            let need = {
                self.shared.fatal.check()?;
                let state = &mut *self.state.borrow_mut();
                if !state.is_open() {
                    return Err(AppendError::Closed);
                }
                match state.need_for_claim(room) {
                    Err(need) => need,
                    Ok(next_space) => {
                        state.claimed += room;
                        if let Some(end) = next_space {
                            self.start_preparing(state, Need::Space(end), Whose::Append);
                        }
                        return Ok(Claim { partition: Rc::downgrade(self), room });
                    }
                }
            };
            self.provide(need).await?;
        }
    }
}

impl State {
    /// What a claim needs first; if nothing, up to where space is better allocated now than when somebody waits for it.
    fn need_for_claim(&mut self, room: Room) -> Result<Option<u64>, Need> {
        if !self.segments.listed {
            return Err(Need::Files);
        }
        let claimed = self.claimed + room;
        let is_far = self.is_far(claimed.offsets);
        let Some(active) = self.segments.open() else { return Err(Need::Segment) };
        let end = active.end.unwrap_or(SEGMENT_HEADER_LEN).next_multiple_of(BLOCK_SIZE as u64);
        if end > SEGMENT_HEADER_LEN && is_far {
            return Err(Need::Segment);
        }
        let wanted = end + claimed.bytes;
        if wanted > active.allocated || active.file.is_none() {
            return Err(Need::Space(wanted));
        }
        Ok(active.space_ahead(claimed))
    }
}
