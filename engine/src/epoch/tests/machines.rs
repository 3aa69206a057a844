//! Each machine alone: what it waits for and what it refuses.

use crate::epoch::*;
use millrace_record::TopicId;
use millrace_runtime::ShardId;
use std::time::Duration;

const JOB: JobId = JobId(1);
const TOPIC: TopicId = TopicId::from_bytes([1; 16]);

fn record(attempt: u64, is_together: bool) -> AttemptRecord {
    AttemptRecord {
        job: JOB,
        attempt: Attempt(attempt),
        plan: 0,
        first_epoch: Epoch(1),
        after_commit: CommitNumber(0),
        is_together,
        tasks: vec![TaskId(0), TaskId(1)],
        participants: vec![ShardId(0)],
    }
}

fn mark(attempt: u64, epoch: u64, task: u32) -> Mark {
    Mark { job: JOB, attempt: Attempt(attempt), epoch: Epoch(epoch), task: TaskId(task) }
}

fn done(mark: Mark, pieces: u32) -> TaskDone {
    TaskDone { mark, pieces, positions: Vec::new() }
}

fn vote(epoch: u64, shard: u16) -> Vote {
    Vote { job: JOB, attempt: Attempt(1), epoch: Epoch(epoch), shard: ShardId(shard), pieces: None }
}

#[test]
fn a_participant_votes_when_all_is_announced_and_durable() {
    let mut participant = Participant::new(ShardId(0), 4);
    let mut actions = Vec::new();
    let piece = PieceId { mark: mark(1, 5, 0), index: 0 };
    // The piece overtakes the attempt that it belongs to.
    participant.stage(piece, &mut actions).unwrap();
    participant.durable(piece, &mut actions);
    participant.begin(&record(1, false), &mut actions);
    participant.announce(done(mark(1, 5, 1), 0), &mut actions).unwrap();
    assert_eq!(actions, [], "the other task may still send");
    participant.announce(done(mark(1, 5, 0), 1), &mut actions).unwrap();
    assert_eq!(actions, [ParticipantAction::Vote(vote(5, 0))]);
    participant.announce(done(mark(1, 6, 0), 1), &mut actions).unwrap();
    participant.announce(done(mark(1, 6, 1), 0), &mut actions).unwrap();
    let piece = PieceId { mark: mark(1, 6, 0), index: 0 };
    participant.stage(piece, &mut actions).unwrap();
    assert_eq!(actions.len(), 1, "staged is not durable");
    participant.durable(piece, &mut actions);
    assert_eq!(actions[1..], [ParticipantAction::Vote(vote(6, 0))]);
}

#[test]
fn together_a_participant_votes_when_all_is_staged() {
    let mut participant = Participant::new(ShardId(0), 4);
    let mut actions = Vec::new();
    participant.begin(&record(1, true), &mut actions);
    participant.announce(done(mark(1, 5, 0), 1), &mut actions).unwrap();
    participant.announce(done(mark(1, 5, 1), 0), &mut actions).unwrap();
    assert_eq!(actions, []);
    participant.stage(PieceId { mark: mark(1, 5, 0), index: 0 }, &mut actions).unwrap();
    assert_eq!(actions, [ParticipantAction::Vote(Vote { pieces: Some(1), ..vote(5, 0) })]);
}

#[test]
fn a_participant_refuses_what_is_over_or_wrong() {
    let mut participant = Participant::new(ShardId(0), 4);
    let mut actions = Vec::new();
    participant.begin(&record(3, false), &mut actions);
    let stale = Refused::Stale { job: JOB, attempt: Attempt(2), oldest: Attempt(3) };
    let piece = |attempt, index| PieceId { mark: mark(attempt, 9, 0), index };
    assert_eq!(participant.stage(piece(2, 0), &mut actions), Err(stale));
    assert_eq!(participant.announce(done(mark(2, 9, 0), 0), &mut actions), Err(stale));
    participant.stage(piece(3, 1), &mut actions).unwrap();
    assert_eq!(participant.stage(piece(3, 1), &mut actions), Err(Refused::Twice(piece(3, 1))));
    let announced = participant.announce(done(mark(3, 9, 0), 1), &mut actions);
    assert_eq!(announced, Err(Refused::Unannounced(piece(3, 1))));
    participant.announce(done(mark(3, 9, 0), 2), &mut actions).unwrap();
    assert_eq!(participant.announce(done(mark(3, 9, 0), 2), &mut actions), Err(Refused::Twice(piece(3, 2))));
    assert_eq!(participant.stage(piece(3, 2), &mut actions), Err(Refused::Unannounced(piece(3, 2))));
    participant.end(JOB, Attempt(3));
    assert!(matches!(participant.stage(piece(3, 0), &mut actions), Err(Refused::Stale { .. })));
    assert_eq!((participant.open_len(), actions), (0, Vec::new()));
}

