use super::{frame::FrameBuffer, *};
use crate::{
    data::{Encode, Scratch, access},
    epoch::{Attempt, Epoch, JobId},
    key::{EncodeKey, HashedKey, KeyGroups, Placement},
};
use millrace_runtime::ShardId;
use proptest::prelude::*;
use std::sync::Arc;

const EDGE: EdgeId = EdgeId(7);
const OTHER: EdgeId = EdgeId(8);

fn route(edge: EdgeId, from: u16) -> Route {
    Route { job: JobId(1), attempt: Attempt(2), edge, from: ShardId(from), to: ShardId(0) }
}

/// A frame made of what is given: `Some(n)` is a record, `None` with a mark a mark.
fn frame(edge: EdgeId, from: u16, parts: &[Result<u64, Mark>]) -> Frame {
    let mut buffer = FrameBuffer::default();
    for part in parts {
        match part {
            Ok(number) => buffer.push(0, None, number, &mut Scratch::new()).unwrap(),
            Err(mark) => buffer.mark(*mark),
        }
    }
    buffer.seal(route(edge, from), Vec::new())
}

/// What the gate has its task do, until it has nothing.
fn drain(gate: &mut Gate) -> Vec<String> {
    let mut log = Vec::new();
    while let Some(turn) = gate.turn() {
        if let Turn::Rows { input, channel, to } = turn {
            let (frame, from) = gate.rows(input, channel);
            for row in frame.rows(from, to) {
                let number = access::<<u64 as Encode>::Archived>(row.value).unwrap();
                log.push(format!("{} from {}", number.to_native(), frame.route().from));
            }
            gate.advance(input, channel, to);
        } else {
            log.push(format!("{turn:?}"));
        }
    }
    log
}

proptest! {
    #[test]
    fn rows_read_back_as_they_were_written(
        rows in proptest::collection::vec((any::<i64>(), proptest::option::of(".{0,12}"), ".{0,40}"), 0..20)
    ) {
        let mut buffer = FrameBuffer::default();
        let mut scratch = Scratch::new();
        let keys: Vec<_> = rows.iter().map(|(_, key, _)| key.as_ref().map(EncodeKey::to_key_bytes)).collect();
        for ((timestamp, _, value), key) in rows.iter().zip(&keys) {
            buffer.push(*timestamp, key.as_deref().map(HashedKey::new), value, &mut scratch).unwrap();
        }
        let frame = buffer.seal(route(EDGE, 0), Vec::new());
        prop_assert_eq!(frame.records() as usize, rows.len());
        let read: Vec<_> = frame.rows(0, frame.bytes()).collect();
        prop_assert_eq!(read.len(), rows.len());
        for ((row, (timestamp, _, value)), key) in read.iter().zip(&rows).zip(&keys) {
            prop_assert_eq!(row.timestamp, *timestamp);
            prop_assert_eq!(row.kind, ChangeKind::Insert);
            let read = access::<<String as Encode>::Archived>(row.value).unwrap();
            prop_assert_eq!(read.as_str(), value.as_str());
            match key {
                Some(key) => prop_assert_eq!(row.hashed_key(), HashedKey::new(key)),
                None => prop_assert!(row.key.is_empty()),
            }
        }
    }
}

#[test]
fn a_watermark_replaces_one_that_nothing_came_after() {
    let frame =
        frame(EDGE, 0, &[Err(Mark::Watermark(1)), Err(Mark::Watermark(5)), Ok(1), Err(Mark::Watermark(9))]);
    assert_eq!(frame.mark(0), Some((0, Mark::Watermark(5))));
    assert_eq!(frame.mark(1), Some((frame.bytes(), Mark::Watermark(9))));
    assert_eq!(frame.mark(2), None);
}

#[test]
fn records_and_marks_come_in_the_order_in_which_they_were_sent() {
    let mut gate = Gate::default();
    gate.add([(EDGE, ShardId(0))]);
    gate.receive(frame(
        EDGE,
        0,
        &[Ok(1), Ok(2), Err(Mark::Watermark(5)), Ok(3), Err(Mark::Idle), Err(Mark::Active)],
    ));
    gate.receive(frame(EDGE, 0, &[Err(Mark::Watermark(7)), Ok(4), Err(Mark::End)]));
    assert_eq!(
        drain(&mut gate),
        [
            "1 from 0",
            "2 from 0",
            "Watermark { input: 0, watermark: 5 }",
            "3 from 0",
            "Idle(true)",
            "Idle(false)",
            "Watermark { input: 0, watermark: 7 }",
            "4 from 0",
            "End { input: 0 }"
        ]
    );
    assert_eq!(gate.consumed.len(), 2);
}

#[test]
fn behind_a_barrier_a_channel_waits_for_the_others() {
    let mut gate = Gate::default();
    gate.add([(EDGE, ShardId(0)), (EDGE, ShardId(1))]);
    gate.add([(OTHER, ShardId(0))]);
    let barrier = |epoch| Err(Mark::Barrier(Epoch(epoch)));
    gate.receive(frame(EDGE, 0, &[Ok(1), barrier(3), Ok(2)]));
    gate.receive(frame(EDGE, 0, &[Ok(5)]));
    assert_eq!(drain(&mut gate), ["1 from 0"]);
    gate.receive(frame(OTHER, 0, &[barrier(3), Ok(9)]));
    assert_eq!(drain(&mut gate), [""; 0]);
    assert!(!gate.is_ready());
    gate.receive(frame(EDGE, 1, &[Ok(3), Ok(4), barrier(3)]));
    let log = drain(&mut gate);
    assert_eq!(&log[..3], ["3 from 1", "4 from 1", "Barrier(Epoch(3))"]);
    let mut rest = log[3..].to_vec();
    rest.sort();
    assert_eq!(rest, ["2 from 0", "5 from 0", "9 from 0"]);
}

