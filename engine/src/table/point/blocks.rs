//! Memory for keys and values that don't fit a line: blocks of a few sizes, in pages.

use std::collections::VecDeque;

/// A page has this many bytes, but for the first few of a size.
const PAGE_BYTES: usize = 64 << 10;
/// The first page of a size.
const FIRST_PAGE_BYTES: usize = 1 << 10;
/// Up to here sizes are multiples of [`SMALL_STEP`].
const SMALL_BYTES: usize = 128;
const SMALL_STEP: usize = 16;
/// Larger blocks than this have an allocation of their own.
const LARGE_BYTES: usize = 16 << 10;
/// Lengths of key and value, before them.
const HEAD: usize = 8;

/// How many freed blocks are really freed with each allocation, so that no commit frees many at once.
const FREED_PER_ALLOCATION: usize = 2;

/// Names a block. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockRef(u64);

impl BlockRef {
    const SLOT_BITS: u32 = 16;
    const PAGE_BITS: u32 = 32;
    const LARGE: u64 = 0xff;

    fn new(class: usize, page: usize, slot: usize) -> Self {
        let class = (class as u64 + 1) << (Self::SLOT_BITS + Self::PAGE_BITS);
        Self(class | (page as u64) << Self::SLOT_BITS | slot as u64)
    }

    fn large(index: usize) -> Self {
        Self(Self::LARGE << (Self::SLOT_BITS + Self::PAGE_BITS) | index as u64)
    }

    const fn is_large(self) -> bool {
        self.0 >> (Self::SLOT_BITS + Self::PAGE_BITS) == Self::LARGE
    }

    const fn class(self) -> usize {
        (self.0 >> (Self::SLOT_BITS + Self::PAGE_BITS)) as usize - 1
    }

    const fn page(self) -> usize {
        (self.0 >> Self::SLOT_BITS) as u32 as usize
    }

    const fn slot(self) -> usize {
        (self.0 & ((1 << Self::SLOT_BITS) - 1)) as usize
    }

    const fn index(self) -> usize {
        (self.0 & ((1 << (Self::SLOT_BITS + Self::PAGE_BITS)) - 1)) as usize
    }

    pub(super) const fn to_slot(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    pub(super) const fn from_slot(slot: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(slot))
    }
}

/// The class of the smallest blocks that hold `bytes`: multiples of 16 up to 128, then four sizes per doubling.
const fn class_of(bytes: usize) -> usize {
    if bytes <= SMALL_BYTES {
        return bytes.div_ceil(SMALL_STEP) - 1;
    }
    let top = (bytes - 1).ilog2() as usize;
    SMALL_BYTES / SMALL_STEP + (top - 7) * 4 + ((bytes - 1) >> (top - 2) & 3)
}

/// How many bytes the blocks of a class have.
const fn class_bytes(class: usize) -> usize {
    let small = SMALL_BYTES / SMALL_STEP;
    if class < small {
        return (class + 1) * SMALL_STEP;
    }
    let (doubling, quarter) = ((class - small) / 4, (class - small) % 4);
    (SMALL_BYTES + SMALL_BYTES / 4 * (quarter + 1)) << doubling
}

/// The blocks of one size.
#[derive(Default)]
struct Class {
    pages: Vec<Box<[u8]>>,
    /// How many blocks of the last page were never in use.
    fresh: usize,
    free: Vec<BlockRef>,
}

/// Full-sized pages that belonged to dropped namespaces, as the lists that they were in.
#[derive(Default)]
pub(super) struct Pages {
    lists: Vec<Vec<Box<[u8]>>>,
}

impl Pages {
    fn take(&mut self) -> Box<[u8]> {
        while let Some(list) = self.lists.last_mut() {
            match list.pop() {
                Some(page) if page.len() == PAGE_BYTES => return page,
                Some(_small) => {}
                None => {
                    self.lists.pop();
                }
            }
        }
        vec![0; PAGE_BYTES].into()
    }
}

/// The blocks of one namespace.
#[derive(Default)]
pub(super) struct Blocks {
    classes: Vec<Class>,
    large: Vec<Option<Box<[u8]>>>,
    large_free: Vec<usize>,
    /// Blocks that nobody needs any more, not freed yet.
    dead: VecDeque<Vec<BlockRef>>,
}

impl Blocks {
    /// Makes a block of a key and a value.
    pub(super) fn allocate(&mut self, pages: &mut Pages, key: &[u8], value: &[u8]) -> BlockRef {
        for _ in 0..FREED_PER_ALLOCATION {
            self.free_one_dead();
        }
        let bytes = HEAD + key.len() + value.len();
        let block = if bytes > LARGE_BYTES { self.take_large(bytes) } else { self.take(pages, bytes) };
        let out = self.bytes_mut(block);
        out[..4].copy_from_slice(&(key.len() as u32).to_le_bytes());
        out[4..8].copy_from_slice(&(value.len() as u32).to_le_bytes());
        out[HEAD..HEAD + key.len()].copy_from_slice(key);
        out[HEAD + key.len()..bytes].copy_from_slice(value);
        block
    }

