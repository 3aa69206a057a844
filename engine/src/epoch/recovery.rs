//! What a start makes of what a crash has left: commit log, attempts, staged pieces.

use super::attempt::AttemptRecord;
use super::commit::{CommitEntry, CommitRecord};
use super::coordinator::CoordinatorStart;
use super::ids::{Attempt, CommitNumber, Epoch, JobId, PieceId, SourceId, SourcePosition, Target};
use millrace_record::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use millrace_runtime::ShardId;
use std::collections::{BTreeMap, BTreeSet};

/// A piece that was found in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundPiece {
    /// Which piece.
    pub id: PieceId,
    /// Where it goes.
    pub target: Target,
    /// The shard in whose journal it was found. A changelog belongs to its shard.
    pub shard: ShardId,
    /// Whether the marker of its splice was found, too.
    pub is_spliced: bool,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The pieces to splice again, in this order, before anything else is appended to their targets.
    pub splice: Vec<FoundPiece>,
    /// The pieces to forget: their epochs are aborted.
    pub discard: Vec<FoundPiece>,
    /// The entries that were written together with their pieces and don't count, because some piece of them or of an earlier
    /// epoch of their attempt is missing.
    pub void: Vec<CommitEntry>,
    /// The last committed epoch of each job that is named in the log.
    pub committed: BTreeMap<JobId, Epoch>,
    /// Where the coordinator begins.
    pub start: CoordinatorStart,
}

/// What a start can't go on with: something durable is gone or was never written by this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// A record is missing in the commit log.
    #[error("commit log: {found} follows {last}")]
    Gap {
        /// The last record in order.
        last: CommitNumber,
        /// The next one found.
        found: CommitNumber,
    },
    /// An epoch was committed whose attempt is not known, though an attempt is durable before it starts.
    #[error("commit {number} names attempt {attempt} of job {job}, of which there is no record")]
    UnknownAttempt {
        /// The record.
        number: CommitNumber,
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: Attempt,
    },
    /// An attempt was committed after a later one had started.
    #[error("commit {number} names attempt {attempt} of job {job} after attempt {later} had started")]
    StaleCommit {
        /// The record.
        number: CommitNumber,
        /// The job.
        job: JobId,
        /// The attempt.
        attempt: Attempt,
        /// The later attempt.
        later: Attempt,
    },
    /// Epochs of a job were committed out of order, or one twice.
    #[error("commit {number}: epoch {epoch} of job {job} does not follow epoch {last}")]
    EpochOrder {
        /// The record.
        number: CommitNumber,
        /// The job.
        job: JobId,
        /// The epoch.
        epoch: Epoch,
        /// The job's epoch before it.
        last: Epoch,
    },
    /// A piece is in its partition though its epoch is not committed.
    #[error("{0} was spliced, but its epoch is not committed")]
    SplicedUncommitted(PieceId),
    /// A piece is in its partition, but one that belongs before it is not.
    #[error("{later} was spliced without {earlier}")]
    SpliceOrder {
        /// The piece that is missing.
        earlier: PieceId,
        /// The piece that is there.
        later: PieceId,
    },
}

/// The place of an epoch in the commit log.
type Place = (CommitNumber, usize);

/// Decides on every piece that was found.
///
/// `log` is the commit log from its first kept record on, in its order, and `attempts` are all attempt records. Entries of records
/// up to `settled` are known to be applied with all their pieces, which may be gone from the journals by now. Doing what this
/// says, being cut short in it by another crash and calling it again with what is found then comes to the same.
///
/// # Errors
/// [`RecoveryError`] if what was found can't be what this protocol left.
pub fn recover(
    settled: CommitNumber,
    log: &[CommitRecord],
    attempts: &[AttemptRecord],
    found: &[FoundPiece],
) -> Result<Recovery, RecoveryError> {
    let mut recovery = Recovery::default();
    for attempt in attempts {
        let last = recovery.start.attempts.entry(attempt.job).or_default();
        *last = attempt.attempt.max(*last);
    }
    let places = read_log(settled, log, attempts, found, &mut recovery)?;
    let mut by_target = BTreeMap::<_, Vec<_>>::new();
    for piece in found {
        let mark = piece.id.mark;
        match places.get(&(mark.job, mark.attempt, mark.epoch)) {
            Some(&place) => {
                let target =
                    (piece.target, (piece.target == Target::Changelog).then_some((piece.shard, mark.job)));
                by_target.entry(target).or_default().push((place, piece.id, piece));
            }
            // The log may have been cut behind what is settled.
            None if piece.is_spliced && log.first().is_some_and(|first| first.number > CommitNumber(1)) => {}
            None if piece.is_spliced => return Err(RecoveryError::SplicedUncommitted(piece.id)),
            None => recovery.discard.push(*piece),
        }
    }
    let mut splice = Vec::new();
    for mut pieces in by_target.into_values() {
        pieces.sort_unstable_by_key(|&(place, id, _)| (place, id));
        let mut missing = None;
        for (place, id, piece) in pieces {
            match (piece.is_spliced, missing) {
                (false, _) => {
                    missing = missing.or(Some(id));
                    splice.push((place, id, *piece));
                }
                (true, Some(earlier)) => return Err(RecoveryError::SpliceOrder { earlier, later: id }),
                (true, None) => {}
            }
        }
    }
    splice.sort_unstable_by_key(|&(place, id, _)| (place, id));
    recovery.splice = splice.into_iter().map(|(_, _, piece)| piece).collect();
    let epochs = found.iter().map(|piece| piece.id.mark.epoch);
    let firsts = attempts.iter().map(|attempt| attempt.first_epoch);
    let logged = log.iter().flat_map(|record| &record.entries).map(|entry| entry.epoch);
    let last = epochs.chain(firsts).chain(logged).max();
    recovery.start.last_epoch = last.unwrap_or_default();
    Ok(recovery)
}

