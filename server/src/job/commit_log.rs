//! The commit log: one partition on shard 0, of which nothing is shown to clients.
//!
//! Its records are attempts, each durable before its first task starts, and commits, each of which makes its epochs
//! count. A **base** says what needs not be looked at any more: everything before it was applied durably, and the log is
//! cut behind it.

use millrace_engine::epoch::{Attempt, AttemptRecord, CommitNumber, CommitRecord, Epoch, FormatError, JobId};
use std::collections::{BTreeMap, BTreeSet};

const ATTEMPT: u8 = 1;
const COMMIT: u8 = 2;
const BASE: u8 = 3;

/// One record of the commit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A run of a job begins.
    Attempt(AttemptRecord),
    /// Epochs are committed.
    Commit(CommitRecord),
    /// What came before counts only as far as it says.
    Base(Base),
}

/// What is left of the log before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// Commits up to this one are applied durably, with all their pieces.
    pub settled: CommitNumber,
    /// No epoch after this one was begun.
    pub last_epoch: Epoch,
    /// The attempts that may still be asked for: the last of each job, and those that later commits name.
    pub attempts: Vec<AttemptRecord>,
}

/// Why a record of the commit log can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Written by a newer server.
    #[error("commit log: a record of kind {0}, written by a newer server")]
    Unknown(u8),
    /// Too short or too long.
    #[error("commit log: a damaged record")]
    Damaged,
    /// What it holds is no attempt or commit.
    #[error("commit log: {0}")]
    Format(#[from] FormatError),
}

impl Entry {
    /// The value of its record: a kind, then the record in the engine's format, or the fields of a base.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Attempt(attempt) => [vec![ATTEMPT], attempt.encode()].concat(),
            Self::Commit(commit) => [vec![COMMIT], commit.encode()].concat(),
            Self::Base(base) => {
                let mut out = vec![BASE];
                out.extend(base.settled.0.to_le_bytes());
                out.extend(base.last_epoch.0.to_le_bytes());
                for attempt in &base.attempts {
                    let bytes = attempt.encode();
                    let len = u32::try_from(bytes.len()).expect("an attempt names tasks and shards, no more");
                    out.extend(len.to_le_bytes());
                    out.extend(bytes);
                }
                out
            }
        }
    }

    /// Reads the value of a record.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let (&kind, rest) = bytes.split_first().ok_or(EntryError::Damaged)?;
        match kind {
            ATTEMPT => Ok(Self::Attempt(AttemptRecord::decode(rest)?)),
            COMMIT => Ok(Self::Commit(CommitRecord::decode(rest)?)),
            BASE => decode_base(rest).map(Self::Base),
            kind => Err(EntryError::Unknown(kind)),
        }
    }
}

fn decode_base(bytes: &[u8]) -> Result<Base, EntryError> {
    let (settled, rest) = bytes.split_first_chunk().ok_or(EntryError::Damaged)?;
    let (last_epoch, mut rest) = rest.split_first_chunk().ok_or(EntryError::Damaged)?;
    let mut attempts = Vec::new();
    while !rest.is_empty() {
        let (len, behind) = rest.split_first_chunk().ok_or(EntryError::Damaged)?;
        let len = u32::from_le_bytes(*len) as usize;
        let (attempt, behind) = behind.split_at_checked(len).ok_or(EntryError::Damaged)?;
        attempts.push(AttemptRecord::decode(attempt)?);
        rest = behind;
    }
    Ok(Base {
        settled: CommitNumber(u64::from_le_bytes(*settled)),
        last_epoch: Epoch(u64::from_le_bytes(*last_epoch)),
        attempts,
    })
}

/// What the whole log says.
#[derive(Clone, Debug, Default)]
pub struct CommitLog {
    /// The last base.
    pub settled: CommitNumber,
    /// The last epoch that a base knows of.
    pub last_epoch: Epoch,
    /// The commits that are not settled, each with the offset of its record.
    pub commits: Vec<(i64, CommitRecord)>,
    /// Attempts by job and number.
    pub attempts: BTreeMap<(JobId, Attempt), AttemptRecord>,
}

impl CommitLog {
    /// Takes in the next record, which lies at `offset`.
    pub fn push(&mut self, offset: i64, entry: Entry) {
        match entry {
            Entry::Attempt(attempt) => drop(self.attempts.insert((attempt.job, attempt.attempt), attempt)),
            Entry::Commit(commit) if commit.number > self.settled => self.commits.push((offset, commit)),
            Entry::Commit(_) => {}
            Entry::Base(base) => {
                (self.settled, self.last_epoch) = (base.settled, base.last_epoch);
                self.commits.retain(|(_, commit)| commit.number > base.settled);
                for attempt in base.attempts {
                    self.attempts.insert((attempt.job, attempt.attempt), attempt);
                }
            }
        }
    }

