//! A file's bytes: what reads see, what is surely on the medium, and what lies between.
//!
//! A block's way to durability has two halves, and both must be done: its bytes must be on the medium, and the file's
//! metadata must say that the block is written (space that was allocated, or that a file grew into, reads as zeros
//! until then). Which operation does which half depends on the device: see [`Device`].

use super::{Device, extents::Extents};
use crate::BLOCK_SIZE;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    rc::Rc,
};

const BLOCK: u64 = BLOCK_SIZE as u64;

/// The contents of one block.
pub(crate) type Page = Rc<[u8]>;

/// How many versions of one block that are not durable are remembered. Older ones are no longer offered to a power cut.
const VERSIONS_MAX: usize = 4;

/// A file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    len: u64,
    /// Blocks that were written; all others read as zeros.
    blocks: BTreeMap<u64, Block>,
    /// Blocks that have space.
    space: Extents,
    /// The length that surely survives a power cut.
    durable_len: u64,
    /// Changes of the length that are not durable, oldest first. Those that survive a power cut are a prefix.
    resizes: Vec<Resize>,
    /// Blocks of which bytes are not surely on the medium.
    volatile: BTreeSet<u64>,
    /// Blocks that the metadata does not surely call written.
    unmapped: BTreeSet<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// What reads see.
    current: Page,
    /// What is surely on the medium.
    medium: Option<Page>,
    /// Versions that may have reached the medium, oldest first; each with the time (in the volume's sequence) of
    /// its write's completion.
    pending: Vec<(u64, Page)>,
    mapping: Mapping,
}

/// Whether the metadata says that a block is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    Durable,
    /// Only in memory, since this point of the volume's sequence.
    Since(u64),
}

#[derive(Clone, Debug)]
struct Resize {
    seq: u64,
    len: u64,
    /// What was cut off, to come back if the cut does not survive.
    cut: BTreeMap<u64, Block>,
}

/// How much of a file a power cut is to spare; drawn by the caller.
pub(crate) trait Fate {
    /// Whether one change that was not durable survives.
    fn survives(&mut self) -> bool;
    /// A number below `bound`.
    fn pick(&mut self, bound: usize) -> usize;
    /// Whether a block that changes is torn: each sector on its own is old or new.
    fn tears(&mut self) -> bool;
}

impl Inode {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Blocks of space that it takes.
    pub(crate) fn space(&self) -> u64 {
        self.space.count()
    }

    /// How many blocks of space a write or an allocation of this byte range would add.
    pub(crate) fn missing_space(&self, position: u64, len: u64) -> u64 {
        self.space.missing(&block_range(position, len))
    }

    /// Whether a flush of the device's cache would make a difference.
    pub(crate) fn is_volatile(&self) -> bool {
        !self.volatile.is_empty()
    }

