//! What all logs of a shard share.

use crate::{
    cache::ReadCache,
    dirs::DataDirs,
    fatal::Fatal,
    journal::{Journal, frame::FRAME_LEN_MAX},
    log::LogInner,
    memory::Memory,
    options::StoreOptions,
    reserve::Reserve,
    signal::Turnstile,
};
use millrace_record::Offset;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};

/// Segments kept open for reading: a shard of a server with thousands of them must not run out of descriptors.
const READERS_MAX: usize = 512;

pub(crate) struct Shared {
    pub(crate) options: StoreOptions,
    pub(crate) dirs: DataDirs,
    pub(crate) fatal: Fatal,
    pub(crate) journal: Rc<Journal>,
    pub(crate) cache: ReadCache,
    pub(crate) memory: Memory,
    pub(crate) reserve: Reserve,
    pub(crate) readers: Readers,
    /// Who cuts a log goes in here.
    pub(crate) cuts: Turnstile,
    next_id: Cell<u64>,
}

impl Shared {
    pub(crate) fn new(
        options: StoreOptions,
        dirs: DataDirs,
        fatal: Fatal,
        journal: Rc<Journal>,
        reserve: Reserve,
    ) -> Self {
        let memory = Memory::new(options.memory_bytes);
        let direct_append_bytes =
            options.direct_append_bytes.min(journal.append_len_max()).min(FRAME_LEN_MAX / 2);
        let options = StoreOptions { direct_append_bytes, ..options };
        Self {
            options,
            dirs,
            fatal,
            journal,
            cache: ReadCache::default(),
            memory,
            reserve,
            readers: Readers::default(),
            cuts: Turnstile::default(),
            next_id: Cell::new(1),
        }
    }

    /// A number that no other open segment has.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.replace(self.next_id.get() + 1)
    }
}

/// The segments that are open for reading, in the order in which they were opened.
#[derive(Default)]
pub(crate) struct Readers(RefCell<VecDeque<(Weak<LogInner>, Offset)>>);

impl Readers {
    /// A segment was opened; the one that was opened first of too many is closed.
    pub(crate) fn opened(&self, log: &Rc<LogInner>, base: Offset) {
        let first = {
            let mut open = self.0.borrow_mut();
            open.push_back((Rc::downgrade(log), base));
            if open.len() > READERS_MAX { open.pop_front() } else { None }
        };
        if let Some((log, base)) = first
            && let Some(log) = log.upgrade()
        {
            log.close_reader(base);
        }
    }
}
