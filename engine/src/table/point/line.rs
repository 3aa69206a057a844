//! One cache line of a point table: up to three entries, and what the open epoch knows about them.
//!
//! ```text
//!  byte 0                8                16                                              64
//!  | pos0 28 | pos1 28 |  | pos2 28 | stamp  | key value | key value | key value          |
//!  | used 3  | over 1  |  |   low 36        |  K + V bytes each, as many as fit in 48     |
//!  | stamp high 4      |  |                 |                                             |
//! ```
//!
//! - `used`: which slots hold an entry. Removal clears the bit and nothing else.
//! - `over`: an entry that belonged here was put into a later line, because this one was full; a search goes on. Never
//!   cleared but when the segment is built anew.
//! - `stamp`: the generation in which the positions were written. In any later one they mean nothing.
//! - `pos`: where in the open delta the slot's value stands, if it was touched in this generation.

use crate::table::delta::Position;
use crate::table::namespaces::GENERATION_MAX;

/// What the header takes of a line.
const HEADER: usize = 16;
/// What is left for entries.
const ROOM: usize = 64 - HEADER;
/// As many positions as the header has.
const SLOTS_MAX: usize = 3;

const POSITION_BITS: u32 = Position::BITS;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;
const USED_SHIFT: u32 = 2 * POSITION_BITS;
const OVER_BIT: u64 = 1 << (USED_SHIFT + SLOTS_MAX as u32);
/// The used bits and the over bit.
const FLAGS: u64 = ((1 << (SLOTS_MAX + 1)) - 1) << USED_SHIFT;
const STAMP_HIGH_SHIFT: u32 = 60;
const STAMP_LOW_BITS: u32 = 64 - POSITION_BITS;
const _: () =
    assert!(GENERATION_MAX >> STAMP_LOW_BITS >> (64 - STAMP_HIGH_SHIFT) == 0, "a generation fits its stamp");

/// A cache line. All zeros is an empty one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u8; 64]);

/// How many entries of these widths a line holds.
pub(super) const fn slots(key: usize, value: usize) -> usize {
    let fit = ROOM / (key + value);
    if fit < SLOTS_MAX { fit } else { SLOTS_MAX }
}

impl Line {
    pub(super) const EMPTY: Self = Self([0; 64]);

    #[inline]
    fn word(&self, index: usize) -> u64 {
        u64::from_le_bytes(*self.0[index * 8..].first_chunk().expect("a line has eight words"))
    }

