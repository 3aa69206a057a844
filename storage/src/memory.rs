//! A shard's budget for tails, cached segments and indexes.
//!
//! Tails are given up in the order in which their chunks were made, and only what is in a segment file already. What is
//! not there yet is counted but kept: the journal and its queue bound it.

use crate::{cache::ReadCache, log::LogInner};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};

/// The cache keeps at least this part of the budget when tails want more.
const CACHE_SHARE: usize = 4;

pub(crate) struct Memory {
    limit: usize,
    tails: Cell<usize>,
    /// The log of every chunk, oldest chunk first.
    chunks: RefCell<VecDeque<Weak<LogInner>>>,
}

/// What came of the wish that a log gives up its oldest chunk.
pub(crate) enum Eviction {
    /// So many bytes were given up.
    Freed(usize),
    /// The oldest chunk is not in a segment yet.
    Unwritten,
    /// There is none.
    Nothing,
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, tails: Cell::new(0), chunks: RefCell::default() }
    }

    /// Bytes that tails hold.
    pub(crate) fn tails(&self) -> usize {
        self.tails.get()
    }

    /// Counts a new chunk of `log`.
    pub(crate) fn take(&self, len: usize, log: &Rc<LogInner>) {
        self.tails.set(self.tails.get() + len);
        self.chunks.borrow_mut().push_back(Rc::downgrade(log));
    }

    /// Chunks were given up.
    pub(crate) fn give(&self, len: usize) {
        self.tails.set(self.tails.get() - len);
    }

    fn is_over(&self, cache: &ReadCache) -> bool {
        self.tails.get() + cache.len() > self.limit
    }

    /// Gives up what the budget does not allow: cached bytes above their share first, then tails.
    pub(crate) fn relieve(&self, cache: &ReadCache) {
        let share = self.limit / CACHE_SHARE;
        while self.is_over(cache) && cache.len() > share && cache.evict() {}
        let mut left = self.chunks.borrow().len();
        while left > 0 && self.is_over(cache) {
            left -= 1;
            let Some(chunk) = self.chunks.borrow_mut().pop_front() else { break };
            let Some(log) = chunk.upgrade() else { continue };
            match log.evict() {
                Eviction::Freed(len) => self.give(len),
                Eviction::Unwritten => self.chunks.borrow_mut().push_back(chunk),
                Eviction::Nothing => {}
            }
        }
        while self.is_over(cache) && cache.evict() {}
    }
}