#[test]
fn a_vote_waits_for_the_high_watermark_and_a_new_leader_fails_the_attempt() {
    let mut participant = Participant::new(ShardId(0), 4);
    let mut actions = Vec::new();
    participant.begin(&record(1, false), &mut actions);
    let position =
        |offset| SourcePosition { source: SourceId(0), topic: TOPIC, partition: 2, leader_epoch: 7, offset };
    let read =
        |epoch, offset| TaskDone { mark: mark(1, epoch, 0), pieces: 0, positions: vec![position(offset)] };
    participant.announce(read(5, 100), &mut actions).unwrap();
    participant.announce(done(mark(1, 5, 1), 0), &mut actions).unwrap();
    participant.high_watermark(TOPIC, 2, 7, 99, &mut actions);
    participant.high_watermark(TOPIC, 3, 7, 500, &mut actions);
    assert_eq!(actions, []);
    participant.high_watermark(TOPIC, 2, 7, 100, &mut actions);
    assert_eq!(actions, [ParticipantAction::Vote(vote(5, 0))]);
    participant.announce(read(6, 120), &mut actions).unwrap();
    participant.announce(done(mark(1, 6, 1), 0), &mut actions).unwrap();
    participant.high_watermark(TOPIC, 2, 8, 130, &mut actions);
    let failed = ParticipantAction::Fail { job: JOB, attempt: Attempt(1), position: position(120) };
    assert_eq!(actions[1..], [failed]);
}

/// Topics come and go; what is known of their partitions goes with the epochs that have read them.
#[test]
fn a_partition_is_watched_while_an_open_epoch_has_read_it() {
    let mut participant = Participant::new(ShardId(0), 4);
    let mut actions = Vec::new();
    participant.begin(&record(1, false), &mut actions);
    let position = |partition| SourcePosition {
        source: SourceId(0),
        topic: TOPIC,
        partition,
        leader_epoch: 7,
        offset: 100,
    };
    for (epoch, partitions) in [(5, vec![1, 2]), (6, vec![2, 3])] {
        let positions = partitions.into_iter().map(position).collect();
        let read = TaskDone { mark: mark(1, epoch, 0), pieces: 0, positions };
        participant.announce(read, &mut actions).unwrap();
        participant.announce(done(mark(1, epoch, 1), 0), &mut actions).unwrap();
    }
    (0..5).for_each(|partition| participant.high_watermark(TOPIC, partition, 7, 100, &mut actions));
    assert_eq!(actions, [ParticipantAction::Vote(vote(5, 0)), ParticipantAction::Vote(vote(6, 0))]);
    assert_eq!(participant.watched_len(), 3, "nobody reads the others");
    participant.committed(&CommitEntry { job: JOB, attempt: Attempt(1), epoch: Epoch(5), pieces: None });
    assert_eq!(participant.watched_len(), 2);
    participant.end(JOB, Attempt(1));
    assert_eq!(participant.watched_len(), 0);
}

