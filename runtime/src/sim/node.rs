//! A machine of the world: a disk, an address, and the processes that run on it.

use super::{ShardContext, disk::Disk};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

pub(crate) struct Node {
    pub(crate) id: u16,
    pub(crate) name: String,
    pub(crate) disk: Rc<Disk>,
    /// Rises with every kill, so that what belonged to an earlier life can tell.
    pub(crate) epoch: Cell<u64>,
    /// What its wall clock is wrong by.
    pub(crate) clock_offset_ms: Cell<i64>,
    /// The power is on. After a power cut it comes back with the next process.
    power: Cell<bool>,
    client: RefCell<Option<Rc<ShardContext>>>,
}

impl Node {
    pub(crate) fn new(id: u16, name: String, disk: Disk) -> Self {
        Self {
            id,
            name,
            disk: Rc::new(disk),
            epoch: Cell::new(0),
            clock_offset_ms: Cell::new(0),
            power: Cell::new(true),
            client: RefCell::default(),
        }
    }

    pub(crate) fn has_power(&self) -> bool {
        self.power.get()
    }

    pub(crate) fn set_power(&self, on: bool) {
        self.power.set(on);
    }

    /// The shard on which one-off futures run, made by `build` if there is none in this life.
    pub(crate) fn client(&self, build: impl FnOnce() -> Rc<ShardContext>) -> Rc<ShardContext> {
        Rc::clone(self.client.borrow_mut().get_or_insert_with(build))
    }

    pub(crate) fn forget_client(&self) {
        let client = self.client.take();
        drop(client);
    }
}
