//! Key groups, and which shard has which.

use super::hash::KeyHash;
use millrace_runtime::ShardId;
use std::fmt;

/// The number of a key group: the smallest unit in which keyed state moves between shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

impl fmt::Display for KeyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many key groups a job has. Part of its plan for good: it bounds how many shards can share the job's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroups(u16);

impl KeyGroups {
    /// The most that a plan may ask for.
    pub const MAX: u16 = 32_768;

    /// A job with `count` key groups, or nothing unless `count` is in `1..=MAX`.
    #[must_use]
    pub const fn new(count: u16) -> Option<Self> {
        if count == 0 || count > Self::MAX { None } else { Some(Self(count)) }
    }

    /// The number.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.0
    }

    /// The group that a key belongs to: `hash * count / 2^64`, which rises with the hash.
    #[inline]
    #[must_use]
    pub const fn group_of(self, hash: KeyHash) -> KeyGroup {
        KeyGroup(((hash.0 as u128 * self.0 as u128) >> 64) as u16)
    }

    /// All groups as one range.
    #[must_use]
    pub const fn all(self) -> KeyGroupRange {
        KeyGroupRange { start: 0, end: self.0 }
    }

    /// The smallest hash of a group, or nothing if there is no such group.
    #[must_use]
    pub const fn first_hash(self, group: u16) -> Option<KeyHash> {
        if group >= self.0 {
            return None;
        }
        Some(KeyHash((((group as u128) << 64).div_ceil(self.0 as u128)) as u64))
    }

    /// The first and the last hash of the groups in `range`.
    ///
    /// # Panics
    /// If the range is empty or has groups that are not among these.
    #[must_use]
    pub const fn hashes_of(self, range: KeyGroupRange) -> (KeyHash, KeyHash) {
        assert!(!range.is_empty() && range.end <= self.0, "a range of these key groups");
        let first = self.first_hash(range.start).expect("checked");
        match self.first_hash(range.end) {
            Some(next) => (first, KeyHash(next.0 - 1)),
            None => (first, KeyHash(u64::MAX)),
        }
    }
}

impl Default for KeyGroups {
    /// 1,024: at 64 shards 16 groups each, enough to even out, and few enough for a directory in one block.
    fn default() -> Self {
        Self(1_024)
    }
}

/// A contiguous range of key groups, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyGroupRange {
    /// The first group.
    pub start: u16,
    /// One past the last.
    pub end: u16,
}

impl KeyGroupRange {
    /// Whether the range has `group`.
    #[inline]
    #[must_use]
    pub const fn contains(self, group: KeyGroup) -> bool {
        self.start <= group.0 && group.0 < self.end
    }

    /// Whether both ranges have a group in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// How many groups it has.
    #[must_use]
    pub const fn len(self) -> u16 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Cuts the range into `pieces` contiguous ones whose lengths differ by at most one; piece `index` of them.
    ///
    /// # Panics
    /// If `index` is not below `pieces`.
    #[must_use]
    pub const fn piece(self, index: usize, pieces: usize) -> Self {
        assert!(index < pieces, "piece out of range");
        let length = self.len() as usize;
        Self {
            start: self.start + (length * index / pieces) as u16,
            end: self.start + (length * (index + 1) / pieces) as u16,
        }
    }
}

impl fmt::Display for KeyGroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Why a set of shards can't be a placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// No shard.
    #[error("a job needs at least one shard")]
    Empty,
    /// More shards than key groups.
    #[error("{shards} shards can't share {groups} key groups: give the job more key groups or fewer shards")]
    TooFewGroups {
        /// How many shards were named.
        shards: usize,
        /// How many key groups the plan has.
        groups: u16,
    },
}

/// The shards that hold a job's keyed state, and thereby who has which key group. Part of the plan.
///
/// The shards are taken in ascending order, each once; the nth of N has groups `n * G / N .. (n + 1) * G / N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    groups: KeyGroups,
    shards: Box<[ShardId]>,
    /// The shard of each group: one load per record at the exchange.
    owners: Box<[ShardId]>,
}

impl Placement {
    /// Spreads `groups` over `shards`; their order and repetitions don't matter.
    ///
    /// # Errors
    /// [`PlacementError`] if there is no shard, or more of them than groups.
    pub fn new(groups: KeyGroups, shards: impl IntoIterator<Item = ShardId>) -> Result<Self, PlacementError> {
        let mut shards: Vec<_> = shards.into_iter().collect();
        shards.sort_unstable();
        shards.dedup();
        if shards.is_empty() {
            return Err(PlacementError::Empty);
        }
        if shards.len() > usize::from(groups.count()) {
            return Err(PlacementError::TooFewGroups { shards: shards.len(), groups: groups.count() });
        }
        let mut owners = Vec::with_capacity(usize::from(groups.count()));
        for (index, &shard) in shards.iter().enumerate() {
            let range = groups.all().piece(index, shards.len());
            owners.extend(std::iter::repeat_n(shard, usize::from(range.len())));
        }
        Ok(Self { groups, shards: shards.into(), owners: owners.into() })
    }

    /// The number of key groups.
    #[must_use]
    pub const fn groups(&self) -> KeyGroups {
        self.groups
    }

    /// The shards, ascending.
    #[must_use]
    pub const fn shards(&self) -> &[ShardId] {
        &self.shards
    }

    /// The shard that has the key with this hash.
    #[inline]
    #[must_use]
    pub fn shard_of(&self, hash: KeyHash) -> ShardId {
        self.owners[usize::from(self.groups.group_of(hash).0)]
    }

    /// The groups of `shard`, if it is one of the placement's.
    #[must_use]
    pub fn range_of(&self, shard: ShardId) -> Option<KeyGroupRange> {
        let index = self.shards.binary_search(&shard).ok()?;
        Some(self.groups.all().piece(index, self.shards.len()))
    }
}