    /// The base that makes records of commits up to `settled` superfluous.
    #[must_use]
    pub fn base(&self, settled: CommitNumber, last_epoch: Epoch) -> Base {
        let later = self.commits.iter().filter(|(_, commit)| commit.number > settled);
        let named: BTreeSet<(JobId, Attempt)> = later
            .flat_map(|(_, commit)| commit.entries.iter().map(|entry| (entry.job, entry.attempt)))
            .collect();
        let mut last = BTreeMap::new();
        for (job, attempt) in self.attempts.keys() {
            last.insert(*job, *attempt);
        }
        let is_needed = |key: &(JobId, Attempt)| named.contains(key) || last.get(&key.0) == Some(&key.1);
        let attempts = self.attempts.iter().filter(|(key, _)| is_needed(key));
        Base { settled, last_epoch, attempts: attempts.map(|(_, attempt)| attempt.clone()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_engine::epoch::{CommitEntry, TaskId};
    use millrace_runtime::ShardId;
    use proptest::prelude::*;

    fn attempt(job: u64, attempt: u64) -> AttemptRecord {
        AttemptRecord {
            job: JobId(job),
            attempt: Attempt(attempt),
            plan: 7,
            first_epoch: Epoch(1),
            after_commit: CommitNumber(0),
            is_together: false,
            tasks: vec![TaskId(0), TaskId(1)],
            participants: vec![ShardId(0), ShardId(3)],
        }
    }

    fn commit(number: u64, job: u64, of: u64) -> CommitRecord {
        let entry = CommitEntry { job: JobId(job), attempt: Attempt(of), epoch: Epoch(number), pieces: None };
        CommitRecord { number: CommitNumber(number), entries: vec![entry] }
    }

    fn entries() -> impl Strategy<Value = Entry> {
        let id = 1..1000u64;
        prop_oneof![
            (id.clone(), id.clone()).prop_map(|(job, of)| Entry::Attempt(attempt(job, of))),
            (id.clone(), id.clone(), id.clone())
                .prop_map(|(number, job, of)| Entry::Commit(commit(number, job, of))),
            (id.clone(), id.clone(), prop::collection::vec((id.clone(), id), 0..4)).prop_map(
                |(settled, epoch, of)| {
                    let attempts = of.into_iter().map(|(job, of)| attempt(job, of)).collect();
                    Entry::Base(Base { settled: CommitNumber(settled), last_epoch: Epoch(epoch), attempts })
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entry in entries()) {
            prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Entry::decode(&bytes));
        }
    }

    #[test]
    fn layout_is_fixed() {
        let base = Base { settled: CommitNumber(2), last_epoch: Epoch(3), attempts: vec![attempt(1, 1)] };
        let record = attempt(1, 1).encode();
        let mut bytes = vec![3, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, record.len() as u8, 0, 0, 0];
        bytes.extend(&record);
        assert_eq!(Entry::Base(base).encode(), bytes);
        assert_eq!(Entry::Attempt(attempt(1, 1)).encode(), [vec![1], record].concat());
        let commit = commit(1, 1, 1);
        assert_eq!(Entry::Commit(commit.clone()).encode(), [vec![2], commit.encode()].concat());
    }

    #[test]
    fn a_base_keeps_what_may_still_be_asked_for() {
        let mut log = CommitLog::default();
        for of in 1..4 {
            log.push(0, Entry::Attempt(attempt(1, of)));
        }
        log.push(3, Entry::Attempt(attempt(2, 1)));
        for (offset, record) in [(4, commit(1, 1, 1)), (5, commit(2, 1, 2)), (6, commit(3, 2, 1))] {
            log.push(offset, Entry::Commit(record));
        }
        let base = log.base(CommitNumber(1), Epoch(9));
        let kept: Vec<_> = base.attempts.iter().map(|attempt| (attempt.job.0, attempt.attempt.0)).collect();
        assert_eq!(kept, [(1, 2), (1, 3), (2, 1)]);
        log.push(7, Entry::Base(base));
        assert_eq!(log.settled, CommitNumber(1));
        assert_eq!(log.last_epoch, Epoch(9));
        let left: Vec<_> = log.commits.iter().map(|(offset, commit)| (*offset, commit.number.0)).collect();
        assert_eq!(left, [(5, 2), (6, 3)]);
    }

    #[test]
    fn seeds_are_as_made() {
        let seeds = crate::fuzzing::seeds::drawn(24, entries());
        crate::fuzzing::seeds::hold("server_commit_log", seeds.map(|(name, entry)| (name, entry.encode())));
    }
}
