//! A shard's journal in the world: entries in order, of which a crash keeps what was durable and perhaps more.

use super::Random;
use crate::epoch::{PieceHeader, PieceId, Target};
use std::collections::BTreeMap;

/// A partition of a job's output: (job, number).
pub(super) type Partition = (u64, i32);

/// A record of an output partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Produced by a client.
    Client(u32),
    /// Made by a job: the nth record of this key in this input.
    Count { input: u8, key: u8, count: u32 },
}

impl Value {
    pub(super) fn encode(self) -> [u8; 8] {
        let (tag, input, key, number) = match self {
            Self::Client(number) => (0, 0, 0, number),
            Self::Count { input, key, count } => (1, input, key, count),
        };
        let [a, b, c, d] = number.to_le_bytes();
        [tag, input, key, 0, a, b, c, d]
    }

    pub(super) fn decode(bytes: [u8; 8]) -> Self {
        let [tag, input, key, _, a, b, c, d] = bytes;
        let number = u32::from_le_bytes([a, b, c, d]);
        if tag == 0 { Self::Client(number) } else { Self::Count { input, key, count: number } }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// A staged piece: header and body.
    Piece(Vec<u8>),
    /// The marker of a splice: a reference, and for a partition the offset.
    Splice { id: PieceId, target: Target, offset: usize },
    /// A client's append.
    Client { partition: Partition, offset: usize, value: u32 },
    /// A record of the commit log.
    Commit(Vec<u8>),
    /// A record of an attempt.
    Attempt(Vec<u8>),
}

/// What shares a fate if frames are split: each partition's entries are kept up to some point of their own.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Staged(Target),
    Appended(Partition),
    Changelog,
    Commits,
    Attempts,
}

impl Entry {
    fn class(&self) -> Class {
        match self {
            Self::Piece(bytes) => Class::Staged(PieceHeader::decode(bytes).unwrap().target),
            Self::Splice { target: Target::Changelog, .. } => Class::Changelog,
            Self::Splice { id, target: Target::Partition { partition, .. }, .. } => {
                Class::Appended((id.mark.job.0, *partition))
            }
            Self::Client { partition, .. } => Class::Appended(*partition),
            Self::Commit(_) => Class::Commits,
            Self::Attempt(_) => Class::Attempts,
        }
    }
}

#[derive(Default)]
pub(super) struct Journal {
    pub(super) entries: Vec<Entry>,
    /// How many of them are durable.
    pub(super) durable: usize,
    /// Where in `entries` each piece is.
    pub(super) pieces: BTreeMap<PieceId, usize>,
}

impl Journal {
    pub(super) fn append(&mut self, entry: Entry) -> usize {
        if let Entry::Piece(bytes) = &entry {
            let before = self.pieces.insert(PieceHeader::decode(bytes).unwrap().id, self.entries.len());
            assert_eq!(before, None, "a piece is staged once");
        }
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// The body of a staged piece.
    pub(super) fn body(&self, id: PieceId) -> bytes::Bytes {
        let Entry::Piece(bytes) = &self.entries[self.pieces[&id]] else { panic!("{id} is a piece") };
        bytes::Bytes::copy_from_slice(&bytes[PieceHeader::BYTES..])
    }

    /// Makes some more entries durable, and returns which.
    pub(super) fn sync(&mut self, random: &mut Random) -> Vec<Entry> {
        let until = self.durable + random.below(self.entries.len() - self.durable + 1);
        let synced = self.entries[self.durable..until].to_vec();
        self.durable = until;
        synced
    }

    /// Keeps what is durable, and of the rest a prefix, or a prefix of each class.
    pub(super) fn crash(&mut self, random: &mut Random, are_frames_split: bool) {
        let tail = self.entries.split_off(self.durable);
        let kept: Vec<_> = if are_frames_split {
            let mut keeps = BTreeMap::new();
            let mut keep = |entry: &Entry| {
                let limit =
                    |random: &mut Random| if random.chance(30) { usize::MAX } else { random.below(4) };
                let left = keeps.entry(entry.class()).or_insert_with(|| limit(random));
                *left > 0 && {
                    *left -= 1;
                    true
                }
            };
            tail.iter().filter(|entry| keep(entry)).cloned().collect()
        } else {
            tail[..random.below(tail.len() + 1)].to_vec()
        };
        self.pieces.retain(|_, at| *at < self.durable);
        kept.into_iter().for_each(|entry| {
            self.append(entry);
        });
        self.durable = self.entries.len();
    }
}