    /// The bytes of a range, cut at the end of the file.
    pub(crate) fn read(&self, position: u64, len: usize) -> Vec<u8> {
        let len = (self.len.saturating_sub(position)).min(len as u64) as usize;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = position + bytes.len() as u64;
            let offset = (at % BLOCK) as usize;
            let take = (BLOCK_SIZE - offset).min(len - bytes.len());
            match self.blocks.get(&(at / BLOCK)) {
                Some(block) => bytes.extend_from_slice(&block.current[offset..offset + take]),
                None => bytes.resize(bytes.len() + take, 0),
            }
        }
        bytes
    }

    /// A write that has completed, without any promise of durability. The file is at least `len` bytes long afterwards.
    pub(crate) fn write(&mut self, seq: u64, device: Device, first: u64, pages: &[Page], len: u64) {
        for (number, page) in (first..).zip(pages) {
            self.write_block(seq, device, number, page);
        }
        self.grow(seq, len);
    }

    /// As [`Inode::write`] of one block that was in flight when the power went: on no device is it sure to have arrived.
    pub(crate) fn write_in_flight(&mut self, seq: u64, number: u64, page: &Page, len: u64) {
        self.write_block(seq, Device::Fua, number, page);
        self.grow(seq, len);
    }

    /// Extends the file to at least `len`.
    pub(crate) fn grow(&mut self, seq: u64, len: u64) {
        if len > self.len {
            self.resize(seq, len);
        }
    }

    fn write_block(&mut self, seq: u64, device: Device, number: u64, page: &Page) {
        self.space.insert(number..number + 1);
        for resize in &mut self.resizes {
            // A cut within this block left it in place, so undoing the cut must not undo the write.
            if number * BLOCK < resize.len {
                resize.cut.remove(&number);
            }
        }
        let block = self.blocks.entry(number).or_insert_with(|| Block {
            current: Rc::clone(page),
            medium: None,
            pending: Vec::new(),
            mapping: Mapping::Since(seq),
        });
        block.current = Rc::clone(page);
        if device == Device::NoCache {
            block.medium = Some(Rc::clone(page));
            block.pending.clear();
        } else {
            if block.pending.len() == VERSIONS_MAX {
                // The next oldest takes its place in time too: a sync that covers the one now covers the other.
                let (oldest, _) = block.pending.remove(0);
                block.pending[0].0 = oldest;
            }
            block.pending.push((seq, Rc::clone(page)));
        }
        match block.pending.is_empty() {
            true => self.volatile.remove(&number),
            false => self.volatile.insert(number),
        };
        if block.mapping != Mapping::Durable {
            self.unmapped.insert(number);
        }
    }

    /// Makes one write durable that has just been applied: its blocks, and what metadata reading them back needs.
    pub(crate) fn write_durable(&mut self, seq: u64, first: u64, pages: &[Page]) {
        for (number, page) in (first..).zip(pages) {
            if let Some(block) = self.blocks.get_mut(&number) {
                block.medium = Some(Rc::clone(page));
                block.pending.clear();
                block.mapping = Mapping::Durable;
                self.volatile.remove(&number);
                self.unmapped.remove(&number);
            }
        }
        let end = ((first + pages.len() as u64) * BLOCK).min(self.len);
        if self.durable_len < end || self.resizes.iter().any(|resize| resize.len < end) {
            self.sync_len(seq);
        }
    }

    /// Makes what completed up to `as_of` durable: bytes, mappings and length.
    pub(crate) fn sync(&mut self, as_of: u64) {
        self.flush(as_of);
        let blocks = &mut self.blocks;
        self.unmapped.retain(|number| {
            let Some(block) = blocks.get_mut(number) else { return false };
            if matches!(block.mapping, Mapping::Since(seq) if seq <= as_of) {
                block.mapping = Mapping::Durable;
            }
            block.mapping != Mapping::Durable
        });
        self.sync_len(as_of);
    }

    /// The device's cache reaches the medium: bytes that completed up to `as_of`, but no metadata.
    pub(crate) fn flush(&mut self, as_of: u64) {
        let blocks = &mut self.blocks;
        self.volatile.retain(|number| {
            let Some(block) = blocks.get_mut(number) else { return false };
            let arrived = block.pending.iter().take_while(|(seq, _)| *seq <= as_of).count();
            if let Some((_, page)) = block.pending.drain(..arrived).next_back() {
                block.medium = Some(page);
            }
            !block.pending.is_empty()
        });
    }

    fn sync_len(&mut self, as_of: u64) {
        let done = self.resizes.iter().take_while(|resize| resize.seq <= as_of).count();
        if let Some(last) = self.resizes.drain(..done).next_back() {
            self.durable_len = last.len;
        }
    }

    /// A failed sync: the kernel has marked the pages clean and dropped them. What was not durable is gone from now
    /// on, for reads and for every later sync, though that will succeed.
    pub(crate) fn drop_dirty(&mut self) {
        let mut dropped = std::mem::take(&mut self.volatile);
        dropped.append(&mut self.unmapped);
        for number in dropped {
            let Some(block) = self.blocks.get_mut(&number) else { continue };
            block.pending.clear();
            match (&block.medium, block.mapping) {
                (Some(medium), Mapping::Durable) => block.current = Rc::clone(medium),
                _ => {
                    self.blocks.remove(&number);
                }
            }
        }
    }

    /// Cuts or extends.
    pub(crate) fn resize(&mut self, seq: u64, len: u64) {
        if len == self.len {
            return;
        }
        let mut cut = BTreeMap::new();
        if len < self.len {
            let kept = len.div_ceil(BLOCK);
            cut = self.blocks.split_off(&kept);
            self.volatile.split_off(&kept);
            self.unmapped.split_off(&kept);
            self.space.truncate(kept);
            let tail = (len % BLOCK) as usize;
            if tail != 0
                && let Some(block) = self.blocks.get_mut(&(kept - 1))
            {
                cut.insert(kept - 1, block.clone());
                block.zero_from(tail);
            }
        }
        self.len = len;
        self.resizes.push(Resize { seq, len, cut });
    }

    /// Gives space to a byte range and extends the file to hold it.
    pub(crate) fn allocate(&mut self, seq: u64, position: u64, len: u64) {
        self.space.insert(block_range(position, len));
        self.grow(seq, position + len);
    }

    /// The power went and came back: everything durable stays, of the rest what `fate` spares.
    pub(crate) fn power_cut(&mut self, fate: &mut impl Fate) {
        let mut surviving = 0;
        while surviving < self.resizes.len() && fate.survives() {
            surviving += 1;
        }
        let lost = self.resizes.split_off(surviving);
        if !lost.is_empty() {
            self.len = self.resizes.last().map_or(self.durable_len, |resize| resize.len);
        }
        for mut resize in lost.into_iter().rev() {
            self.blocks.append(&mut resize.cut);
        }
        self.resizes.clear();
        let end = self.len.div_ceil(BLOCK);
        drop(self.blocks.split_off(&end));
        self.space.truncate(end);
        // All of them, since what an undone cut brought back is in neither set.
        self.blocks.retain(|_, block| !block.is_dirty() || block.power_cut(fate));
        for &number in self.blocks.keys() {
            self.space.insert(number..number + 1);
        }
        let tail = (self.len % BLOCK) as usize;
        if tail != 0
            && let Some(block) = self.blocks.get_mut(&(end - 1))
        {
            block.zero_from(tail);
        }
        self.volatile.clear();
        self.unmapped.clear();
        self.durable_len = self.len;
    }

    /// Changes bytes behind everyone's back, durably: rot, or a test's hand. Extends the file if need be.
    pub(crate) fn tamper(&mut self, position: u64, bytes: &[u8]) {
        let end = position + bytes.len() as u64;
        let mut done = 0;
        while done < bytes.len() {
            let at = position + done as u64;
            let offset = (at % BLOCK) as usize;
            let take = (BLOCK_SIZE - offset).min(bytes.len() - done);
            let number = at / BLOCK;
            self.space.insert(number..number + 1);
            let block = self.blocks.entry(number).or_insert_with(Block::zeros);
            block.change(|page| page[offset..offset + take].copy_from_slice(&bytes[done..done + take]));
            done += take;
        }
        if end > self.len {
            self.len = end;
            self.durable_len = end;
            self.resizes.clear();
        }
    }
}