/// Checks the commit log and finds the place of each epoch that counts.
fn read_log(
    settled: CommitNumber,
    log: &[CommitRecord],
    attempts: &[AttemptRecord],
    found: &[FoundPiece],
    recovery: &mut Recovery,
) -> Result<BTreeMap<(JobId, Attempt, Epoch), Place>, RecoveryError> {
    let mut counts = BTreeMap::<_, u32>::new();
    for piece in found {
        let mark = piece.id.mark;
        *counts.entry((mark.job, mark.attempt, mark.epoch)).or_default() += 1;
    }
    let mut places = BTreeMap::new();
    let mut void = BTreeSet::new();
    let mut last_number = None;
    for record in log {
        let number = record.number;
        if last_number.is_some_and(|last: CommitNumber| number != last.next()) {
            return Err(RecoveryError::Gap { last: last_number.unwrap_or_default(), found: number });
        }
        last_number = Some(number);
        for (index, entry) in record.entries.iter().enumerate() {
            check_attempt(number, entry, attempts)?;
            let key = (entry.job, entry.attempt, entry.epoch);
            let is_whole = entry.pieces.is_none_or(|pieces| counts.get(&key).copied().unwrap_or(0) == pieces);
            // An epoch continues the one before it: what follows a void one is void, be it whole or not.
            if number > settled && (!is_whole || void.contains(&(entry.job, entry.attempt))) {
                void.insert((entry.job, entry.attempt));
                recovery.void.push(*entry);
                continue;
            }
            let last = recovery.committed.insert(entry.job, entry.epoch);
            if let Some(last) = last.filter(|&last| last >= entry.epoch) {
                return Err(RecoveryError::EpochOrder { number, job: entry.job, epoch: entry.epoch, last });
            }
            places.insert(key, (number, index));
        }
    }
    recovery.start.last_commit = last_number.unwrap_or(settled).max(settled);
    Ok(places)
}

/// Whether a commit's attempt was known and not over.
fn check_attempt(
    number: CommitNumber,
    entry: &CommitEntry,
    attempts: &[AttemptRecord],
) -> Result<(), RecoveryError> {
    let CommitEntry { job, attempt, .. } = *entry;
    let mut of_job = attempts.iter().filter(|record| record.job == job);
    if !of_job.clone().any(|record| record.attempt == attempt) {
        return Err(RecoveryError::UnknownAttempt { number, job, attempt });
    }
    match of_job.find(|record| record.attempt > attempt && record.after_commit < number) {
        Some(later) => Err(RecoveryError::StaleCommit { number, job, attempt, later: later.attempt }),
        None => Ok(()),
    }
}

/// How far a job's sources had read, by its committed changelog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    positions: BTreeMap<(SourceId, TopicId, PartitionIndex), (Epoch, LeaderEpoch, Offset)>,
}

impl Positions {
    /// Takes in the positions of a committed piece. Pieces of different shards may come in any order.
    pub fn apply(&mut self, epoch: Epoch, positions: &[SourcePosition]) {
        for position in positions {
            let key = (position.source, position.topic, position.partition);
            let known = self.positions.entry(key).or_default();
            if known.0 <= epoch {
                *known = (epoch, position.leader_epoch, position.offset);
            }
        }
    }

    /// Where to resume, for each partition of each source that was read.
    pub fn iter(&self) -> impl Iterator<Item = SourcePosition> + '_ {
        self.positions.iter().map(|(&(source, topic, partition), &(_, leader_epoch, offset))| {
            SourcePosition { source, topic, partition, leader_epoch, offset }
        })
    }

    /// Where a source resumes in a partition, if it has read there before.
    #[must_use]
    pub fn get(&self, source: SourceId, topic: TopicId, partition: PartitionIndex) -> Option<SourcePosition> {
        let &(_, leader_epoch, offset) = self.positions.get(&(source, topic, partition))?;
        Some(SourcePosition { source, topic, partition, leader_epoch, offset })
    }
}
