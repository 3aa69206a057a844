//! The index over all buckets.

use super::bucket::{Bucket, Sorted};
use crate::table::Namespace;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// How many buckets lie in the ring at most; others are kept in a map until their time comes.
const RING_MAX: usize = 1 << 16;

/// How many emptied buckets are kept for their memory.
const SPARE_MAX: usize = 16;

/// A timer whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The time for which it was armed.
    pub deadline: i64,
    /// The namespace of the entry to look at.
    pub namespace: Namespace,
}

/// A timer that was armed when its bucket was open already.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    deadline: i64,
    sequence: u64,
    namespace: Namespace,
    key: Box<[u8]>,
}

/// An index of timers of one kind of time. See the [module](super) for its laws.
pub struct TimerIndex {
    width_ms: i64,
    /// The number of the latest bucket whose time has come. Timers up to it are in `open` or `late`, others in `ring` or `far`.
    opened: Option<i64>,
    /// The number of the ring's first bucket. The ring's last bucket is never empty.
    base: i64,
    ring: VecDeque<Bucket>,
    far: BTreeMap<i64, Bucket>,
    open: Bucket,
    /// The timers of the open bucket, the next one last.
    sorted: Vec<Sorted>,
    late: BinaryHeap<Reverse<Late>>,
    sequence: u64,
    pending: usize,
    spare: Vec<Bucket>,
}

impl TimerIndex {
    /// A good width for most: some thousands of timers a bucket at some 100,000 a second.
    pub const WIDTH_MS: i64 = 10;

    /// An empty index with buckets of `width_ms` milliseconds. A bucket is sorted at once when its time comes, so they should
    /// not hold very many timers each.
    ///
    /// # Panics
    /// Unless `width_ms` is positive.
    #[must_use]
    pub fn new(width_ms: i64) -> Self {
        assert!(width_ms > 0, "a bucket has a width");
        Self {
            width_ms,
            opened: None,
            base: 0,
            ring: VecDeque::new(),
            far: BTreeMap::new(),
            open: Bucket::default(),
            sorted: Vec::new(),
            late: BinaryHeap::new(),
            sequence: 0,
            pending: 0,
            spare: Vec::new(),
        }
    }

    /// How many timers are armed, those included whose entries have moved on.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pending
    }

    /// Whether no timer is armed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// Asks to be told to look at `key` when `deadline` has come.
    pub fn arm(&mut self, deadline: i64, namespace: Namespace, key: &[u8]) {
        self.pending += 1;
        let number = deadline.div_euclid(self.width_ms);
        let is_late = self.opened.is_some_and(|opened| number <= opened);
        if !is_late {
            let bucket = self.bucket(number);
            if !bucket.is_full() {
                return bucket.push(deadline, namespace, key);
            }
        }
        // A full bucket's further timers go the same way: the heap is looked at whatever is open.
        self.late.push(Reverse(Late { deadline, sequence: self.sequence, namespace, key: key.into() }));
        self.sequence += 1;
    }

    /// The bucket with this number, which is not open yet.
    fn bucket(&mut self, number: i64) -> &mut Bucket {
        if self.ring.is_empty() {
            self.base = number;
        }
        match number.checked_sub(self.base) {
            Some(ahead) if (0..RING_MAX as i64).contains(&ahead) => {
                let ahead = ahead as usize;
                while self.ring.len() <= ahead {
                    self.ring.push_back(self.spare.pop().unwrap_or_default());
                }
                &mut self.ring[ahead]
            }
            _ => self.far.entry(number).or_default(),
        }
    }

    /// Takes the earliest timer that was armed for `now` or before, and puts its key into `key`. Nothing, if there is none.
    pub fn pop(&mut self, now: i64, key: &mut Vec<u8>) -> Option<Due> {
        loop {
            let sorted = self.sorted.last().map(|timer| timer.deadline);
            let late = self.late.peek().map(|late| late.0.deadline);
            match (sorted, late) {
                (Some(sorted), late) if late.is_none_or(|late| sorted <= late) => {
                    return (sorted <= now).then(|| self.pop_sorted(key));
                }
                (_, Some(late))
                    if self.opened.is_some_and(|opened| late.div_euclid(self.width_ms) <= opened) =>
                {
                    return (late <= now).then(|| self.pop_late(key));
                }
                _ => {}
            }
            if !self.open_next(now.div_euclid(self.width_ms)) {
                let late = late.filter(|&late| late <= now);
                return late.map(|_| self.pop_late(key));
            }
        }
    }

    fn pop_sorted(&mut self, key: &mut Vec<u8>) -> Due {
        let timer = self.sorted.pop().expect("seen by the caller");
        let (namespace, bytes) = self.open.get(timer);
        key.clear();
        key.extend_from_slice(bytes);
        self.pending -= 1;
        Due { deadline: timer.deadline, namespace }
    }

    fn pop_late(&mut self, key: &mut Vec<u8>) -> Due {
        let Reverse(late) = self.late.pop().expect("seen by the caller");
        key.clear();
        key.extend_from_slice(&late.key);
        self.pending -= 1;
        Due { deadline: late.deadline, namespace: late.namespace }
    }

    /// Opens the next bucket that has timers, if its number is at most `last`. The open one must be used up.
    fn open_next(&mut self, last: i64) -> bool {
        while self.ring.front().is_some_and(Bucket::is_empty) && self.base <= last {
            self.base += 1;
            let empty = self.ring.pop_front();
            self.spare(empty);
        }
        let in_ring = self.ring.front().filter(|bucket| !bucket.is_empty()).map(|_| self.base);
        let far = self.far.first_key_value().map(|(&number, _)| number);
        let Some(number) = in_ring.into_iter().chain(far).min().filter(|&number| number <= last) else {
            return false;
        };
        let mut bucket = self.far.remove(&number).unwrap_or_default();
        if in_ring == Some(number) {
            let from_ring = self.ring.pop_front().unwrap_or_default();
            self.base += 1;
            // What lies far was armed when the ring did not reach there yet, so it comes first.
            bucket.append(from_ring);
        }
        bucket.sort(&mut self.sorted);
        let used = std::mem::replace(&mut self.open, bucket);
        self.spare(Some(used));
        self.opened = Some(number);
        true
    }

    fn spare(&mut self, bucket: Option<Bucket>) {
        if let Some(mut bucket) = bucket.filter(|bucket| self.spare.len() < SPARE_MAX && bucket.has_memory())
        {
            bucket.clear();
            self.spare.push(bucket);
        }
    }

    /// A time at which there may be something to pop, none before it; nothing if no timer is armed. For whoever sleeps until
    /// then.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        let in_ring =
            self.ring.iter().position(|bucket| !bucket.is_empty()).map(|ahead| self.base + ahead as i64);
        let far = self.far.first_key_value().map(|(&number, _)| number);
        let bucket = in_ring.into_iter().chain(far).min().map(|number| number.saturating_mul(self.width_ms));
        let sorted = self.sorted.last().map(|timer| timer.deadline);
        let late = self.late.peek().map(|late| late.0.deadline);
        bucket.into_iter().chain(sorted).chain(late).min()
    }

    /// Forgets everything: a restore begins.
    pub fn clear(&mut self) {
        *self = Self::new(self.width_ms);
    }
}
