//! What both kinds of table share: namespaces, and the way back through unresolved epochs.
//!
//! A namespace is a map of its own, a [`Pane`], so that dropping it is one move: the pane is set aside with the epoch that
//! dropped it, comes back whole if that epoch is undone, and is let go when it is committed. Each pane keeps its own
//! before-images, by *generation*. A generation is the time between two seals (or rollbacks); it is what entries are
//! stamped with.

use super::spec::Namespace;
use super::{DeltaRun, UNRESOLVED_MAX};
use crate::epoch::Epoch;
use bytes::Bytes;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The largest generation. As many bits as a stamp in a line has: at a thousand epochs a second enough for 34 years.
pub(super) const GENERATION_MAX: u64 = (1 << 40) - 1;

/// The entries of one namespace.
pub(super) trait Pane: Sized {
    /// What the panes of a table have in common.
    type Arena;

    /// A pane without entries.
    fn new(arena: &Self::Arena) -> Self;

    /// How many entries it has.
    fn len(&self) -> usize;

    /// Whether it has before-images.
    fn has_undo(&self) -> bool;

    /// Forgets the before-images of the generations up to and with `through`.
    fn commit(&mut self, arena: &mut Self::Arena, through: u64);

    /// Restores the before-images of the generations from `from` on, the latest first.
    fn rollback(&mut self, arena: &mut Self::Arena, from: u64);

    /// Lets the pane's memory go, without a long stop.
    fn discard(self, arena: &mut Self::Arena);
}

/// A pane, and when it was last touched.
struct Slot<P> {
    namespace: Namespace,
    touched: u64,
    pane: P,
}

/// A change of the set of namespaces.
enum Event<P> {
    Created(u32),
    Dropped(u32, Slot<P>),
}

/// What is needed to undo an epoch.
struct Changes<P> {
    generation: u64,
    touched: Vec<u32>,
    events: Vec<Event<P>>,
}

impl<P> Changes<P> {
    const fn new(generation: u64) -> Self {
        Self { generation, touched: Vec::new(), events: Vec::new() }
    }
}

/// A sealed epoch that is neither committed nor rolled back.
struct Unresolved<P> {
    epoch: Epoch,
    changes: Changes<P>,
    /// The delta's runs, kept for their buffers.
    runs: Vec<Bytes>,
}

/// The panes of a table and its unresolved epochs.
pub(super) struct Panes<P> {
    slots: Vec<Option<Slot<P>>>,
    free: BTreeSet<u32>,
    index: BTreeMap<Namespace, u32>,
    /// The namespace that was asked for last, and its slot.
    last: Cell<(Namespace, u32)>,
    open: Changes<P>,
    sealed: VecDeque<Unresolved<P>>,
    last_epoch: Option<Epoch>,
    committed: Option<Epoch>,
}

/// No slot has this number.
const NO_SLOT: u32 = u32::MAX;

