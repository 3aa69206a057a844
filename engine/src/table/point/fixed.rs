//! Point tables with keys and values of small fixed widths: entries lie in the lines themselves.

use super::flat::{Flat, HashSpan, Rehash};
use super::pool::Pool;
use super::store::{Context, PointPane};
use crate::key::{HashedKey, KeyHash};
use crate::table::delta::Position;
use crate::table::namespaces::Pane;
use crate::table::undo::UndoLog;

/// What the panes of a table have in common.
pub(super) struct FixedArena {
    span: HashSpan,
    widths: Widths,
    pool: Pool,
}

/// The exact widths of keys and values, which slots are rounded up from.
#[derive(Clone, Copy)]
struct Widths {
    key: usize,
    value: usize,
}

impl FixedArena {
    pub(super) fn new(span: HashSpan, key: usize, value: usize) -> Self {
        Self { span, widths: Widths { key, value }, pool: Pool::default() }
    }
}

impl<const K: usize> Rehash<K> for Widths {
    #[inline]
    fn rehash(&self, key: &[u8; K]) -> KeyHash {
        KeyHash::of(&key[..self.key])
    }
}

/// What an entry was before an epoch touched it.
struct Before<const K: usize, const V: usize> {
    key: [u8; K],
    value: Option<[u8; V]>,
}

/// One namespace. `K` and `V` are the widths of key and value rounded up; the rest of a slot is zero.
pub(super) struct FixedPane<const K: usize, const V: usize> {
    entries: Flat<K, V>,
    undo: UndoLog<Before<K, V>>,
}

/// The generation of changes that no delta has: restores and rollbacks. It is never the open one.
const UNLOGGED: u64 = 0;

/// `bytes` in a slot. The exact width, which is the common one, needs no call.
#[inline]
fn slot_of<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or_else(|_shorter| {
        let mut slot = [0; N];
        slot[..bytes.len()].copy_from_slice(bytes);
        slot
    })
}

impl<const K: usize, const V: usize> FixedPane<K, V> {
    fn set_slot(&mut self, arena: &mut FixedArena, hash: KeyHash, key: &[u8; K], value: Option<&[u8; V]>) {
        let FixedArena { pool, widths, .. } = arena;
        match (self.entries.find(pool, hash, key, |_| true), value) {
            (Some(spot), Some(value)) => {
                let (line, slot) = self.entries.line_mut(pool, spot, UNLOGGED);
                *line.value_mut::<K, V>(slot) = *value;
            }
            (Some(spot), None) => self.entries.remove(pool, spot),
            (None, Some(value)) => {
                self.entries.insert(pool, hash, UNLOGGED, (key, value), widths);
            }
            (None, None) => {}
        }
    }
}

impl<const K: usize, const V: usize> FixedPane<K, V> {
    /// Adds an entry that is not there.
    #[inline(never)]
    fn insert(
        &mut self,
        cx: Context<'_, FixedArena>,
        key: HashedKey<'_>,
        slot_key: &[u8; K],
        value: &[u8; V],
    ) {
        let FixedArena { pool, widths, .. } = cx.arena;
        let spot = self.entries.insert(pool, key.hash(), cx.generation, (slot_key, value), widths);
        let (line, slot) = self.entries.line_mut(pool, spot, cx.generation);
        line.set_position(slot, cx.log.put(key.hash(), cx.namespace, key.bytes(), &value[..widths.value]));
        self.undo.push(cx.generation, Before { key: *slot_key, value: None });
    }
}

impl<const K: usize, const V: usize> Pane for FixedPane<K, V> {
    type Arena = FixedArena;

    fn new(arena: &FixedArena) -> Self {
        Self { entries: Flat::new(arena.span), undo: UndoLog::new() }
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn has_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    fn commit(&mut self, _arena: &mut FixedArena, through: u64) {
        self.undo.commit(through, Vec::clear);
    }

    fn rollback(&mut self, arena: &mut FixedArena, from: u64) {
        for before in self.undo.undo(from) {
            let hash = arena.widths.rehash(&before.key);
            self.set_slot(arena, hash, &before.key, before.value.as_ref());
        }
    }

    fn discard(self, arena: &mut FixedArena) {
        self.entries.discard(&mut arena.pool);
    }
}

impl<const K: usize, const V: usize> PointPane for FixedPane<K, V> {
    #[inline]
    fn prefetch(&self, arena: &FixedArena, hash: KeyHash) {
        self.entries.prefetch(&arena.pool, hash);
    }

    #[inline]
    fn get<'a>(&'a self, arena: &'a FixedArena, key: HashedKey<'_>) -> Option<&'a [u8]> {
        let slot_key = slot_of::<K>(key.bytes());
        let value = self.entries.get(&arena.pool, key.hash(), &slot_key, |_| true)?;
        Some(&value[..arena.widths.value])
    }

    #[inline]
    fn put(&mut self, cx: Context<'_, FixedArena>, key: HashedKey<'_>, value: &[u8]) {
        self.update(cx, key, value, |slot| slot.copy_from_slice(value));
    }

    #[inline]
    fn update<R>(
        &mut self,
        cx: Context<'_, FixedArena>,
        key: HashedKey<'_>,
        initial: &[u8],
        change: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let FixedArena { pool, widths, .. } = cx.arena;
        let slot_key = slot_of::<K>(key.bytes());
        let Some((line, slot)) = self.entries.find_mut(pool, key.hash(), cx.generation, &slot_key, |_| true)
        else {
            let mut value = slot_of(initial);
            let result = change(&mut value[..widths.value]);
            self.insert(cx, key, &slot_key, &value);
            return result;
        };
        let before = *line.value::<K, V>(slot);
        // The change is made on a copy: if it panics, nothing has happened.
        let mut after = before;
        let result = change(&mut after[..widths.value]);
        *line.value_mut::<K, V>(slot) = after;
        let position = line.position(slot);
        if position == Position::NONE {
            let position = cx.log.put(key.hash(), cx.namespace, key.bytes(), &after[..widths.value]);
            line.set_position(slot, position);
            self.undo.push(cx.generation, Before { key: slot_key, value: Some(before) });
        } else if widths.value == V {
            // A length known to the compiler needs no call to copy.
            *cx.log.array_mut(position) = after;
        } else {
            cx.log.value_mut(position, widths.value).copy_from_slice(&after[..widths.value]);
        }
        result
    }

    fn remove(&mut self, cx: Context<'_, FixedArena>, key: HashedKey<'_>) -> bool {
        let FixedArena { pool, .. } = cx.arena;
        let slot_key = slot_of::<K>(key.bytes());
        let Some(spot) = self.entries.find(pool, key.hash(), &slot_key, |_| true) else { return false };
        let (line, slot) = self.entries.line_mut(pool, spot, cx.generation);
        if line.position(slot) == Position::NONE {
            let value = Some(*line.value::<K, V>(slot));
            self.undo.push(cx.generation, Before { key: slot_key, value });
        }
        self.entries.remove(pool, spot);
        cx.log.remove(key.hash(), cx.namespace, key.bytes());
        true
    }

    fn set(&mut self, arena: &mut FixedArena, key: HashedKey<'_>, value: Option<&[u8]>) {
        let value = value.map(slot_of::<V>);
        self.set_slot(arena, key.hash(), &slot_of(key.bytes()), value.as_ref());
    }

    fn scan(
        &self,
        arena: &FixedArena,
        from: KeyHash,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Option<KeyHash> {
        let Widths { key, value } = arena.widths;
        self.entries.scan(&arena.pool, from, &arena.widths, |k, v| visit(&k[..key], &v[..value]))
    }
}
