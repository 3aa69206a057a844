//! Point tables of all other widths: a line holds the hash and names a block, which has key and value.

use super::blocks::{BlockRef, Blocks, Pages};
use super::flat::{Flat, HashSpan, Rehash, Spot};
use super::pool::Pool;
use super::store::{Context, PointPane};
use crate::key::{HashedKey, KeyHash};
use crate::table::delta::Position;
use crate::table::namespaces::Pane;
use crate::table::undo::UndoLog;

/// What the panes of a table have in common.
pub(super) struct BoxedArena {
    span: HashSpan,
    pool: Pool,
    pages: Pages,
    /// Room for a value while it is changed.
    scratch: Vec<u8>,
}

impl BoxedArena {
    pub(super) fn new(span: HashSpan) -> Self {
        Self { span, pool: Pool::default(), pages: Pages::default(), scratch: Vec::new() }
    }
}

/// A line's key slot holds the hash itself.
struct StoredHash;

impl Rehash<8> for StoredHash {
    #[inline]
    fn rehash(&self, key: &[u8; 8]) -> KeyHash {
        KeyHash(u64::from_le_bytes(*key))
    }
}

/// What an entry was before an epoch touched it.
enum Before {
    /// It had this block, which belongs to the undo log now.
    Block(BlockRef),
    /// It was not there.
    Absent(Box<[u8]>),
}

/// One namespace.
pub(super) struct BoxedPane {
    entries: Flat<8, 8>,
    blocks: Blocks,
    undo: UndoLog<Before>,
}

/// The generation of changes that no delta has: restores and rollbacks. It is never the open one.
const UNLOGGED: u64 = 0;

impl BoxedPane {
    #[inline]
    fn find(&self, pool: &Pool, key: HashedKey<'_>) -> Option<(Spot, BlockRef)> {
        let hash = key.hash().0.to_le_bytes();
        let is_it = |block: &[u8; 8]| self.blocks.get(BlockRef::from_slot(*block)).0 == key.bytes();
        let spot = self.entries.find(pool, key.hash(), &hash, is_it)?;
        Some((spot, BlockRef::from_slot(*self.entries.value(pool, spot))))
    }

    /// Makes `key` have `block` or nothing, without a word to any log; frees the block that it had.
    fn set_block(&mut self, arena: &mut BoxedArena, key: HashedKey<'_>, block: Option<BlockRef>) {
        let found = self.find(&arena.pool, key);
        if let Some((_, old)) = found {
            self.blocks.free(old);
        }
        match (found, block) {
            (Some((spot, _)), Some(block)) => {
                let (line, slot) = self.entries.line_mut(&mut arena.pool, spot, UNLOGGED);
                *line.value_mut::<8, 8>(slot) = block.to_slot();
            }
            (Some((spot, _)), None) => self.entries.remove(&mut arena.pool, spot),
            (None, Some(block)) => {
                let hash = key.hash().0.to_le_bytes();
                let entry = (&hash, &block.to_slot());
                self.entries.insert(&mut arena.pool, key.hash(), UNLOGGED, entry, &StoredHash);
            }
            (None, None) => {}
        }
    }
}

impl Pane for BoxedPane {
    type Arena = BoxedArena;

    fn new(arena: &BoxedArena) -> Self {
        Self { entries: Flat::new(arena.span), blocks: Blocks::default(), undo: UndoLog::new() }
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn has_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    fn commit(&mut self, _arena: &mut BoxedArena, through: u64) {
        let blocks = &mut self.blocks;
        self.undo.commit(through, |chunk| {
            let dead = chunk.drain(..).filter_map(|before| match before {
                Before::Block(block) => Some(block),
                Before::Absent(_) => None,
            });
            blocks.free_later(dead.collect());
        });
    }

    fn rollback(&mut self, arena: &mut BoxedArena, from: u64) {
        for before in self.undo.undo(from) {
            match before {
                Before::Block(block) => {
                    let key = self.blocks.get(block).0.to_vec();
                    self.set_block(arena, HashedKey::new(&key), Some(block));
                }
                Before::Absent(key) => self.set_block(arena, HashedKey::new(&key), None),
            }
        }
    }

    fn discard(self, arena: &mut BoxedArena) {
        self.entries.discard(&mut arena.pool);
        self.blocks.discard(&mut arena.pages);
    }
}

impl PointPane for BoxedPane {
    #[inline]
    fn prefetch(&self, arena: &BoxedArena, hash: KeyHash) {
        self.entries.prefetch(&arena.pool, hash);
    }

