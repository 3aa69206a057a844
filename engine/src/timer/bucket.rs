//! The timers of one stretch of time, as bytes.

use crate::table::Namespace;

/// A timer in a bucket: its deadline and where its record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sorted {
    pub(super) deadline: i64,
    at: u32,
}

/// What precedes a key: deadline, namespace, length of the key.
const HEAD: usize = 8 + 8 + 4;

/// How many bytes a bucket takes: positions have 32 bits, and two buckets of one number may be joined.
const BYTES_MAX: usize = 1 << 30;

/// Records of (deadline, namespace, key), one after the other.
#[derive(Default)]
pub(super) struct Bucket {
    records: Vec<u8>,
}

impl Bucket {
    pub(super) const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether it has memory to give on.
    pub(super) const fn has_memory(&self) -> bool {
        self.records.capacity() > 0
    }

    /// Adds what is in another bucket.
    pub(super) fn append(&mut self, mut other: Self) {
        if self.is_empty() {
            std::mem::swap(self, &mut other);
        } else {
            self.records.append(&mut other.records);
        }
    }

    /// Whether it takes no more.
    pub(super) const fn is_full(&self) -> bool {
        self.records.len() >= BYTES_MAX
    }

    pub(super) fn push(&mut self, deadline: i64, namespace: Namespace, key: &[u8]) {
        self.records.reserve(HEAD + key.len());
        self.records.extend_from_slice(&deadline.to_le_bytes());
        self.records.extend_from_slice(&namespace.0.to_le_bytes());
        self.records.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.records.extend_from_slice(key);
    }

    /// Namespace and key of a timer.
    pub(super) fn get(&self, timer: Sorted) -> (Namespace, &[u8]) {
        let record = &self.records[timer.at as usize..];
        let namespace = u64::from_le_bytes(*record[8..].first_chunk().expect("a record has a head"));
        let length = u32::from_le_bytes(*record[16..].first_chunk().expect("a record has a head"));
        (Namespace(namespace), &record[HEAD..HEAD + length as usize])
    }

    /// Lists the timers, the latest first, so that they are popped from the end; those of one deadline in the order of arming.
    pub(super) fn sort(&self, into: &mut Vec<Sorted>) {
        into.clear();
        let mut at = 0;
        while at < self.records.len() {
            let record = &self.records[at..];
            let deadline = i64::from_le_bytes(*record.first_chunk().expect("a record has a head"));
            let length = u32::from_le_bytes(*record[16..].first_chunk().expect("a record has a head"));
            into.push(Sorted { deadline, at: at as u32 });
            at += HEAD + length as usize;
        }
        into.sort_unstable_by(|a, b| b.cmp(a));
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
    }
}
