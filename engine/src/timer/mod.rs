//! Timers: an index that says "look at this key about then".
//!
//! # Laws
//!
//! 1. **The deadline lives in the state entry**, which survives; the index only names keys to look at. Whoever is
//!    told to look reads the entry: if its deadline has moved on, it arms the new one (or has done so already); if the entry is
//!    gone, nothing happens. So nothing is ever deleted from the index, and an entry whose deadline moves with every record
//!    (a session's, say) is armed again only when the old time comes.
//! 2. **The index is not state.** It is rebuilt on restore by a scan of the table that arms every entry's deadline.
//! 3. No key is named before its time: [`TimerIndex::pop`] names exactly those armed at or before `now`, the earliest
//!    first, and those of one deadline in the order in which they were armed.
//! 4. Popping can stop anywhere and go on later: a task's step has a budget. A watermark is forwarded only when
//!    nothing is left to pop at it.
//!
//! A task has one index for event time, whose `now` is its watermark, and one for processing time, whose `now` is the task's own
//! clock.
//!
//! # Shape
//!
//! Deadlines fall into buckets of equal width, which lie in a ring, so arming is an append to a byte buffer. A bucket is
//! sorted when its time comes. What is armed into it after that goes to a heap, which is small: it has only what is due
//! within one bucket's width.

mod bucket;
mod index;

pub use index::{Due, TimerIndex};

#[cfg(test)]
mod tests;
