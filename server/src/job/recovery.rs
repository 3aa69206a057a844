//! What a start does with what a stop or a crash has left of jobs, before anybody reads.
//!
//! Every shard looks for staged pieces; the first decides by the commit log which of them count; every shard splices its own,
//! in the order of the log, and gives the rest up. Doing it twice changes nothing: a splice that was done is passed over.

use super::{
    commit_log::{CommitLog, Entry, EntryError},
    commits::splice,
    dataflow::CONTROLLER,
    epochs,
};
use crate::{
    cluster::COMMIT_TOPIC,
    shard::{Context, PartitionError},
};
use millrace_engine::epoch::{
    Attempt, AttemptRecord, CommitNumber, CommitRecord, CoordinatorStart, Epoch, FoundPiece, JobId, Mark,
    PieceId, RecoveryError, Target, TaskId, recover,
};
use millrace_runtime::ShardId;
use millrace_storage::{AppendError, FatalError, LogKey, LogKind, Piece, ReadError};
use std::collections::BTreeMap;

/// Why jobs can't be recovered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobsError {
    /// The commit log does not give its records.
    #[error("the commit log can't be read: {0}")]
    Read(String),
    /// The store has failed.
    #[error(transparent)]
    Fatal(#[from] FatalError),
    /// The commit log holds something else.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A staged log can't be read.
    #[error("what is staged for {0} can't be read: {1}")]
    Staged(LogKey, #[source] ReadError),
    /// What was found can't be what we left.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The commit log can't be written.
    #[error("the commit log can't be written: {0}")]
    NotWritten(PartitionError),
}

/// A staged piece, and where it lies.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The partition that it is for.
    partition: LogKey,
    piece: Piece,
    /// Its name for the protocol.
    found: FoundPiece,
    /// The last commit that was spliced onto the partition, by what is durable of it.
    spliced: u64,
}

/// Recovers the jobs of all shards, and gives what the coordinator begins with. On the first shard, when all have opened
/// their partitions and none serves.
///
/// # Errors
/// [`JobsError`]: the server can't start.
pub async fn recover_jobs(shard: &Context) -> Result<CoordinatorStart, JobsError> {
    let log = read_commit_log(shard).await?;
    let mut pieces = Vec::new();
    for owner in (0..shard.count()).map(ShardId) {
        pieces.extend(shard.on(owner, |there| async move { find_pieces(&there).await }).await?);
    }
    let records: Vec<CommitRecord> = log.commits.iter().map(|(_, record)| record.clone()).collect();
    let attempts: Vec<AttemptRecord> = log.attempts.values().cloned().collect();
    let found: Vec<FoundPiece> = pieces.iter().map(|found| found.found).collect();
    let mut recovery = recover(log.settled, &records, &attempts, &found)?;
    recovery.start.last_epoch = recovery.start.last_epoch.max(log.last_epoch);
    let places = places_of(&records);
    for owner in (0..shard.count()).map(ShardId) {
        let own: Vec<Found> = pieces.iter().filter(|found| found.found.shard == owner).copied().collect();
        let places = places.clone();
        shard.on(owner, move |there| async move { resolve(&there, &own, &places).await }).await?;
    }
    shard.partitions().commits().publish(recovery.start.last_commit);
    settle(shard, &log, &pieces, &places, &recovery.start).await?;
    Ok(recovery.start)
}

/// The place of each committed epoch in the log: its record, and its entry there.
type Places = BTreeMap<(JobId, Attempt, Epoch), (CommitNumber, usize)>;

fn places_of(records: &[CommitRecord]) -> Places {
    let mut places = Places::new();
    for record in records {
        for (index, entry) in record.entries.iter().enumerate() {
            places.insert((entry.job, entry.attempt, entry.epoch), (record.number, index));
        }
    }
    places
}

fn place_of(places: &Places, found: &Found) -> Option<(CommitNumber, usize)> {
    let mark = found.found.id.mark;
    places.get(&(mark.job, mark.attempt, mark.epoch)).copied()
}

async fn read_commit_log(shard: &Context) -> Result<CommitLog, JobsError> {
    let mut log = CommitLog::default();
    let partitions = shard.partitions();
    let read = partitions.for_each_record(COMMIT_TOPIC, 0, |record| {
        log.push(record.offset, Entry::decode(record.value.unwrap_or_default())?);
        Ok(())
    });
    read.await.map_err(|error| JobsError::Read(error.to_string()))?;
    Ok(log)
}