#[test]
fn sources_stop_while_too_many_epochs_are_unresolved_and_work_is_told_once() {
    let mut participant = Participant::new(ShardId(0), 2);
    let mut actions = Vec::new();
    assert!(!participant.may_read(JOB));
    participant.begin(&record(1, false), &mut actions);
    participant.worked(JOB, &mut actions);
    participant.worked(JOB, &mut actions);
    let work = ParticipantAction::Work(Work { job: JOB, attempt: Attempt(1) });
    assert_eq!(actions, [work]);
    participant.tick(JOB, Attempt(1), Epoch(1));
    participant.worked(JOB, &mut actions);
    assert_eq!(actions, [work, work]);
    assert!(participant.may_read(JOB));
    participant.tick(JOB, Attempt(1), Epoch(2));
    assert!(!participant.may_read(JOB));
    participant.committed(&CommitEntry { job: JOB, attempt: Attempt(1), epoch: Epoch(1), pieces: None });
    assert!(participant.may_read(JOB));
}

/// A coordinator with one job on two shards, whose attempt is durable.
fn coordinator(unresolved_max: usize) -> (Coordinator, Vec<CoordinatorAction>) {
    let options = EpochOptions { unresolved_max, ..EpochOptions::default() };
    let mut coordinator = Coordinator::new(options, &CoordinatorStart::default());
    let mut actions = Vec::new();
    let attempt = coordinator.start(JOB, plan(), &mut actions).unwrap();
    coordinator.attempt_durable(JOB, attempt, &mut actions);
    actions.clear();
    (coordinator, actions)
}

