use super::*;
use crate::{journal::entry::Place, sample};
use proptest::{collection::vec, prelude::*};

fn batch(producer_epoch: i16, base_sequence: i32, records: u32, base_offset: i64) -> BatchHeader {
    BatchHeader {
        producer_id: 7,
        producer_epoch,
        base_sequence,
        last_offset_delta: records - 1,
        record_count: records,
        max_timestamp: base_offset,
        ..sample::archived(base_offset, &[b""]).0
    }
}

fn after(batches: &[BatchHeader]) -> ProducerTable {
    let mut table = ProducerTable::default();
    for batch in batches {
        assert_eq!(table.check(batch), Ok(Verdict::New));
        table.note(batch);
    }
    table
}

#[test]
fn a_repeated_batch_is_answered_with_its_first_offset() {
    let table = after(&[batch(0, 0, 3, 100), batch(0, 3, 2, 103), batch(0, 5, 1, 110)]);
    let Ok(Verdict::Duplicate(seen)) = table.check(&batch(0, 3, 2, 0)) else { panic!("a duplicate") };
    assert_eq!(seen.base_offset, 103);
    assert_eq!(table.check(&batch(0, 6, 1, 0)), Ok(Verdict::New));
}

#[test]
fn a_gap_and_a_forgotten_batch_are_refused() {
    let all: Vec<_> = (0..7).map(|at| batch(0, at, 1, i64::from(at))).collect();
    let table = after(&all);
    let refused = |sent| Err(SequenceError::OutOfOrder { producer: 7, sent, last: 6 });
    assert_eq!(table.check(&batch(0, 8, 1, 0)), refused(8));
    assert_eq!(table.check(&batch(0, 1, 1, 0)), refused(1), "the sixth last is forgotten");
    assert_eq!(table.check(&batch(0, 2, 2, 0)), refused(2), "cut differently it is no repetition");
    assert!(matches!(table.check(&batch(0, 2, 1, 0)), Ok(Verdict::Duplicate(_))));
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old() {
    let mut table = after(&[batch(3, 0, 5, 0)]);
    assert_eq!(
        table.check(&batch(4, 5, 1, 5)),
        Err(SequenceError::OutOfOrder { producer: 7, sent: 5, last: -1 })
    );
    table.note(&batch(4, 0, 1, 5));
    assert_eq!(
        table.check(&batch(3, 5, 1, 6)),
        Err(SequenceError::Fenced { producer: 7, sent: 3, current: 4 })
    );
    assert_eq!(table.check(&batch(4, 1, 1, 6)), Ok(Verdict::New));
}

#[test]
fn numbers_wrap() {
    let table = after(&[batch(0, i32::MAX - 1, 2, 0)]);
    assert_eq!(table.check(&batch(0, 0, 1, 2)), Ok(Verdict::New));
    let table = after(&[batch(0, i32::MAX, 3, 0)]);
    assert_eq!(table.check(&batch(0, 2, 1, 3)), Ok(Verdict::New));
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    assert_eq!(ProducerTable::default().check(&batch(9, 41, 1, 0)), Ok(Verdict::New));
}

#[test]
fn silent_producers_expire() {
    let mut table = after(&[batch(0, 0, 1, 50)]);
    table.expire(50);
    assert_eq!(table.len(), 1);
    table.expire(51);
    assert_eq!(table.len(), 0);
}

fn snapshot(batches: &[(i64, i16, i32, u32)]) -> ProducerSnapshot {
    let mut table = ProducerTable::default();
    let mut offset = 0;
    for &(producer_id, epoch, sequence, records) in batches {
        let header = BatchHeader { producer_id, ..batch(epoch, sequence, records, offset) };
        table.note(&header);
        offset = header.next_offset();
    }
    ProducerSnapshot { offset, place: Place { segment: 0, position: 8192 }, table }
}

/// The layout, byte by byte, as docs/formats.md has it.
#[test]
fn layout_is_fixed() {
    let bytes = snapshot(&[(7, 2, 40, 3)]).encode();
    assert_eq!(&bytes[..8], b"MILLPROD");
    assert_eq!(bytes[8..16], [1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(bytes[16..40], [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[48..68], [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0]);
    assert_eq!(bytes[68..], [40, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn every_flipped_bit_is_detected() {
    let bytes = snapshot(&[(7, 2, 40, 3), (8, 0, 0, 1)]).encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(ProducerSnapshot::decode(&flipped).is_err(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn round_trips(batches in vec((0i64..5, 0i16..3, 0i32..100, 1u32..9), 0..40)) {
        let snapshot = snapshot(&batches);
        prop_assert_eq!(ProducerSnapshot::decode(&snapshot.encode()), Ok(snapshot));
    }

    #[test]
    fn any_bytes_are_refused_or_encode_to_themselves(mut bytes in vec(any::<u8>(), 0..200), mend: bool, count in 0u8..4) {
        if mend && bytes.len() >= 48 {
            bytes[..8].copy_from_slice(b"MILLPROD");
            bytes[8..16].copy_from_slice(&[1, 0, 0, 0, count, 0, 0, 0]);
            bytes[22..48].fill(0);
            let checksum = millrace_record::checksum::crc32c(&bytes);
            bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
        }
        if let Ok(snapshot) = ProducerSnapshot::decode(&bytes) {
            prop_assert_eq!(snapshot.encode(), bytes);
        }
    }
}