/// The pieces that are staged on this shard.
async fn find_pieces(shard: &Context) -> Result<Vec<Found>, JobsError> {
    let mut pieces = Vec::new();
    // One task has at most one piece for a partition and epoch, so any number tells those of one shard apart.
    let mut counts = BTreeMap::<Mark, u32>::new();
    for staged in shard.partitions().logs().into_iter().filter(|log| log.key().kind == LogKind::Staged) {
        let partition = staged.key().with_kind(LogKind::Data);
        let spliced = shard.partitions().existing(partition).map_or(0, |log| log.spliced().commit);
        let is_changelog = shard.image().jobs().any(|job| job.changelog == partition.topic);
        let target = if is_changelog {
            Target::Changelog
        } else {
            Target::Partition { topic: partition.topic, partition: partition.partition }
        };
        for piece in staged.pieces().await.map_err(|error| JobsError::Staged(partition, error))? {
            let mark = mark_of(&piece);
            let index = counts.entry(mark).or_default();
            let id = PieceId { mark, index: *index };
            *index += 1;
            // That a splice was done is for the log to say, batch by batch: it passes over what it has.
            let found = FoundPiece { id, target, shard: shard.id(), is_spliced: false };
            pieces.push(Found { partition, piece, found, spliced });
        }
    }
    Ok(pieces)
}

fn mark_of(piece: &Piece) -> Mark {
    let mark = piece.mark;
    let job = mark.job.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Mark {
        job: JobId(job),
        attempt: Attempt(mark.attempt),
        epoch: Epoch(mark.epoch),
        task: TaskId(mark.task),
    }
}

/// Splices what is committed of this shard's pieces, in the order of commits and tasks, and gives up the rest.
async fn resolve(shard: &Context, own: &[Found], places: &Places) -> Result<(), FatalError> {
    let partitions = shard.partitions();
    let mut committed = BTreeMap::<(CommitNumber, LogKey), Vec<(usize, TaskId, Piece)>>::new();
    for found in own {
        match place_of(places, found) {
            Some((number, entry)) => {
                let piece = (entry, found.found.id.mark.task, found.piece);
                committed.entry((number, found.partition)).or_default().push(piece);
            }
            None => {
                if let Some(staged) = partitions.existing(found.partition.with_kind(LogKind::Staged)) {
                    staged.release(&found.piece);
                }
            }
        }
    }
    for ((number, partition), mut pieces) in committed {
        // As the applier orders them.
        pieces.sort_by_key(|(entry, task, _)| (*entry, *task));
        let pieces: Vec<Piece> = pieces.into_iter().map(|(_, _, piece)| piece).collect();
        splice(partitions, partition, number, &pieces).await?;
    }
    Ok(())
}

/// Cuts the commit log: what was applied durably before this start need not be looked at by the next.
async fn settle(
    shard: &Context,
    log: &CommitLog,
    pieces: &[Found],
    places: &Places,
    start: &CoordinatorStart,
) -> Result<(), JobsError> {
    let open = pieces.iter().filter_map(|found| {
        let (number, _) = place_of(places, found)?;
        (number.0 >= found.spliced).then_some(number)
    });
    let settled = open.min().map_or(start.last_commit, |number| CommitNumber(number.0 - 1)).max(log.settled);
    if settled == log.settled {
        return Ok(());
    }
    let first_kept =
        log.commits.iter().find(|(_, record)| record.number > settled).map(|(offset, _)| *offset);
    let base = log.base(settled, start.last_epoch);
    match epochs::try_append(shard, &[Entry::Base(base)]).await {
        Ok(()) => {}
        Err(PartitionError::Append(AppendError::Exhausted(error))) => {
            tracing::warn!(%error, "no space to cut the commit log: the next start reads more of it");
            return Ok(());
        }
        Err(error) => return Err(JobsError::NotWritten(error)),
    }
    let partitions = shard.partitions();
    let commit_log = partitions
        .log(COMMIT_TOPIC, 0)
        .map_err(|error: PartitionError| JobsError::Read(error.to_string()))?;
    // The base itself stays: it is the last record.
    let start = first_kept.unwrap_or_else(|| commit_log.high_watermark() - 1);
    if let Err(error) = partitions.delete_records(COMMIT_TOPIC, 0, start).await {
        tracing::warn!(%error, "the commit log is not cut: the next start reads more of it");
    }
    debug_assert_eq!(shard.id(), CONTROLLER, "the commit log is the first shard's");
    Ok(())
}