    fn take(&mut self, pages: &mut Pages, bytes: usize) -> BlockRef {
        let number = class_of(bytes);
        if self.classes.len() <= number {
            self.classes.resize_with(number + 1, Class::default);
        }
        let class = &mut self.classes[number];
        if let Some(block) = class.free.pop() {
            return block;
        }
        let size = class_bytes(number);
        if class.fresh == 0 {
            let bytes = (FIRST_PAGE_BYTES << (2 * class.pages.len().min(16))).max(size);
            let page = if bytes >= PAGE_BYTES { pages.take() } else { vec![0; bytes].into() };
            class.fresh = page.len() / size;
            class.pages.push(page);
        }
        let page = class.pages.len() - 1;
        let slot = class.pages[page].len() / size - class.fresh;
        class.fresh -= 1;
        BlockRef::new(number, page, slot)
    }

    fn take_large(&mut self, bytes: usize) -> BlockRef {
        let block = Some(vec![0; bytes].into());
        if let Some(index) = self.large_free.pop() {
            self.large[index] = block;
            return BlockRef::large(index);
        }
        self.large.push(block);
        BlockRef::large(self.large.len() - 1)
    }

    #[inline]
    fn bytes(&self, block: BlockRef) -> &[u8] {
        if block.is_large() {
            return self.large[block.index()].as_ref().expect("the block is in use");
        }
        let size = class_bytes(block.class());
        &self.classes[block.class()].pages[block.page()][block.slot() * size..][..size]
    }

    #[inline]
    fn bytes_mut(&mut self, block: BlockRef) -> &mut [u8] {
        if block.is_large() {
            return self.large[block.index()].as_mut().expect("the block is in use");
        }
        let size = class_bytes(block.class());
        &mut self.classes[block.class()].pages[block.page()][block.slot() * size..][..size]
    }

    /// The key and the value of a block.
    #[inline]
    pub(super) fn get(&self, block: BlockRef) -> (&[u8], &[u8]) {
        let bytes = self.bytes(block);
        let length =
            |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let (key, value) = (length(0), length(4));
        bytes[HEAD..HEAD + key + value].split_at(key)
    }

    /// The value of a block, to be overwritten by one of the same length.
    #[inline]
    pub(super) fn value_mut(&mut self, block: BlockRef) -> &mut [u8] {
        let (key, value) = self.get(block);
        let (key, value) = (key.len(), value.len());
        &mut self.bytes_mut(block)[HEAD + key..HEAD + key + value]
    }

    /// Frees a block.
    pub(super) fn free(&mut self, block: BlockRef) {
        if block.is_large() {
            self.large[block.index()] = None;
            self.large_free.push(block.index());
        } else {
            self.classes[block.class()].free.push(block);
        }
    }

    /// Frees many blocks little by little, with later allocations.
    pub(super) fn free_later(&mut self, blocks: Vec<BlockRef>) {
        if !blocks.is_empty() {
            self.dead.push_back(blocks);
        }
    }

    fn free_one_dead(&mut self) {
        let Some(list) = self.dead.front_mut() else { return };
        if let Some(block) = list.pop() {
            self.free(block);
        } else {
            self.dead.pop_front();
        }
    }

    /// Gives the pages to other namespaces.
    pub(super) fn discard(self, pages: &mut Pages) {
        pages.lists.extend(self.classes.into_iter().map(|class| class.pages).filter(|list| !list.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_class_holds_its_bytes_and_wastes_at_most_a_quarter() {
        for bytes in 1..=LARGE_BYTES {
            let size = class_bytes(class_of(bytes));
            assert!(bytes <= size && size < bytes + (bytes / 4).max(SMALL_STEP), "{bytes} in {size}");
            assert!(class_of(bytes) == 0 || class_bytes(class_of(bytes) - 1) < bytes, "{bytes}");
        }
        assert!(PAGE_BYTES / class_bytes(0) <= 1 << BlockRef::SLOT_BITS);
        assert!(class_of(LARGE_BYTES) + 1 < BlockRef::LARGE as usize);
    }

    proptest! {
        /// Blocks keep what was put into them while others come and go.
        #[test]
        fn blocks_do_not_overlap(sizes in proptest::collection::vec((0..40_usize, 0..3_000_usize, any::<bool>()), 1..200)) {
            let (mut pages, mut blocks) = (Pages::default(), Blocks::default());
            let mut live = Vec::new();
            let mut dead = Vec::new();
            for (i, (key, value, frees)) in sizes.into_iter().enumerate() {
                let (key, value) = (vec![i as u8; key], vec![!i as u8; value * if i % 50 == 0 { 20 } else { 1 }]);
                live.push((blocks.allocate(&mut pages, &key, &value), key, value));
                if frees {
                    let (block, ..) = live.swap_remove(i * 7 % live.len());
                    if i % 3 == 0 { blocks.free(block) } else { dead.push(block) }
                }
                if i % 20 == 0 {
                    blocks.free_later(std::mem::take(&mut dead));
                }
                for (block, key, value) in &live {
                    prop_assert_eq!(blocks.get(*block), (key.as_slice(), value.as_slice()));
                }
            }
            blocks.discard(&mut pages);
        }
    }
}