    #[inline]
    fn set_word(&mut self, index: usize, word: u64) {
        self.0[index * 8..index * 8 + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// A bit for each slot that holds an entry.
    #[inline]
    pub(super) fn used(&self) -> u32 {
        (self.word(0) >> USED_SHIFT) as u32 & ((1 << SLOTS_MAX) - 1)
    }

    #[inline]
    pub(super) fn is_used(&self, slot: usize) -> bool {
        self.word(0) >> (USED_SHIFT + slot as u32) & 1 != 0
    }

    #[inline]
    pub(super) fn set_used(&mut self, slot: usize, used: bool) {
        let bit = 1 << (USED_SHIFT + slot as u32);
        let word = self.word(0);
        self.set_word(0, if used { word | bit } else { word & !bit });
    }

    /// Whether entries that belong here are in later lines.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.word(0) & OVER_BIT != 0
    }

    pub(super) fn set_over(&mut self) {
        self.set_word(0, self.word(0) | OVER_BIT);
    }

    /// Makes the positions those of `generation`: forgets them if they are of an earlier one.
    #[inline]
    pub(super) fn stamp(&mut self, generation: u64) {
        let (first, second) = (self.word(0), self.word(1));
        let high = generation >> STAMP_LOW_BITS << STAMP_HIGH_SHIFT;
        let low = generation << POSITION_BITS;
        if (first ^ high) >> STAMP_HIGH_SHIFT | (second ^ low) >> POSITION_BITS != 0 {
            self.set_word(0, first & FLAGS | high);
            self.set_word(1, low);
        }
    }

    /// In which word the position of a slot stands, and from which bit on. Without a branch: slots are hard to predict.
    #[inline]
    const fn position_at(slot: usize) -> (usize, u32) {
        (slot >> 1, (slot & 1) as u32 * POSITION_BITS)
    }

    /// The position of a slot. Means something only after [`stamp`](Self::stamp).
    #[inline]
    pub(super) fn position(&self, slot: usize) -> Position {
        let (word, shift) = Self::position_at(slot);
        Position::from_bits((self.word(word) >> shift & POSITION_MASK) as u32)
    }

    #[inline]
    pub(super) fn set_position(&mut self, slot: usize, position: Position) {
        let (word, shift) = Self::position_at(slot);
        let others = self.word(word) & !(POSITION_MASK << shift);
        self.set_word(word, others | u64::from(position.bits()) << shift);
    }

    /// A bit for each slot that holds an entry with this key. Without a branch, too.
    #[inline]
    pub(super) fn matches<const K: usize, const V: usize>(&self, key: &[u8; K]) -> u32 {
        let mut found = 0;
        for slot in 0..slots(K, V) {
            found |= u32::from(self.key::<K, V>(slot) == key) << slot;
        }
        found & self.used()
    }

    #[inline]
    pub(super) fn key<const K: usize, const V: usize>(&self, slot: usize) -> &[u8; K] {
        self.0[HEADER + slot * (K + V)..].first_chunk().expect("a slot lies in its line")
    }

    #[inline]
    pub(super) fn value<const K: usize, const V: usize>(&self, slot: usize) -> &[u8; V] {
        self.0[HEADER + slot * (K + V) + K..].first_chunk().expect("a slot lies in its line")
    }

    #[inline]
    pub(super) fn value_mut<const K: usize, const V: usize>(&mut self, slot: usize) -> &mut [u8; V] {
        self.0[HEADER + slot * (K + V) + K..].first_chunk_mut().expect("a slot lies in its line")
    }

    /// Puts an entry into a free slot, without a position.
    #[inline]
    pub(super) fn fill<const K: usize, const V: usize>(
        &mut self,
        slot: usize,
        key: &[u8; K],
        value: &[u8; V],
    ) {
        let at = HEADER + slot * (K + V);
        self.0[at..at + K].copy_from_slice(key);
        self.0[at + K..at + K + V].copy_from_slice(value);
        self.set_used(slot, true);
        self.set_position(slot, Position::NONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_a_cache_line_and_holds_three_small_entries() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
        let counts = [(8, 8), (8, 16), (16, 8), (16, 16), (8, 32), (16, 32)].map(|(k, v)| slots(k, v));
        assert_eq!(counts, [3, 2, 2, 1, 1, 1]);
    }

    proptest! {
        /// Whatever is written to one field is read back, and the other fields stay as they are.
        #[test]
        fn fields_do_not_touch_each_other(
            entries in any::<[(u64, u64); 3]>(),
            positions in proptest::array::uniform3(0..1_u32 << POSITION_BITS),
            generation in 1..=GENERATION_MAX,
            later in 1..=GENERATION_MAX,
            over in any::<bool>(),
            removed in 0..4_usize,
        ) {
            let mut line = Line::EMPTY;
            line.stamp(generation);
            if over {
                line.set_over();
            }
            for (slot, (key, value)) in entries.iter().enumerate() {
                prop_assert!(!line.is_used(slot));
                line.fill::<8, 8>(slot, &key.to_le_bytes(), &value.to_le_bytes());
                line.set_position(slot, Position::from_bits(positions[slot]));
            }
            if removed < 3 {
                line.set_used(removed, false);
            }
            line.stamp(generation);
            let found = [0, 1, 2].map(|slot| line.position(slot).bits());
            prop_assert_eq!(found, positions);
            line.stamp(later);
            for (slot, (key, value)) in entries.iter().enumerate() {
                prop_assert_eq!(line.key::<8, 8>(slot), &key.to_le_bytes());
                prop_assert_eq!(line.value::<8, 8>(slot), &value.to_le_bytes());
                prop_assert_eq!(line.is_used(slot), slot != removed);
                let expected = if later == generation { positions[slot] } else { 0 };
                prop_assert_eq!(line.position(slot).bits(), expected);
            }
            prop_assert_eq!(line.is_over(), over);
        }
    }
}
