//! What waits for the next frame, and who goes first.

use super::{entry::Entry, frame::FRAME_HEADER_LEN};
use crate::{
    log::LogInner,
    options::{Class, FrameScope},
    signal::Done,
    tail::View,
};
use std::{collections::VecDeque, rc::Rc};

/// An entry that waits for its frame, or is in one that is being written.
pub(crate) struct Pending {
    pub(crate) log: Rc<LogInner>,
    /// The entry's number among its log's, or 0 for a checkpoint.
    pub(crate) number: u64,
    pub(crate) entry: Entry,
    /// Header and payload of an append, in the tail.
    pub(crate) batch: Option<View>,
    /// Finished when the entry is durable.
    pub(crate) done: Option<Rc<Done>>,
}

impl Pending {
    /// Bytes that it takes of a frame.
    pub(crate) fn frame_len(&self) -> usize {
        self.entry.encoded_len() + self.entry.payload_len()
    }
}

/// The queues of a journal. Entries of one log are all in one queue, except for checkpoints, which may pass them.
#[derive(Default)]
pub(crate) struct Queues {
    /// What the journal itself needs to go on: it may use the reserve of a full journal.
    maintenance: VecDeque<Pending>,
    classes: [VecDeque<Pending>; 3],
    bytes: usize,
}

impl Queues {
    /// Bytes that wait in all classes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, class: Class, pending: Pending) {
        self.bytes += pending.frame_len();
        self.classes[class as usize].push_back(pending);
    }

    pub(crate) fn push_maintenance(&mut self, pending: Pending) {
        self.maintenance.push_back(pending);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.maintenance.is_empty() && self.classes.iter().all(VecDeque::is_empty)
    }

    /// Moves what goes into a frame of at most `frame_len` bytes to `taken`; of appends and the like only as much as
    /// fits `class_len` bytes, the header included. First every class gets its share, then the first class that has
    /// more gets the rest.
    pub(crate) fn take(
        &mut self,
        frame_len: usize,
        class_len: usize,
        scope: FrameScope,
        taken: &mut Vec<Pending>,
    ) {
        let mut frame = Filling { left: frame_len.saturating_sub(FRAME_HEADER_LEN), scope, taken };
        frame.fill(&mut self.maintenance, usize::MAX);
        let used = frame_len - frame.left;
        frame.left = frame.left.min(class_len.saturating_sub(used));
        for guaranteed in [true, false] {
            for class in Class::ALL {
                let share = if guaranteed { frame_len * class.share() / 64 } else { usize::MAX };
                self.bytes -= frame.fill(&mut self.classes[class as usize], share);
            }
        }
    }

    /// All that waits.
    pub(crate) fn into_pending(self) -> impl Iterator<Item = Pending> {
        self.maintenance.into_iter().chain(self.classes.into_iter().flatten())
    }
}

/// A frame that is being put together.
struct Filling<'a> {
    left: usize,
    scope: FrameScope,
    taken: &'a mut Vec<Pending>,
}

impl Filling<'_> {
    /// Takes from the front of `queue` until `share` bytes are taken or the frame is full. Returns the bytes taken.
    fn fill(&mut self, queue: &mut VecDeque<Pending>, share: usize) -> usize {
        let mut filled = 0;
        while let Some(next) = queue.front() {
            let len = next.frame_len();
            let foreign = self.scope == FrameScope::Log
                && self.taken.first().is_some_and(|first| first.entry.key != next.entry.key);
            if len > self.left || foreign || filled >= share {
                break;
            }
            self.left -= len;
            filled += len;
            self.taken.extend(queue.pop_front());
        }
        filled
    }
}
