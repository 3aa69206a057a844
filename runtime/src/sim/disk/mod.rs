//! The simulated disk.
//!
//! What a power cut may take is exactly what the documentation of [`File`](crate::File) and [`fs`](crate::fs) does not
//! promise, and each may really happen on some file system and device:
//!
//! - a file's bytes that no sync of this file and no durable write covered, block by block, old or new, torn at
//!   512-byte sectors if so asked, those of writes in flight included;
//! - bytes written into space that was never written before (allocated, or beyond the old end), though the device has
//!   them: the metadata still says "unwritten", and they read as zeros;
//! - a change of the length, and all later ones of this file;
//! - a directory's changes that no sync of this directory covered, in any combination.
//!
//! Everything is tracked per file: ext4's shared journal makes other files durable by accident, and a program that
//! needs the accident is wrong.

mod crash;
mod extents;
mod fault;
mod inode;
mod operation;
mod outside;
mod session;
mod tree;
mod volume;

pub use fault::Fault;
pub(crate) use operation::{Handle, Operation, Outcome};
pub use outside::{DiskHandle, DiskRead, DiskSnapshot};
pub(crate) use session::{DiskSession, pages};

use super::{
    kernel::{Event, Kernel},
    trace::What,
};
use crate::BLOCK_SIZE;
use fault::{Faults, Struck, eio};
use operation::{Class, Completion, Slot};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    ops::RangeInclusive,
    rc::Rc,
    time::Duration,
};
use volume::Volume;

/// What kind of device a disk is: what a completed write means, and what a sync covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// No volatile cache, or a protected one: the bytes of a completed write are on the medium. Their metadata is not,
    /// if they went into space that was never written before.
    NoCache,
    /// A volatile cache, and writes that can bypass it. A durable write covers itself alone; a sync of a file covers
    /// that file alone.
    #[default]
    Fua,
    /// A volatile cache that can only be flushed whole: a durable write and a sync bring the completed bytes of every
    /// file to the medium (their metadata stays a matter of each file's own sync).
    FlushOnly,
}

/// How a node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// `kill -9`: completed writes stay, though what was not durable is no more so: it is read, and lost in a power cut
    /// that comes later. Of a write in flight any of its blocks may have been written.
    Process,
    /// The power goes: what was durable stays, and of the rest any part.
    PowerCut,
}

/// How long operations take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskLatency {
    /// Reads.
    pub read: RangeInclusive<Duration>,
    /// Writes that promise nothing.
    pub write: RangeInclusive<Duration>,
    /// Syncs and durable writes.
    pub sync: RangeInclusive<Duration>,
    /// Everything else.
    pub meta: RangeInclusive<Duration>,
}

impl Default for DiskLatency {
    /// A solid-state disk on a bad day.
    fn default() -> Self {
        Self {
            read: Duration::from_micros(20)..=Duration::from_millis(1),
            write: Duration::from_micros(10)..=Duration::from_millis(1),
            sync: Duration::from_micros(100)..=Duration::from_millis(5),
            meta: Duration::from_micros(2)..=Duration::from_millis(1),
        }
    }
}

/// What disk a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// Its caching.
    pub device: Device,
    /// Its size in bytes.
    pub capacity: u64,
    /// Its speed.
    pub latency: DiskLatency,
    /// Whether a power cut may leave a block of which some sectors (512 bytes) are old and some new.
    pub torn_blocks: bool,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            device: Device::default(),
            capacity: 64 << 30,
            latency: DiskLatency::default(),
            torn_blocks: true,
        }
    }
}

/// A moment at which to crash: see [`World::crash_at_io`](super::World::crash_at_io).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoStep {
    /// Right before this step takes effect, while it is in flight: a crash may leave any part of it.
    Before(u64),
    /// Right after this step took effect, before anybody learns of it.
    After(u64),
}

/// A node's disk. It outlives the node's processes.
pub(crate) struct Disk {
    node: u16,
    torn_blocks: bool,
    latency: RefCell<DiskLatency>,
    volume: RefCell<Volume>,
    faults: RefCell<Faults>,
    in_flight: RefCell<BTreeMap<u64, InFlight>>,
    steps: Cell<u64>,
    /// What was read, if somebody wants to know.
    reads: RefCell<Option<Vec<DiskRead>>>,
    crash_at: Cell<Option<(IoStep, Crash)>>,
    /// Rises with every crash, so that handles and locks of an earlier life can tell.
    life: Cell<u64>,
    holders: Cell<u64>,
}

struct InFlight {
    operation: Operation,
    /// The volume's sequence at the submission.
    as_of: u64,
    slot: Rc<Slot>,
}

