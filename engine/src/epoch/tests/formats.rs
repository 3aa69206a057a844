//! Every record of the protocol goes to bytes and back, and no bytes make a reader panic.

use crate::epoch::*;
use crate::fuzzing::seeds::{drawn, hold};
use crate::key::{HashedKey, KeyGroups};
use crate::table::{Delta, Namespace, PointTable, Table, TableId, TableSpec, Width};
use bytes::Bytes;
use millrace_record::TopicId;
use millrace_runtime::ShardId;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

fn attempt_record() -> impl Strategy<Value = AttemptRecord> {
    (any::<[u64; 5]>(), any::<bool>(), vec(any::<u32>(), 0..6), btree_set(any::<u16>(), 1..6)).prop_map(
        |([job, attempt, plan, first_epoch, after_commit], is_together, tasks, participants)| AttemptRecord {
            job: JobId(job),
            attempt: Attempt(attempt.max(1)),
            plan,
            first_epoch: Epoch(first_epoch),
            after_commit: CommitNumber(after_commit),
            is_together,
            tasks: tasks.into_iter().map(TaskId).collect(),
            participants: participants.into_iter().map(ShardId).collect(),
        },
    )
}

fn commit_record() -> impl Strategy<Value = CommitRecord> {
    let entry = any::<(u64, u64, u64, Option<u32>)>().prop_map(|(job, attempt, epoch, pieces)| CommitEntry {
        job: JobId(job),
        attempt: Attempt(attempt),
        epoch: Epoch(epoch),
        pieces,
    });
    (any::<u64>(), vec(entry, 0..6))
        .prop_map(|(number, entries)| CommitRecord { number: CommitNumber(number), entries })
}

fn piece_header() -> impl Strategy<Value = PieceHeader> {
    let target = prop_oneof![
        Just(Target::Changelog),
        (any::<[u8; 16]>(), 0..=i32::MAX).prop_map(|(topic, partition)| Target::Partition {
            topic: TopicId::from_bytes(topic),
            partition
        }),
    ];
    (any::<(u64, u64, u64, u32, u32)>(), target).prop_map(|((job, attempt, epoch, task, index), target)| {
        PieceHeader {
            id: PieceId {
                mark: Mark {
                    job: JobId(job),
                    attempt: Attempt(attempt),
                    epoch: Epoch(epoch),
                    task: TaskId(task),
                },
                index,
            },
            target,
        }
    })
}

fn position() -> impl Strategy<Value = SourcePosition> {
    any::<(u32, [u8; 16], i32, i32, i64)>().prop_map(|(source, topic, partition, leader_epoch, offset)| {
        SourcePosition {
            source: SourceId(source),
            topic: TopicId::from_bytes(topic),
            partition,
            leader_epoch,
            offset,
        }
    })
}

/// A delta of `keys` keys.
fn delta(keys: u64) -> Delta {
    let groups = KeyGroups::default();
    let width = Width::Fixed(8);
    let spec = TableSpec { id: TableId(0), types: 0, groups, range: groups.all(), key: width, value: width };
    let mut table = PointTable::new(spec);
    for key in 0..keys {
        table.put(Namespace::NONE, HashedKey::new(&key.to_be_bytes()), &key.to_be_bytes());
    }
    table.seal(Epoch(1))
}

