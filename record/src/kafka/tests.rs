use super::*;
use crate::{
    Batch, BatchError, BatchMeta, Codec, RecordFault, Scratch,
    checksum::crc32c,
    goldens,
    header::Attributes,
    model::{ROOM, Record, any_meta, any_records, kafka, read},
};
use proptest::prelude::*;

const FROM_PRODUCER: Limits = Limits { batch_len_max: ROOM, origin: Origin::Producer };
const FROM_LOG: Limits = Limits { batch_len_max: ROOM, origin: Origin::Log };

fn sample() -> Vec<u8> {
    let records = [
        Record::new(0, 1_000, Some(b"key"), Some(b"value")),
        Record { headers: vec![(b"h".to_vec(), None)], ..Record::new(1, 1_002, None, Some(b"v")) },
    ];
    kafka(&records, &BatchMeta::PLAIN, Codec::None).1
}

/// Mends the checksum after a change.
fn mend(batch: &mut [u8]) {
    if batch.len() > 21 {
        let crc = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

fn refused(change: impl FnOnce(&mut Vec<u8>)) -> BatchError {
    let mut batch = sample();
    change(&mut batch);
    mend(&mut batch);
    validate(&batch, &FROM_PRODUCER).unwrap_err()
}

#[test]
fn what_no_producer_may_send_is_refused() {
    assert_eq!(refused(|b| b[21] = 1), BatchError::Attributes(0x100));
    assert_eq!(refused(|b| b[22] = 0x80), BatchError::Attributes(0x80));
    assert_eq!(refused(|b| b[22] = Attributes::DELETE_HORIZON.bits()), BatchError::Attributes(0x40));
    assert_eq!(refused(|b| b[22] = 5), BatchError::Codec(5));
    assert_eq!(refused(|b| b[22] = Attributes::CONTROL.bits()), BatchError::Control);
    assert_eq!(refused(|b| b[22] = Attributes::LOG_APPEND_TIME.bits()), BatchError::TimestampType);
    assert_eq!(refused(|b| b[22] = Attributes::TRANSACTIONAL.bits()), BatchError::Field("producer_id"));
    assert_eq!(refused(|b| b[7] = 42), BatchError::Field("base_offset"));
    assert_eq!(refused(|b| b[16] = 1), BatchError::Format(1));
    assert_eq!(refused(|b| b[16] = 3), BatchError::Format(3));
    assert_eq!(refused(|b| b[43] = 0x80), BatchError::Field("producer_id"));
    assert_eq!(refused(|b| b[43..51].fill(0)), BatchError::Field("producer_epoch"));
    assert_eq!(refused(|b| b[43..53].fill(0)), BatchError::Field("base_sequence"));
    assert!(matches!(refused(|b| b.truncate(16)), BatchError::Truncated { need: 61, have: 16 }));
    assert!(matches!(refused(|b| b.truncate(60)), BatchError::Truncated { need: 61, have: 60 }));
    assert!(matches!(refused(|b| b.truncate(80)), BatchError::Truncated { have: 80, .. }));
    assert_eq!(refused(|b| b.push(0)), BatchError::Excess { need: sample().len(), have: sample().len() + 1 });
    assert_eq!(refused(|b| b[8..12].copy_from_slice(&48i32.to_be_bytes())), BatchError::Length(48));
    assert_eq!(refused(|b| b[8] = 0x80), BatchError::Length(i32::MIN + (sample().len() - 12) as i32));
}

#[test]
fn a_claim_to_a_transaction_is_seen_in_any_bytes() {
    let mut batch = sample();
    assert!(!claims_transaction(&batch));
    batch[22] |= Attributes::TRANSACTIONAL.bits();
    assert!(claims_transaction(&batch) && claims_transaction(&batch[..23]));
    assert!(!claims_transaction(&batch[..22]));
    batch[16] = 1;
    assert!(!claims_transaction(&batch), "a compressed message of format 1 has these bits elsewhere");
}

#[test]
fn counts_that_contradict_offsets_or_bytes_are_refused() {
    let count = |last_offset_delta: i32, count: i32| {
        let error = refused(|batch| {
            batch[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
            batch[57..61].copy_from_slice(&count.to_be_bytes());
        });
        assert!(
            error == BatchError::RecordCount { count, last_offset_delta } || error == BatchError::Trailing,
            "{error}"
        );
        error
    };
    count(1, 1);
    count(1, 3);
    count(-1, 0);
    count(-1, 2);
    count(i32::MAX, i32::MIN);
    // 20 million records in a few bytes.
    count(19_999_999, 20_000_000);
    assert_eq!(count(0, 1), BatchError::Trailing);
}

#[test]
fn size_is_judged_before_all_else() {
    let mut batch = sample();
    let max = batch.len() - 1;
    batch[30] ^= 1;
    let limits = Limits { batch_len_max: max, ..FROM_PRODUCER };
    assert_eq!(validate(&batch, &limits), Err(BatchError::TooLarge { len: max + 1, max }));
    assert!(matches!(validate(&batch, &FROM_PRODUCER), Err(BatchError::Checksum { .. })));
}

#[test]
fn broken_records_are_named() {
    let record = |at: usize, byte: u8| match refused(|batch| batch[at] = byte) {
        BatchError::Record { index, fault } => (index, fault),
        other => panic!("{other}"),
    };
    // The first record: length, attributes, timestamp, offset, key length, key, value length, value, headers.
    assert_eq!(record(61, 0x81), (0, RecordFault::Length));
    assert_eq!(record(61, 0x7e), (0, RecordFault::Truncated));
    assert_eq!(record(61, 2), (0, RecordFault::Length));
    assert_eq!(record(64, 2), (0, RecordFault::OffsetDelta));
    assert_eq!(record(64, 1), (0, RecordFault::OffsetDelta));
    assert_eq!(record(65, 3), (0, RecordFault::NegativeLength));
    assert_eq!(record(65, 0x40), (0, RecordFault::Length));
    assert_eq!(record(75, 2), (0, RecordFault::Headers));
    assert_eq!(record(79, 0), (1, RecordFault::OffsetDelta));
    assert_eq!(record(79, 4), (1, RecordFault::OffsetDelta));
}

/// A gap between offsets is compaction's work, not a producer's.
#[test]
fn gaps_are_a_logs_and_not_a_producers() {
    let mut batch = sample();
    batch[23..27].copy_from_slice(&5i32.to_be_bytes());
    mend(&mut batch);
    assert_eq!(
        validate(&batch, &FROM_PRODUCER),
        Err(BatchError::RecordCount { count: 2, last_offset_delta: 5 })
    );
    let header = validate(&batch, &FROM_LOG).unwrap().header;
    assert_eq!((header.record_count, header.last_offset_delta), (2, 5));
    batch[64] = 8;
    mend(&mut batch);
    assert_eq!(
        validate(&batch, &FROM_LOG),
        Err(BatchError::Record { index: 1, fault: RecordFault::OffsetDelta })
    );
    // Deltas are zigzag numbers: 12 is 6, beyond the batch's last.
    batch[79] = 12;
    mend(&mut batch);
    assert_eq!(
        validate(&batch, &FROM_LOG),
        Err(BatchError::Record { index: 1, fault: RecordFault::OffsetDelta })
    );
    batch[79] = 10;
    mend(&mut batch);
    let header = validate(&batch, &FROM_LOG).unwrap().header;
    let offsets: Vec<_> =
        read(&Batch::new(header, &batch).unwrap()).unwrap().iter().map(|r| r.offset).collect();
    assert_eq!(offsets, [4, 5]);
}

/// Producers are not believed: the index by time needs the true maximum.
#[test]
fn the_largest_timestamp_is_found_where_records_are_walked() {
    let mut batch = sample();
    batch[35..43].copy_from_slice(&i64::MAX.to_be_bytes());
    mend(&mut batch);
    assert_eq!(validate(&batch, &FROM_PRODUCER).unwrap().header.max_timestamp, 1_002);
}

/// Offset and leader epoch lie outside the sum, as they must; every other bit is within it or told by its field.
#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    let batch = sample();
    for bit in 0..batch.len() * 8 {
        let mut flipped = batch.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let result = validate(&flipped, &FROM_PRODUCER);
        match bit / 8 {
            0..8 => assert_eq!(result, Err(BatchError::Field("base_offset")), "bit {bit}"),
            at => assert_eq!(result.is_ok(), (12..16).contains(&at), "bit {bit}: {result:?}"),
        }
    }
}

#[test]
fn batches_of_the_java_client_are_read() {
    let expected = [
        Record::new(42, 1_500_000_000_000, Some(b"k1"), Some(b"value one")),
        Record {
            headers: vec![(b"h".to_vec(), Some(b"x".to_vec())), (b"h".to_vec(), None)],
            ..Record::new(43, 1_500_000_000_007, None, Some(b"value two"))
        },
        Record::new(44, 1_499_999_999_990, Some(b"k3"), None),
        Record::new(45, 1_500_000_000_009, Some(b""), Some(b"")),
    ];
    for (codec, hex) in Codec::ALL.into_iter().zip(goldens::JAVA_BATCHES) {
        let bytes = goldens::bytes(hex);
        let info = validate_deep(&bytes, &FROM_LOG, &mut Scratch::new(ROOM)).unwrap();
        assert_eq!(info.has_null_key, Some(true));
        assert_eq!(info.header.codec, codec);
        let batch = Batch::new(info.header, &bytes).unwrap();
        assert_eq!(read(&batch).unwrap(), expected, "{codec:?}");
        assert_eq!(batch.check(), Ok(()));
        assert_eq!((info.header.leader_epoch, info.header.producer_id), (9, 4711));
        assert_eq!((info.header.producer_epoch, info.header.base_sequence), (3, 17));
        assert_eq!(info.header.max_timestamp, 1_500_000_000_009);
    }
    // What we write of the same records is byte for byte what Java writes.
    let meta = BatchMeta { producer_id: 4711, producer_epoch: 3, base_sequence: 17, ..BatchMeta::PLAIN };
    let (_, mut ours) =
        kafka(&expected, &BatchMeta { attributes: Attributes::TRANSACTIONAL, ..meta }, Codec::None);
    fields::set_offset_and_epoch(&mut ours, 42, 9);
    let java = goldens::bytes(goldens::JAVA_BATCHES[0]);
    assert_eq!(ours[..21], [&java[..17], &ours[17..21]].concat());
    assert_eq!(ours[23..], java[23..]);
}

#[test]
fn a_set_is_cut_into_its_batches() {
    let batch = sample();
    let set = [&batch[..], &batch, &batch[..70]].concat();
    let mut batches = RecordSet::new(&set);
    assert_eq!(batches.next(), Some(Ok(&batch[..])));
    assert_eq!(batches.next(), Some(Ok(&batch[..])));
    assert_eq!(batches.rest().len(), 70);
    assert_eq!(batches.next(), Some(Err(BatchError::Truncated { need: batch.len(), have: 70 })));
    assert_eq!(batches.next(), None);
    let short = RecordSet::new(&[0; 11]).next();
    assert_eq!(short, Some(Err(BatchError::Truncated { need: 12, have: 11 })));
    assert_eq!(RecordSet::new(&[0; 12]).next(), Some(Err(BatchError::Length(0))));
}

#[test]
fn a_builder_cuts_by_size() {
    use crate::{Compressor, Headers, PushError};
    let mut builder = KafkaBatchBuilder::new(200);
    let value = [7; 60];
    assert_eq!(builder.push(0, None, Some(&value), Headers::EMPTY), Ok(()));
    assert_eq!(builder.push(0, None, Some(&value), Headers::EMPTY), Ok(()));
    let len = builder.len();
    assert_eq!(builder.push(0, None, Some(&value), Headers::EMPTY), Err(PushError::Full));
    assert_eq!((builder.len(), builder.count()), (len, 2));
    let mut out = Vec::new();
    builder.finish(&BatchMeta::PLAIN, Codec::None, &mut Compressor::new(), &mut out).unwrap();
    assert_eq!(out.len(), len);
    assert!(builder.is_empty());
    let refused = builder.push(0, None, Some(&[0; 140]), Headers::EMPTY);
    assert_eq!(refused, Err(PushError::TooLarge { len: 61 + 149, max: 200 }));
    assert_eq!(builder.finish(&BatchMeta::PLAIN, Codec::None, &mut Compressor::new(), &mut out), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn round_trip(records in any_records(20), meta in any_meta(), codec in 0u8..5) {
        let codec = Codec::from_number(codec).unwrap();
        let (header, bytes) = kafka(&records, &meta, codec);
        let info = validate_deep(&bytes, &FROM_PRODUCER, &mut Scratch::new(ROOM)).unwrap();
        prop_assert_eq!(info.header, header);
        prop_assert_eq!(info.has_null_key, Some(records.iter().any(|record| record.key.is_none())));
        let shallow = validate(&bytes, &FROM_PRODUCER).unwrap();
        prop_assert_eq!(shallow.has_null_key.is_some(), codec == Codec::None);
        prop_assert_eq!(shallow.header, header);
        let batch = Batch::new(header, &bytes).unwrap();
        prop_assert_eq!(batch.check(), Ok(()));
        prop_assert_eq!(read(&batch).unwrap(), records);
    }

    #[test]
    fn records_behind_a_mended_checksum_are_refused_or_harmless(
        records in any_records(4), at: prop::sample::Index, byte: u8
    ) {
        let (_, mut bytes) = kafka(&records, &BatchMeta::PLAIN, Codec::None);
        let at = 21 + at.index(bytes.len() - 21);
        bytes[at] = byte;
        mend(&mut bytes);
        if let Ok(info) = validate(&bytes, &FROM_PRODUCER) {
            let read = read(&Batch::new(info.header, &bytes).unwrap()).unwrap();
            prop_assert_eq!(read.len(), info.header.record_count as usize);
        }
    }
}

mod cross_check;