    #[inline]
    fn get<'a>(&'a self, arena: &'a BoxedArena, key: HashedKey<'_>) -> Option<&'a [u8]> {
        let (_, block) = self.find(&arena.pool, key)?;
        Some(self.blocks.get(block).1)
    }

    fn put(&mut self, cx: Context<'_, BoxedArena>, key: HashedKey<'_>, value: &[u8]) {
        let BoxedArena { pool, pages, .. } = cx.arena;
        let Some((spot, old)) = self.find(pool, key) else {
            let block = self.blocks.allocate(pages, key.bytes(), value);
            let (hash, slot) = (key.hash().0.to_le_bytes(), block.to_slot());
            let spot = self.entries.insert(pool, key.hash(), cx.generation, (&hash, &slot), &StoredHash);
            let (line, slot) = self.entries.line_mut(pool, spot, cx.generation);
            line.set_position(slot, cx.log.put(key.hash(), cx.namespace, key.bytes(), value));
            self.undo.push(cx.generation, Before::Absent(key.bytes().into()));
            return;
        };
        let (line, slot) = self.entries.line_mut(pool, spot, cx.generation);
        let position = line.position(slot);
        let is_touched = position != Position::NONE;
        if is_touched && self.blocks.get(old).1.len() == value.len() {
            self.blocks.value_mut(old).copy_from_slice(value);
            cx.log.value_mut(position, value.len()).copy_from_slice(value);
            return;
        }
        let block = self.blocks.allocate(pages, key.bytes(), value);
        *line.value_mut::<8, 8>(slot) = block.to_slot();
        line.set_position(slot, cx.log.put(key.hash(), cx.namespace, key.bytes(), value));
        if is_touched {
            self.blocks.free(old);
        } else {
            self.undo.push(cx.generation, Before::Block(old));
        }
    }

    fn update<R>(
        &mut self,
        cx: Context<'_, BoxedArena>,
        key: HashedKey<'_>,
        initial: &[u8],
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        // The change is made on a copy: if it panics, nothing has happened.
        let mut value = std::mem::take(&mut cx.arena.scratch);
        value.clear();
        value.extend_from_slice(self.get(cx.arena, key).unwrap_or(initial));
        let result = change(&mut value);
        self.put(Context { arena: &mut *cx.arena, ..cx }, key, &value);
        cx.arena.scratch = value;
        result
    }

    fn remove(&mut self, cx: Context<'_, BoxedArena>, key: HashedKey<'_>) -> bool {
        let Some((spot, block)) = self.find(&cx.arena.pool, key) else { return false };
        let (line, slot) = self.entries.line_mut(&mut cx.arena.pool, spot, cx.generation);
        if line.position(slot) == Position::NONE {
            self.undo.push(cx.generation, Before::Block(block));
        } else {
            self.blocks.free(block);
        }
        self.entries.remove(&mut cx.arena.pool, spot);
        cx.log.remove(key.hash(), cx.namespace, key.bytes());
        true
    }

    fn set(&mut self, arena: &mut BoxedArena, key: HashedKey<'_>, value: Option<&[u8]>) {
        let block = value.map(|value| self.blocks.allocate(&mut arena.pages, key.bytes(), value));
        self.set_block(arena, key, block);
    }

    fn scan(
        &self,
        arena: &BoxedArena,
        from: KeyHash,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Option<KeyHash> {
        self.entries.scan(&arena.pool, from, &StoredHash, |_, block| {
            let (key, value) = self.blocks.get(BlockRef::from_slot(*block));
            visit(key, value);
        })
    }
}
