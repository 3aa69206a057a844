use super::*;
use crate::{
    Assignment, goldens,
    kafka::{Limits, Origin, validate},
    model::{ROOM, Record, kafka},
};
use bytes::Bytes;
use kafka_protocol::{messages::EndTxnMarker, protocol::Decodable};
use proptest::prelude::*;

fn marker(end: EndTransaction) -> (BatchHeader, Vec<u8>) {
    end.encode(4711, 3, 1_500_000_000_000)
}

#[test]
fn markers_are_byte_for_byte_those_of_kafka() {
    let ends = [
        EndTransaction { committed: true, coordinator_epoch: 12 },
        EndTransaction { committed: false, coordinator_epoch: -2 },
    ];
    for ((end, hex), base_offset) in ends.into_iter().zip(goldens::JAVA_MARKERS).zip(77..) {
        let (mut header, mut payload) = marker(end);
        let given = Assignment { base_offset, leader_epoch: 5, append_time: None };
        given.apply(&mut header, &mut payload).unwrap();
        assert_eq!(payload, goldens::bytes(hex));
        let info = validate(&payload, &Limits { batch_len_max: ROOM, origin: Origin::Log }).unwrap();
        assert_eq!(info.header, header);
        let batch = Batch::new(header, &payload).unwrap();
        assert_eq!(ControlRecord::of(&batch, &mut Scratch::new(0)), Ok(ControlRecord::EndTransaction(end)));
    }
}

fn parse(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<ControlRecord, ControlError> {
    ControlRecord::parse(&RecordView { offset: 0, timestamp: 0, key, value, headers: Headers::EMPTY })
}

#[test]
fn broken_and_unknown_records_are_told_apart() {
    let value = Some(&[0, 0, 0, 0, 0, 9][..]);
    assert_eq!(parse(None, value), Err(ControlError::Key));
    assert_eq!(parse(Some(&[0, 0, 0]), value), Err(ControlError::Key));
    assert_eq!(parse(Some(&[0x80, 0, 0, 0]), value), Err(ControlError::Key));
    assert_eq!(parse(Some(&[0, 0, 0, 1]), None), Err(ControlError::Value));
    assert_eq!(parse(Some(&[0, 0, 0, 1]), Some(&[0; 5])), Err(ControlError::Value));
    assert_eq!(parse(Some(&[0, 0, 0, 1]), Some(&[0x80, 0, 0, 0, 0, 0])), Err(ControlError::Value));
    assert_eq!(parse(Some(&[0, 0, 0, 2]), None), Ok(ControlRecord::Other(2)));
    // A later version, longer than ours.
    let end = EndTransaction { committed: true, coordinator_epoch: 9 };
    let later = parse(Some(&[0, 1, 0, 1, 7]), Some(&[0, 1, 0, 0, 0, 9, 7]));
    assert_eq!(later, Ok(ControlRecord::EndTransaction(end)));
    let (header, payload) = kafka(&[Record::new(0, 0, None, None)], &BatchMeta::PLAIN, Codec::None);
    let batch = Batch::new(header, &payload).unwrap();
    assert_eq!(ControlRecord::of(&batch, &mut Scratch::new(0)), Err(ControlError::NotControl));
}

proptest! {
    #[test]
    fn round_trip(committed: bool, coordinator_epoch: i32) {
        let end = EndTransaction { committed, coordinator_epoch };
        let (header, payload) = marker(end);
        let batch = Batch::new(header, &payload).unwrap();
        prop_assert_eq!(ControlRecord::of(&batch, &mut Scratch::new(0)), Ok(ControlRecord::EndTransaction(end)));
        let value = batch.records(&mut Scratch::new(0)).unwrap().next().unwrap().unwrap().value.unwrap().to_vec();
        let theirs = EndTxnMarker::decode(&mut Bytes::from(value).slice(2..), 0).unwrap();
        prop_assert_eq!(theirs.coordinator_epoch, coordinator_epoch);
    }

    #[test]
    fn any_record_is_parsed_or_refused(key: Option<[u8; 4]>, value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))) {
        let parsed = parse(key.as_ref().map(|key| &key[..]), value.as_deref());
        prop_assert!(parsed.is_err() || key.is_some());
    }
}