fn plan() -> AttemptPlan {
    let participants = [ShardId(0), ShardId(1)].into();
    AttemptPlan { plan: 0, tasks: vec![TaskId(0)], participants, is_together: false }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Tells the coordinator of work and lets it do what is due at `now`. Returns the epoch that it started, if one.
fn tick(coordinator: &mut Coordinator, now: u64) -> Option<u64> {
    let mut actions = Vec::new();
    coordinator.work(Work { job: JOB, attempt: coordinator.attempt(JOB).unwrap() });
    coordinator.advance(ms(now), &mut actions);
    actions.iter().find_map(|action| match action {
        CoordinatorAction::Broadcast(Control::Tick { epoch, .. }) => Some(epoch.0),
        _ => None,
    })
}

#[test]
fn epochs_are_clocked_by_work_votes_and_time() {
    let (mut coordinator, mut actions) = coordinator(2);
    coordinator.advance(ms(50), &mut actions);
    assert_eq!((actions.as_slice(), coordinator.wake()), (&[][..], None), "no work, no epoch");
    assert_eq!(tick(&mut coordinator, 50), Some(1));
    assert_eq!(
        tick(&mut coordinator, 55),
        None,
        "the first is not prepared, and the interval has not passed"
    );
    assert_eq!(coordinator.wake(), Some(ms(60)));
    assert_eq!(tick(&mut coordinator, 60), Some(2), "the interval has passed");
    assert_eq!(tick(&mut coordinator, 900), None, "two are unresolved");
    assert_eq!(coordinator.oldest_age(ms(900)), Some(ms(850)));
    for (epoch, shard) in [(1, 0), (1, 1), (2, 1), (2, 0)] {
        coordinator.vote(vote(epoch, shard));
    }
    coordinator.advance(ms(901), &mut actions);
    coordinator.commit_durable(CommitNumber(1), &mut actions);
    assert_eq!((coordinator.unresolved(), coordinator.published()), (0, CommitNumber(1)));
    assert_eq!(tick(&mut coordinator, 902), Some(3));
    for shard in 0..2 {
        coordinator.vote(vote(3, shard));
    }
    assert_eq!(tick(&mut coordinator, 902), None, "the shortest time has not passed");
    assert_eq!(tick(&mut coordinator, 903), Some(4), "the last is prepared, though not committed");
}

#[test]
fn a_job_is_committed_in_the_order_of_its_epochs() {
    let (mut coordinator, mut actions) = coordinator(4);
    for now in [0, 10, 20] {
        tick(&mut coordinator, now);
    }
    for (epoch, shard) in [(2, 0), (2, 1), (3, 0), (1, 0)] {
        coordinator.vote(vote(epoch, shard));
    }
    coordinator.advance(ms(21), &mut actions);
    assert_eq!(actions, []);
    coordinator.vote(vote(1, 1));
    coordinator.advance(ms(21), &mut actions);
    let entry = |epoch| CommitEntry { job: JOB, attempt: Attempt(1), epoch: Epoch(epoch), pieces: None };
    let record = CommitRecord { number: CommitNumber(1), entries: vec![entry(1), entry(2)] };
    assert_eq!(actions, [CoordinatorAction::WriteCommit(record.clone())]);
    coordinator.commit_durable(CommitNumber(1), &mut actions);
    let published = CoordinatorAction::Publish(CommitNumber(1));
    assert_eq!(actions[1..], [CoordinatorAction::Broadcast(Control::Committed(record)), published]);
}

#[test]
fn an_attempt_that_is_over_gets_no_votes_and_the_next_waits_for_its_commits() {
    let (mut coordinator, mut actions) = coordinator(4);
    tick(&mut coordinator, 0);
    tick(&mut coordinator, 10);
    for (epoch, shard) in [(1, 0), (1, 1), (2, 0)] {
        coordinator.vote(vote(epoch, shard));
    }
    coordinator.advance(ms(11), &mut actions);
    assert_eq!(coordinator.start(JOB, plan(), &mut actions), Err(StartError::Alive(Attempt(1))));
    coordinator.end(JOB, Attempt(1), &mut actions);
    coordinator.vote(vote(2, 1));
    coordinator.advance(ms(12), &mut actions);
    let end = Control::End { job: JOB, attempt: Attempt(1), after_commit: CommitNumber(1) };
    assert_eq!(actions[1..], [CoordinatorAction::Broadcast(end)], "epoch 2 is aborted");
    assert_eq!(coordinator.unresolved(), 1, "epoch 1 is being written");
    let refused = coordinator.start(JOB, plan(), &mut actions);
    assert_eq!(refused, Err(StartError::Committing(CommitNumber(1))));
    coordinator.commit_durable(CommitNumber(1), &mut actions);
    assert_eq!(coordinator.start(JOB, plan(), &mut actions), Ok(Attempt(2)));
    let Some(CoordinatorAction::WriteAttempt(record)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!((record.first_epoch, record.after_commit), (Epoch(3), CommitNumber(1)));
    assert_eq!(tick(&mut coordinator, 99), None, "an attempt is durable before it begins");
}

#[test]
fn an_applier_splices_in_order_and_forgets_what_no_record_names() {
    let mut applier = Applier::new(CommitNumber(4));
    let target = |partition| Target::Partition { topic: TOPIC, partition };
    let piece = |epoch, task, index| PieceId { mark: mark(1, epoch, task), index };
    for (id, partition) in
        [(piece(8, 0, 0), 0), (piece(7, 1, 0), 1), (piece(7, 0, 1), 2), (piece(7, 0, 0), 3)]
    {
        applier.stage(id, target(partition));
    }
    applier.stage(piece(9, 0, 0), Target::Changelog);
    let entry = |epoch| CommitEntry { job: JOB, attempt: Attempt(1), epoch: Epoch(epoch), pieces: None };
    let record = |number, epoch| CommitRecord { number: CommitNumber(number), entries: vec![entry(epoch)] };
    let mut actions = Vec::new();
    applier.committed(record(6, 8));
    let behind = applier.apply(CommitNumber(6), &mut actions);
    assert_eq!(behind, Err(Behind { published: CommitNumber(6), next: CommitNumber(5) }));
    applier.end(JOB, Attempt(1), CommitNumber(6), &mut actions);
    assert_eq!(actions, []);
    applier.committed(record(5, 7));
    applier.apply(CommitNumber(6), &mut actions).unwrap();
    let splice = |id, partition| ApplierAction::Splice { id, target: target(partition) };
    let expected = [
        splice(piece(7, 0, 0), 3),
        splice(piece(7, 0, 1), 2),
        splice(piece(7, 1, 0), 1),
        ApplierAction::Committed(entry(7)),
        splice(piece(8, 0, 0), 0),
        ApplierAction::Committed(entry(8)),
        ApplierAction::Discard(piece(9, 0, 0)),
    ];
    assert_eq!(actions, expected);
    assert_eq!((applier.applied(), applier.staged_len()), (CommitNumber(6), 0));
}
