//! Which frames of a journal count: the rule of recovery, as a pure function over what is on disk.
//!
//! Let *L* be the highest `live_from` and *D* the highest `durable_through` that any whole frame of the journal tells.
//!
//! - Every frame from L to D was durable once and is still needed. If one of them is missing or does not follow its
//!   predecessor, that is **damage**, and recovery refuses.
//! - Behind D the chain goes on as long as frames follow each other. The first gap ends it: nothing tells that what
//!   lies behind was ever acknowledged, so it is **cut**.
//!
//! "Follow" means: the next sequence, the predecessor's checksum, and in the file the place right behind it or the
//! start of a file under a new run id. Frames below L are left over from a file's earlier use.
//!
//! A frame submitted tells every earlier frame's durability, so only the last frame before a crash has no witness: if
//! rot takes just that one, it can't be told from a torn write. A clean stop writes two closing frames for this reason.

use super::frame::{Frame, FrameError, FrameHeader};
use millrace_runtime::BLOCK_SIZE;

/// A whole frame and where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Index of its file among those looked through.
    pub(crate) file: usize,
    /// Bytes from the start of the file.
    pub(crate) position: u64,
    pub(crate) header: FrameHeader,
    pub(crate) checksum: u32,
}

impl Found {
    /// The place behind the frame.
    fn end(&self) -> u64 {
        self.position + self.header.padded_len() as u64
    }

    fn is_followed_by(&self, next: &Self) -> bool {
        let (before, after) = (&self.header, &next.header);
        let adjacent = if next.file == self.file {
            next.position == self.end() && after.run == before.run
        } else {
            next.position == 0 && after.run != before.run
        };
        adjacent && after.sequence == before.sequence + 1 && after.previous == self.checksum
    }
}

/// All whole frames of `journal` in one of its files. Frames of other journals are not looked at: they are leftovers.
///
/// # Errors
/// A frame that is whole but was written by a later release: nothing may be decided without understanding it.
pub(crate) fn scan(file: usize, bytes: &[u8], journal: &[u8; 16]) -> Result<Vec<Found>, (u64, FrameError)> {
    let mut found = Vec::new();
    let mut position = 0;
    while position < bytes.len() {
        let step = match Frame::parse(&bytes[position..]) {
            Ok(frame) if is_at_home(&frame, position, journal) => {
                let (header, checksum) = (frame.header, frame.checksum);
                found.push(Found { file, position: position as u64, header, checksum });
                header.padded_len()
            }
            Err(error @ FrameError::Version(_)) => return Err((position as u64, error)),
            Ok(_) | Err(_) => BLOCK_SIZE,
        };
        position += step;
    }
    Ok(found)
}

/// Whether the frame is this journal's, and was meant for this place (and not misdirected by the device).
fn is_at_home(frame: &Frame<'_>, position: usize, journal: &[u8; 16]) -> bool {
    frame.header.journal == *journal && frame.header.block as usize * BLOCK_SIZE == position
}

/// What a journal says, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The frames that count, ascending and without gaps.
    pub(crate) frames: Vec<Found>,
    /// Whether a clean stop ended it.
    pub(crate) closed: bool,
    /// Whole frames behind the first gap, which are not taken.
    pub(crate) cut: usize,
}

/// A frame that was durable once and is needed is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal frame {sequence} is damaged or missing; a later frame says that it was durable")]
pub(crate) struct ChainDamage {
    /// The missing frame.
    pub(crate) sequence: u64,
    /// Index of the file that held it, as far as can be told.
    pub(crate) file: usize,
    /// Where in that file.
    pub(crate) position: u64,
}

/// Applies the rule to all whole frames of one journal, in any order.
///
/// # Errors
/// [`ChainDamage`].
pub(crate) fn verify(mut found: Vec<Found>) -> Result<Chain, ChainDamage> {
    let Some(live_from) = found.iter().map(|frame| frame.header.live_from).max() else {
        return Ok(Chain { frames: found, closed: false, cut: 0 });
    };
    let durable = found.iter().map(|frame| frame.header.durable_through).max().unwrap_or(0);
    found.retain(|frame| frame.header.sequence >= live_from);
    found.sort_by_key(|frame| (frame.header.sequence, frame.file, frame.position));
    let mut taken = 0;
    while let Some(next) = found.get(taken) {
        let follows = match taken.checked_sub(1) {
            None => next.header.sequence == live_from && is_first(next, live_from),
            Some(last) => found[last].is_followed_by(next),
        };
        if !follows {
            break;
        }
        taken += 1;
    }
    let reached = live_from - 1 + taken as u64;
    if reached < durable {
        return Err(damage(&found, taken, reached + 1));
    }
    let cut = found.len() - taken;
    found.truncate(taken);
    let closed = found.last().is_some_and(|last| last.header.closing);
    Ok(Chain { frames: found, closed, cut })
}

/// Whether `frame`, the first that is needed, is where the first of a file belongs: files are freed whole.
fn is_first(frame: &Found, live_from: u64) -> bool {
    frame.position == 0 && (live_from > 1 || frame.header.previous == 0)
}

/// Names the place of the frame that should have followed `found[..taken]`.
fn damage(found: &[Found], taken: usize, sequence: u64) -> ChainDamage {
    let behind = taken.checked_sub(1).map(|last| (found[last].file, found[last].end()));
    let (file, position) = match (behind, found.get(taken)) {
        // The next frame that is there starts another file: the missing one was in either; the start of that file
        // is meant only if nothing else could be.
        (Some(behind), _) => behind,
        (None, Some(next)) => (next.file, 0),
        (None, None) => (0, 0),
    };
    ChainDamage { sequence, file, position }
}

#[cfg(test)]
mod tests;