fn joined(slices: &[Bytes]) -> Bytes {
    slices.concat().into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn attempts_round_trip(record in attempt_record()) {
        let bytes = record.encode();
        prop_assert_eq!(AttemptRecord::decode(&bytes), Ok(record));
        for cut in 0..bytes.len() {
            prop_assert!(AttemptRecord::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn commits_round_trip(record in commit_record()) {
        let bytes = record.encode();
        prop_assert_eq!(CommitRecord::decode(&bytes), Ok(record));
        for cut in 0..bytes.len() {
            prop_assert!(CommitRecord::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn piece_headers_round_trip(header in piece_header(), body in vec(any::<u8>(), 0..9)) {
        let piece = [header.encode().as_slice(), &body].concat();
        prop_assert_eq!(PieceHeader::decode(&piece), Ok(header));
        for cut in 0..PieceHeader::BYTES {
            prop_assert!(PieceHeader::decode(&piece[..cut]).is_err());
        }
    }

    #[test]
    fn changelogs_round_trip(positions in vec(position(), 0..4), keys in vec(0..50_u64, 0..3)) {
        let changelog = Changelog::new(positions, keys.into_iter().map(delta));
        let bytes = joined(&changelog.encode());
        for cut in 0..bytes.len() {
            prop_assert!(Changelog::decode(&bytes.slice(..cut)).is_err());
        }
        prop_assert_eq!(Changelog::decode(&bytes), Ok(changelog));
    }

    /// Bytes that are almost right are the ones that lead readers astray.
    #[test]
    fn damaged_bytes_never_panic(
        (attempt, commit, piece) in (attempt_record(), commit_record(), piece_header()),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let changelog = joined(&Changelog::new(Vec::new(), [delta(3)]).encode());
        for bytes in [attempt.encode(), commit.encode(), piece.encode().to_vec(), changelog.to_vec()] {
            let mut bytes = bytes;
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let read = (AttemptRecord::decode(&bytes).is_ok(), CommitRecord::decode(&bytes).is_ok());
            let _is_ok = (read, PieceHeader::decode(&bytes).is_ok(), Changelog::decode(&bytes.into()).is_ok());
        }
    }
}

#[test]
fn a_list_that_claims_more_than_there_is_costs_nothing() {
    let mut bytes = CommitRecord { number: CommitNumber(1), entries: Vec::new() }.encode();
    bytes[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    let refused = CommitRecord::decode(&bytes).unwrap_err();
    assert_eq!(
        refused,
        FormatError::Damaged { record: "commit record", at: 13, what: "list is longer than the record" }
    );
    bytes[0] = 9;
    let refused = CommitRecord::decode(&bytes).unwrap_err();
    assert_eq!(refused, FormatError::Unknown { record: "commit record", found: 9, known: 1 });
}

#[test]
fn layout_is_fixed() {
    let mark = Mark { job: JobId(1), attempt: Attempt(2), epoch: Epoch(3), task: TaskId(4) };
    let target = Target::Partition { topic: TopicId::from_bytes([7; 16]), partition: 6 };
    let piece = PieceHeader { id: PieceId { mark, index: 5 }, target }.encode();
    let numbers = [&[1, 2, 1][..], &[0; 7], &[2], &[0; 7], &[3], &[0; 7], &[4, 0, 0, 0, 5, 0, 0, 0]].concat();
    assert_eq!(piece[..], [&numbers[..], &[7; 16], &[6, 0, 0, 0]].concat());
    let entry = CommitEntry { job: JobId(1), attempt: Attempt(2), epoch: Epoch(3), pieces: Some(9) };
    let commit = CommitRecord { number: CommitNumber(8), entries: vec![entry] }.encode();
    let head = [&[1, 8][..], &[0; 7], &[1, 0, 0, 0]].concat();
    let body = [&[1][..], &[0; 7], &[2], &[0; 7], &[3], &[0; 7], &[1, 9, 0, 0, 0]].concat();
    assert_eq!(commit, [head, body].concat());
    let attempt = AttemptRecord {
        job: JobId(1),
        attempt: Attempt(2),
        plan: 3,
        first_epoch: Epoch(4),
        after_commit: CommitNumber(5),
        is_together: true,
        tasks: vec![TaskId(6)],
        participants: vec![ShardId(7), ShardId(8)],
    };
    let fields = (1..=5_u64).flat_map(u64::to_le_bytes).collect::<Vec<_>>();
    let lists = [1, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0, 7, 0, 8, 0];
    assert_eq!(attempt.encode(), [&[1, 1][..], &fields, &lists].concat());
}

#[test]
fn seeds_are_as_made() {
    let attempts =
        drawn(12, attempt_record()).map(|(name, record)| (format!("attempt_{name}"), record.encode()));
    let commits =
        drawn(12, commit_record()).map(|(name, record)| (format!("commit_{name}"), record.encode()));
    hold("engine_commit_log", attempts.chain(commits));
    let pieces =
        drawn(8, piece_header()).map(|(name, header)| (format!("piece_{name}"), header.encode().to_vec()));
    let changelogs =
        drawn(8, (vec(position(), 0..4), vec(0..50_u64, 0..3))).map(|(name, (positions, keys))| {
            let changelog = Changelog::new(positions, keys.into_iter().map(delta));
            (format!("changelog_{name}"), joined(&changelog.encode()).to_vec())
        });
    hold("engine_changelog", pieces.chain(changelogs));
}