#[test]
fn the_watermark_is_the_smallest_of_those_that_are_waited_for() {
    let mut gate = Gate::default();
    gate.add([(EDGE, ShardId(0)), (EDGE, ShardId(1)), (EDGE, ShardId(2))]);
    let mut tell = |from, mark| {
        gate.receive(frame(EDGE, from, &[Err(mark)]));
        drain(&mut gate)
    };
    let watermark = |watermark| vec![format!("Watermark {{ input: 0, watermark: {watermark} }}")];
    assert!(tell(0, Mark::Watermark(10)).is_empty());
    assert!(tell(1, Mark::Watermark(20)).is_empty());
    assert_eq!(tell(2, Mark::Watermark(15)), watermark(10));
    assert_eq!(tell(0, Mark::Idle), watermark(15), "the slowest is left out");
    assert!(tell(0, Mark::Watermark(12)).is_empty(), "it never falls");
    assert!(tell(2, Mark::Idle) == watermark(20));
    assert_eq!(tell(1, Mark::Idle), ["Idle(true)"]);
    assert_eq!(tell(2, Mark::Active), ["Idle(false)"]);
    assert_eq!(tell(2, Mark::Watermark(30)), watermark(30));
}

fn placement(shards: u16) -> Arc<Placement> {
    Arc::new(Placement::new(KeyGroups::default(), (0..shards).map(ShardId)).unwrap())
}

fn state(options: ExchangeOptions) -> SendState {
    SendState::new(JobId(1), Attempt(2), ShardId(0), options)
}

const SMALL: ExchangeOptions = ExchangeOptions { frame_bytes: 100, credits: 2, spill_bytes: 1000 };

#[test]
fn no_more_frames_are_sent_than_there_are_credits() {
    let mut state = state(SMALL);
    let mut output = EdgeOutput::new(EDGE, Partitioning::Local, &placement(1), &state);
    // A row of a number has 32 bytes: four make a frame.
    for number in 0..9u64 {
        output.push(0, None, &number, &mut state);
    }
    assert_eq!((state.sent.len(), state.backlogged), (2, 0), "the ninth waits in the open frame");
    for number in 9..12u64 {
        output.push(0, None, &number, &mut state);
    }
    assert_eq!((state.sent.len(), state.backlogged), (2, 1));
    output.mark(Mark::Barrier(Epoch(4)), &mut state);
    assert_eq!(state.sent.len(), 2, "the barrier waits behind the records");
    output.credit(ShardId(0), Vec::new(), &mut state);
    assert_eq!((state.sent.len(), state.backlogged), (3, 0));
    output.credit(ShardId(0), Vec::new(), &mut state);
    assert_eq!(state.sent.len(), 4, "a barrier goes with the first credit");
    assert_eq!(state.sent[3].mark(0), Some((0, Mark::Barrier(Epoch(4)))));
    let numbers: Vec<u64> = state
        .sent
        .iter()
        .flat_map(|frame| frame.rows(0, frame.bytes()))
        .map(|row| access::<<u64 as Encode>::Archived>(row.value).unwrap().to_native())
        .collect();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
}

#[test]
fn a_key_goes_to_the_shard_of_its_group_and_marks_go_to_all() {
    let mut state = state(SMALL);
    let placement = placement(3);
    let mut output = EdgeOutput::new(EDGE, Partitioning::Keyed, &placement, &state);
    for number in 0..60u64 {
        let key = number.to_key_bytes();
        output.push(0, Some(HashedKey::new(&key)), &number, &mut state);
        let frames = std::mem::take(&mut state.sent);
        for frame in &frames {
            for row in frame.rows(0, frame.bytes()) {
                assert_eq!(placement.shard_of(row.hash), frame.route().to);
            }
            output.credit(frame.route().to, Vec::new(), &mut state);
        }
    }
    output.mark(Mark::End, &mut state);
    let mut ended: Vec<_> = state.sent.iter().map(|frame| frame.route().to.0).collect();
    ended.sort_unstable();
    assert_eq!(ended, [0, 1, 2]);
}

#[test]
fn a_new_attempt_begins_with_all_credits_and_nothing_on_its_way() {
    let mut state = state(SMALL);
    let mut output = EdgeOutput::new(EDGE, Partitioning::Local, &placement(1), &state);
    for number in 0..30u64 {
        output.push(0, None, &number, &mut state);
    }
    assert_eq!(state.backlogged, 1);
    state.sent.clear();
    output.reset(&mut state);
    assert_eq!(state.backlogged, 0);
    for number in 0..8u64 {
        output.push(0, None, &number, &mut state);
    }
    assert_eq!(state.sent.len(), 2);
}

#[test]
fn returned_buffers_are_used_again() {
    let mut state = state(SMALL);
    let mut output = EdgeOutput::new(EDGE, Partitioning::Local, &placement(1), &state);
    let mut addresses = std::collections::BTreeSet::new();
    for number in 0..400u64 {
        output.push(0, None, &number, &mut state);
        for frame in std::mem::take(&mut state.sent) {
            let buffer = frame.into_buffer();
            addresses.insert(buffer.as_ptr() as usize);
            output.credit(ShardId(0), buffer, &mut state);
        }
    }
    assert!(addresses.len() <= 3, "{} buffers for one channel", addresses.len());
}