impl Disk {
    pub(crate) fn new(node: u16, options: &DiskOptions) -> Self {
        Self {
            node,
            torn_blocks: options.torn_blocks,
            latency: RefCell::new(options.latency.clone()),
            volume: RefCell::new(Volume::new(options)),
            faults: RefCell::default(),
            in_flight: RefCell::default(),
            steps: Cell::new(0),
            reads: RefCell::default(),
            crash_at: Cell::new(None),
            life: Cell::new(0),
            holders: Cell::new(0),
        }
    }

    pub(crate) fn life(&self) -> u64 {
        self.life.get()
    }

    /// How many operations have changed the disk or made something durable.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    pub(crate) fn crash_at(&self, step: IoStep, crash: Crash) {
        self.crash_at.set(Some((step, crash)));
    }

    /// Starts an operation, which completes by an event.
    fn submit(&self, kernel: &Kernel, operation: Operation) -> Completion {
        let latency = {
            let latency = self.latency.borrow();
            kernel.random.delay_ns(match operation.class() {
                Class::Read => &latency.read,
                Class::Write => &latency.write,
                Class::Sync => &latency.sync,
                Class::Meta => &latency.meta,
            })
        };
        let number = kernel.number();
        let [kind, subject, digest] = operation.digest();
        kernel.note(What::DiskSubmit, [(u64::from(self.node) << 8) | kind, number, subject, digest]);
        if let (Operation::Read { file, position, len }, Some(reads)) =
            (&operation, &mut *self.reads.borrow_mut())
        {
            reads.push(DiskRead { path: file.path.clone(), position: *position, len: *len });
        }
        let slot = Rc::<Slot>::default();
        let as_of = self.volume.borrow().seq();
        self.in_flight.borrow_mut().insert(number, InFlight { operation, as_of, slot: Rc::clone(&slot) });
        kernel.after(latency, Event::Disk { node: self.node, operation: number });
        Completion(slot)
    }

    /// An operation takes effect and completes, unless a crash was ordered for this step: then that is returned.
    pub(crate) fn complete(self: &Rc<Self>, kernel: &Kernel, number: u64) -> Option<Crash> {
        let is_step = self.in_flight.borrow().get(&number)?.operation.is_step();
        let step = is_step.then(|| self.steps.replace(self.steps.get() + 1));
        if let Some(crash) = self.crash_ordered(step.map(IoStep::Before)) {
            return Some(crash);
        }
        let InFlight { operation, as_of, slot } = self.in_flight.borrow_mut().remove(&number)?;
        let outcome = self.perform(kernel, &operation, as_of);
        let failed = u64::from(outcome.is_err());
        kernel.note(What::DiskEffect, [u64::from(self.node), number, step.unwrap_or(u64::MAX), failed]);
        let crash = self.crash_ordered(step.map(IoStep::After));
        if crash.is_none() {
            slot.fill(outcome);
        }
        crash
    }

    fn crash_ordered(&self, now: Option<IoStep>) -> Option<Crash> {
        let (step, crash) = self.crash_at.get()?;
        (Some(step) == now).then(|| {
            self.crash_at.set(None);
            crash
        })
    }

    fn perform(self: &Rc<Self>, kernel: &Kernel, operation: &Operation, as_of: u64) -> io::Result<Outcome> {
        let struck = self.faults.borrow_mut().strike(operation);
        let mut volume = self.volume.borrow_mut();
        match (struck, operation) {
            (Struck::Spared, _) => operation.apply(self, &mut volume, as_of),
            (Struck::Lost, _) => Ok(Outcome::Done),
            (
                Struck::Misdirected(to_block),
                Operation::Write { file, pages, .. } | Operation::WriteDurable { file, pages, .. },
            ) => {
                let end = (to_block + pages.len() as u64) * BLOCK_SIZE as u64;
                volume.write(file.file, to_block, pages, end)?;
                Ok(Outcome::Done)
            }
            (
                Struck::FailedInPart,
                Operation::Write { file, first, pages, .. }
                | Operation::WriteDurable { file, first, pages, .. },
            ) => {
                for (number, page) in (*first..).zip(pages) {
                    if kernel.random.percent(50) {
                        let end = (number + 1) * BLOCK_SIZE as u64;
                        volume.write(file.file, number, std::slice::from_ref(page), end)?;
                    }
                }
                Err(eio())
            }
            (Struck::FailedAndDropped, Operation::WriteDurable { file, .. } | Operation::Sync { file }) => {
                volume.drop_dirty(file.file);
                Err(eio())
            }
            (_, _) => Err(eio()),
        }
    }

    /// Runs `release` on the volume, if the life in which it was taken still lasts.
    fn release(&self, life: u64, release: impl FnOnce(&mut Volume)) {
        if life == self.life.get() {
            release(&mut self.volume.borrow_mut());
        }
    }

    fn next_holder(&self) -> u64 {
        self.holders.replace(self.holders.get() + 1)
    }
}
