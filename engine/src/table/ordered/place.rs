//! Where an element stands in an ordered table.
//!
//! Elements are ordered by (hash of the key, first eight bytes of the order key, key, order key). For the elements of one
//! key that is the byte order of their order keys, and comparing two places mostly takes two integers. Keys of the same
//! hash, which are rare, may interleave: whoever walks a range passes over foreign keys.

use crate::key::{HashedKey, KeyHash};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Bound;

/// The first eight bytes of an order key as a number, as if zeros followed it.
fn prefix_of(order: &[u8]) -> u64 {
    match order.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; 8];
            first[..order.len()].copy_from_slice(order);
            u64::from_be_bytes(first)
        }
    }
}

/// What places are compared by.
pub(super) trait Compare {
    fn hash(&self) -> KeyHash;
    fn prefix(&self) -> u64;
    fn key(&self) -> &[u8];
    fn order(&self) -> &[u8];
}

impl PartialEq for dyn Compare + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for dyn Compare + '_ {}

impl PartialOrd for dyn Compare + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Compare + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.hash(), self.prefix())
            .cmp(&(other.hash(), other.prefix()))
            .then_with(|| self.key().cmp(other.key()))
            .then_with(|| self.order().cmp(other.order()))
    }
}

/// The place of an element in the table, with key and order key.
#[derive(Clone)]
pub(super) struct Place {
    hash: KeyHash,
    prefix: u64,
    key_bytes: u32,
    /// The key, then the order key.
    bytes: Box<[u8]>,
}

impl Compare for Place {
    #[inline]
    fn hash(&self) -> KeyHash {
        self.hash
    }

    #[inline]
    fn prefix(&self) -> u64 {
        self.prefix
    }

    #[inline]
    fn key(&self) -> &[u8] {
        &self.bytes[..self.key_bytes as usize]
    }

    #[inline]
    fn order(&self) -> &[u8] {
        &self.bytes[self.key_bytes as usize..]
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        (self as &dyn Compare).cmp(other)
    }
}

impl<'a> Borrow<dyn Compare + 'a> for Place {
    fn borrow(&self) -> &(dyn Compare + 'a) {
        self
    }
}

/// A place to look for, which has nothing of its own.
#[derive(Clone, Copy)]
pub(super) struct Probe<'a> {
    hash: KeyHash,
    prefix: u64,
    key: &'a [u8],
    order: &'a [u8],
}

impl<'a> Probe<'a> {
    #[inline]
    pub(super) fn new(key: HashedKey<'a>, order: &'a [u8]) -> Self {
        Self { hash: key.hash(), prefix: prefix_of(order), key: key.bytes(), order }
    }

    /// Before everything with this hash.
    pub(super) const fn before(hash: KeyHash) -> Self {
        Self { hash, prefix: 0, key: &[], order: &[] }
    }

    pub(super) fn to_place(self) -> Place {
        let key_bytes = u32::try_from(self.key.len()).expect("an entry's bytes are bounded");
        Place {
            hash: self.hash,
            prefix: self.prefix,
            key_bytes,
            bytes: [self.key, self.order].concat().into(),
        }
    }
}

impl Compare for Probe<'_> {
    #[inline]
    fn hash(&self) -> KeyHash {
        self.hash
    }

    #[inline]
    fn prefix(&self) -> u64 {
        self.prefix
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.key
    }

    #[inline]
    fn order(&self) -> &[u8] {
        self.order
    }
}

/// The places between two bounds of a key's order keys; nothing if there can't be any.
pub(super) fn between<'a>(
    key: HashedKey<'a>,
    start: Bound<&'a [u8]>,
    end: Bound<&'a [u8]>,
) -> Option<(Bound<Probe<'a>>, Bound<Probe<'a>>)> {
    use Bound::{Excluded, Included, Unbounded};
    let is_empty = match (start, end) {
        (Unbounded, _) | (_, Unbounded) => false,
        (Included(start), Included(end)) => start > end,
        (Included(start) | Excluded(start), Included(end) | Excluded(end)) => start >= end,
    };
    if is_empty {
        return None;
    }
    let lower = match start {
        Unbounded => Included(Probe::before(key.hash())),
        bound => bound.map(|order| Probe::new(key, order)),
    };
    let upper = match end {
        Unbounded => match key.hash().0.checked_add(1) {
            Some(next) => Excluded(Probe::before(KeyHash(next))),
            None => Unbounded,
        },
        bound => bound.map(|order| Probe::new(key, order)),
    };
    Some((lower, upper))
}

/// Bounds as the map wants them.
pub(super) fn as_compare<'b>(
    (lower, upper): &'b (Bound<Probe<'_>>, Bound<Probe<'_>>),
) -> (Bound<&'b dyn Compare>, Bound<&'b dyn Compare>) {
    (lower.as_ref().map(|probe| probe as &dyn Compare), upper.as_ref().map(|probe| probe as &dyn Compare))
}
