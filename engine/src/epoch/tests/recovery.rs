//! What a start decides, case by case.

use crate::epoch::*;
use millrace_record::TopicId;
use millrace_runtime::ShardId;

fn attempt(job: u64, attempt: u64, after_commit: u64) -> AttemptRecord {
    AttemptRecord {
        job: JobId(job),
        attempt: Attempt(attempt),
        plan: 0,
        first_epoch: Epoch(10 * attempt),
        after_commit: CommitNumber(after_commit),
        is_together: false,
        tasks: vec![TaskId(0)],
        participants: vec![ShardId(0)],
    }
}

fn entry(job: u64, attempt: u64, epoch: u64, pieces: Option<u32>) -> CommitEntry {
    CommitEntry { job: JobId(job), attempt: Attempt(attempt), epoch: Epoch(epoch), pieces }
}

fn log(records: &[&[CommitEntry]]) -> Vec<CommitRecord> {
    let numbers = (1..).map(CommitNumber);
    numbers.zip(records).map(|(number, entries)| CommitRecord { number, entries: entries.to_vec() }).collect()
}

fn piece((job, attempt, epoch): (u64, u64, u64), index: u32, is_spliced: bool) -> FoundPiece {
    let mark = Mark { job: JobId(job), attempt: Attempt(attempt), epoch: Epoch(epoch), task: TaskId(0) };
    let target = Target::Partition { topic: TopicId::from_bytes([1; 16]), partition: 0 };
    FoundPiece { id: PieceId { mark, index }, target, shard: ShardId(0), is_spliced }
}

#[test]
fn what_is_committed_is_spliced_in_the_order_of_the_log_and_the_rest_discarded() {
    let log = log(&[&[entry(2, 1, 11, None)], &[entry(1, 1, 10, None), entry(1, 1, 12, None)]]);
    let attempts = [attempt(1, 1, 0), attempt(2, 1, 0), attempt(2, 2, 2)];
    let found = [
        piece((1, 1, 12), 0, false),
        piece((1, 1, 10), 1, false),
        piece((1, 1, 10), 0, false),
        piece((1, 1, 13), 0, false),
        piece((2, 1, 11), 0, true),
        piece((2, 2, 20), 0, false),
    ];
    let recovery = recover(CommitNumber(0), &log, &attempts, &found).unwrap();
    assert_eq!(recovery.splice, [found[2], found[1], found[0]]);
    assert_eq!(recovery.discard, [found[3], found[5]]);
    assert_eq!(recovery.committed, [(JobId(1), Epoch(12)), (JobId(2), Epoch(11))].into());
    assert_eq!(recovery.start.last_commit, CommitNumber(2));
    assert_eq!(recovery.start.last_epoch, Epoch(20));
    assert_eq!(recovery.start.attempts, [(JobId(1), Attempt(1)), (JobId(2), Attempt(2))].into());
}

#[test]
fn an_entry_without_all_its_pieces_is_void_and_so_are_those_after_it() {
    let log = log(&[
        &[entry(1, 1, 10, Some(1)), entry(1, 1, 11, Some(2))],
        &[entry(1, 1, 12, Some(1)), entry(2, 1, 12, Some(1))],
    ]);
    let attempts = [attempt(1, 1, 0), attempt(2, 1, 0)];
    let found = [
        piece((1, 1, 10), 0, false),
        piece((1, 1, 11), 0, false),
        piece((1, 1, 12), 0, false),
        piece((2, 1, 12), 0, false),
    ];
    let recovery = recover(CommitNumber(0), &log, &attempts, &found).unwrap();
    assert_eq!(recovery.void, [entry(1, 1, 11, Some(2)), entry(1, 1, 12, Some(1))]);
    assert_eq!(recovery.splice, [found[0], found[3]]);
    assert_eq!(recovery.discard, [found[1], found[2]]);
    assert_eq!(recovery.committed[&JobId(1)], Epoch(10));
    assert_eq!(recovery.start.last_epoch, Epoch(12), "a void epoch's number is not given again");
    // What is known to be applied needs no pieces any more.
    let recovery = recover(CommitNumber(2), &log, &attempts, &[]).unwrap();
    assert_eq!((recovery.void, recovery.committed[&JobId(1)]), (Vec::new(), Epoch(12)));
}

#[test]
fn what_this_protocol_can_not_have_left_is_refused() {
    let attempts = [attempt(1, 1, 0), attempt(1, 2, 1)];
    let refused = |log: &[CommitRecord], found: &[FoundPiece]| {
        recover(CommitNumber(0), log, &attempts, found).unwrap_err()
    };
    let mut gap = log(&[&[entry(1, 1, 10, None)], &[entry(1, 2, 20, None)]]);
    gap[1].number = CommitNumber(3);
    assert_eq!(refused(&gap, &[]), RecoveryError::Gap { last: CommitNumber(1), found: CommitNumber(3) });
    let unknown = refused(&log(&[&[entry(1, 3, 30, None)]]), &[]);
    let (number, job) = (CommitNumber(1), JobId(1));
    assert_eq!(unknown, RecoveryError::UnknownAttempt { number, job, attempt: Attempt(3) });
    let stale = refused(&log(&[&[], &[entry(1, 1, 10, None)]]), &[]);
    let number = CommitNumber(2);
    assert_eq!(stale, RecoveryError::StaleCommit { number, job, attempt: Attempt(1), later: Attempt(2) });
    let order = refused(&log(&[&[entry(1, 1, 11, None)], &[entry(1, 2, 11, None)]]), &[]);
    assert_eq!(order, RecoveryError::EpochOrder { number, job, epoch: Epoch(11), last: Epoch(11) });
    let spliced = piece((1, 1, 10), 0, true);
    assert_eq!(refused(&[], &[spliced]), RecoveryError::SplicedUncommitted(spliced.id));
    let hole = [piece((1, 1, 10), 0, false), piece((1, 1, 10), 1, true)];
    let hole_log = log(&[&[entry(1, 1, 10, None)]]);
    let expected = RecoveryError::SpliceOrder { earlier: hole[0].id, later: hole[1].id };
    assert_eq!(refused(&hole_log, &hole), expected);
}

#[test]
fn positions_of_later_epochs_win_whatever_the_order_of_pieces() {
    let at = |partition, offset| SourcePosition {
        source: SourceId(0),
        topic: TopicId::from_bytes([1; 16]),
        partition,
        leader_epoch: 3,
        offset,
    };
    let mut positions = Positions::default();
    positions.apply(Epoch(2), &[at(0, 20), at(1, 5)]);
    positions.apply(Epoch(1), &[at(0, 10), at(2, 7)]);
    positions.apply(Epoch(3), &[at(1, 6)]);
    assert_eq!(positions.iter().collect::<Vec<_>>(), [at(0, 20), at(1, 6), at(2, 7)]);
    assert_eq!(positions.get(SourceId(0), TopicId::from_bytes([1; 16]), 9), None);
}