impl<P: Pane> Panes<P> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: BTreeSet::new(),
            index: BTreeMap::new(),
            last: Cell::new((Namespace::NONE, NO_SLOT)),
            // Stamps of generation 0 are those of fresh memory.
            open: Changes::new(1),
            sealed: VecDeque::new(),
            last_epoch: None,
            committed: None,
        }
    }

    /// The open generation.
    #[inline]
    pub(super) const fn generation(&self) -> u64 {
        self.open.generation
    }

    #[inline]
    fn slot_of(&self, namespace: Namespace) -> Option<u32> {
        let (last, slot) = self.last.get();
        if last == namespace && slot != NO_SLOT {
            return Some(slot);
        }
        let slot = *self.index.get(&namespace)?;
        self.last.set((namespace, slot));
        Some(slot)
    }

    /// The pane of `namespace`, if it has one.
    #[inline]
    pub(super) fn get(&self, namespace: Namespace) -> Option<&P> {
        let slot = self.slot_of(namespace)?;
        self.slots[slot as usize].as_ref().map(|slot| &slot.pane)
    }

    /// The pane of `namespace`, if it has one, to be changed in the open epoch.
    #[inline]
    pub(super) fn touch(&mut self, namespace: Namespace) -> Option<&mut P> {
        let index = self.slot_of(namespace)?;
        Some(self.touch_slot(index))
    }

    /// The pane of `namespace`, to be changed in the open epoch; a new one if there was none.
    #[inline]
    pub(super) fn touch_or_create(&mut self, namespace: Namespace, arena: &P::Arena) -> &mut P {
        let index = match self.slot_of(namespace) {
            Some(index) => index,
            None => self.create(namespace, arena),
        };
        self.touch_slot(index)
    }

    #[inline]
    fn touch_slot(&mut self, index: u32) -> &mut P {
        let slot = self.slots[index as usize].as_mut().expect("the slot is in use");
        if slot.touched != self.open.generation {
            slot.touched = self.open.generation;
            self.open.touched.push(index);
        }
        &mut slot.pane
    }

    #[cold]
    fn create(&mut self, namespace: Namespace, arena: &P::Arena) -> u32 {
        let slot = Some(Slot { namespace, touched: 0, pane: P::new(arena) });
        let index = if let Some(index) = self.free.pop_first() {
            self.slots[index as usize] = slot;
            index
        } else {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1)
                .expect("namespaces outnumber memory before they outnumber u32")
        };
        self.index.insert(namespace, index);
        self.open.events.push(Event::Created(index));
        index
    }

    /// The pane of `namespace`, to be changed by a restore, of which no epoch knows.
    pub(super) fn restore(&mut self, namespace: Namespace, arena: &P::Arena) -> &mut P {
        if self.slot_of(namespace).is_none() {
            self.create(namespace, arena);
            self.open.events.pop();
        }
        let index = self.slot_of(namespace).expect("the namespace has a pane");
        &mut self.slots[index as usize].as_mut().expect("the slot is in use").pane
    }

    /// Forgets a namespace that a restore has left without entries.
    pub(super) fn forget_if_empty(&mut self, namespace: Namespace, arena: &mut P::Arena) {
        if let Some(index) = self.slot_of(namespace)
            && self.get(namespace).is_some_and(|pane| pane.len() == 0 && !pane.has_undo())
        {
            self.vacate(index).pane.discard(arena);
        }
    }

    /// Takes a slot's content out and forgets its number.
    fn vacate(&mut self, index: u32) -> Slot<P> {
        let slot = self.slots[index as usize].take().expect("the slot is in use");
        self.index.remove(&slot.namespace);
        self.free.insert(index);
        self.last.set((Namespace::NONE, NO_SLOT));
        slot
    }

    /// Drops a namespace. Returns whether there was anything to drop.
    pub(super) fn drop_namespace(&mut self, namespace: Namespace) -> bool {
        let Some(index) = self.slot_of(namespace) else { return false };
        let slot = self.vacate(index);
        self.open.events.push(Event::Dropped(index, slot));
        true
    }

    /// The namespaces that have entries, ascending.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = Namespace> + '_ {
        self.index.iter().filter_map(|(&namespace, &index)| {
            self.slots[index as usize].as_ref().filter(|slot| slot.pane.len() > 0).map(|_| namespace)
        })
    }

    fn next_generation(&mut self) -> Changes<P> {
        let next = self.open.generation + 1;
        assert!(next <= GENERATION_MAX, "a table outlives its stamps: restart the job");
        std::mem::replace(&mut self.open, Changes::new(next))
    }

    /// Closes the open epoch as `epoch`, whose delta has these runs.
    pub(super) fn seal(&mut self, epoch: Epoch, runs: &[DeltaRun]) {
        assert!(self.sealed.len() < UNRESOLVED_MAX, "epoch {epoch}: {UNRESOLVED_MAX} others are unresolved");
        assert!(self.last_epoch < Some(epoch), "epoch {epoch} is not above the one before");
        self.last_epoch = Some(epoch);
        let changes = self.next_generation();
        let runs = runs.iter().map(|run| run.bytes.clone()).collect();
        self.sealed.push_back(Unresolved { epoch, changes, runs });
    }

    /// Forgets how to undo the epochs up to and with `through`, and gives back the buffers of their deltas.
    pub(super) fn commit(&mut self, through: Epoch, arena: &mut P::Arena, mut recycle: impl FnMut(Bytes)) {
        self.committed = self.committed.max(Some(through));
        while let Some(done) = self.sealed.pop_front_if(|sealed| sealed.epoch <= through) {
            done.runs.into_iter().for_each(&mut recycle);
            for event in done.changes.events {
                if let Event::Dropped(_, slot) = event {
                    slot.pane.discard(arena);
                }
            }
            for index in done.changes.touched {
                let Some(slot) = &mut self.slots[index as usize] else { continue };
                slot.pane.commit(arena, done.changes.generation);
                // Nobody drops a namespace whose keys are removed one by one.
                if slot.pane.len() == 0 && !slot.pane.has_undo() {
                    self.vacate(index).pane.discard(arena);
                }
            }
        }
    }

    /// Undoes the open epoch and the sealed ones above `to`.
    pub(super) fn rollback(&mut self, to: Epoch, arena: &mut P::Arena) {
        assert!(self.committed <= Some(to), "epoch {to} can't be rolled back to: a later one is committed");
        let mut undone = vec![self.next_generation()];
        while let Some(sealed) = self.sealed.pop_back_if(|sealed| sealed.epoch > to) {
            undone.push(sealed.changes);
        }
        self.last_epoch = self.last_epoch.min(Some(to));
        let from = undone.last().expect("the open epoch is undone").generation;
        let mut touched = Vec::new();
        for changes in undone {
            for event in changes.events.into_iter().rev() {
                match event {
                    Event::Created(index) => self.vacate(index).pane.discard(arena),
                    Event::Dropped(index, slot) => {
                        self.free.remove(&index);
                        self.index.insert(slot.namespace, index);
                        self.slots[index as usize] = Some(slot);
                    }
                }
            }
            touched.extend(changes.touched);
        }
        touched.sort_unstable();
        touched.dedup();
        for index in touched {
            if let Some(slot) = &mut self.slots[index as usize] {
                slot.pane.rollback(arena, from);
            }
        }
    }
}