impl Block {
    fn zeros() -> Self {
        let page: Page = Rc::from([0; BLOCK_SIZE].as_slice());
        Self { current: Rc::clone(&page), medium: Some(page), pending: Vec::new(), mapping: Mapping::Durable }
    }

    fn is_dirty(&self) -> bool {
        !self.pending.is_empty() || self.mapping != Mapping::Durable
    }

    /// Settles what is left of the block; tells whether it is still written.
    fn power_cut(&mut self, fate: &mut impl Fate) -> bool {
        if self.mapping != Mapping::Durable && !fate.survives() {
            return false;
        }
        let page = self.surviving_page(fate);
        self.pending.clear();
        self.mapping = Mapping::Durable;
        match page {
            Some(page) => {
                self.current = Rc::clone(&page);
                self.medium = Some(page);
                true
            }
            None => false,
        }
    }

    /// One of the versions, or sectors of several.
    fn surviving_page(&self, fate: &mut impl Fate) -> Option<Page> {
        if self.pending.is_empty() {
            return self.medium.clone();
        }
        if !fate.tears() {
            return match fate.survives() {
                true => Some(Rc::clone(&self.pending[fate.pick(self.pending.len())].1)),
                false => self.medium.clone(),
            };
        }
        let mut torn = match &self.medium {
            Some(medium) => medium.to_vec(),
            None => vec![0; BLOCK_SIZE],
        };
        for (index, sector) in torn.chunks_mut(SECTOR_SIZE).enumerate() {
            if fate.survives() {
                let version = &self.pending[fate.pick(self.pending.len())].1;
                sector.copy_from_slice(&version[index * SECTOR_SIZE..(index + 1) * SECTOR_SIZE]);
            }
        }
        Some(Rc::from(torn))
    }

    /// Applies `change` to every version.
    fn change(&mut self, change: impl Fn(&mut [u8])) {
        let changed = |page: &Page| -> Page {
            let mut bytes = page.to_vec();
            change(&mut bytes);
            Rc::from(bytes)
        };
        self.current = changed(&self.current);
        self.medium = self.medium.as_ref().map(&changed);
        for (_, page) in &mut self.pending {
            *page = changed(page);
        }
    }

    fn zero_from(&mut self, offset: usize) {
        self.change(|page| page[offset..].fill(0));
    }
}

/// The unit that a power cut cannot tear, in bytes.
const SECTOR_SIZE: usize = 512;

/// The blocks that a byte range touches.
fn block_range(position: u64, len: u64) -> Range<u64> {
    position / BLOCK..(position.saturating_add(len)).div_ceil(BLOCK)
}
