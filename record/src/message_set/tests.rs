use super::*;
use crate::{
    Batch, goldens,
    kafka::{Limits, Origin, validate_deep},
    model::{ROOM, Record, read},
};
use proptest::{collection::vec, option, prelude::*};

/// Turns a set into a batch and reads that.
fn turned(set: &[u8]) -> Result<(BatchHeader, Vec<Record>), MessageSetError> {
    let mut scratch = Scratch::new(ROOM);
    let mut builder = KafkaBatchBuilder::new(ROOM);
    let mut out = Vec::new();
    let batch = to_batch(set, &mut scratch, &mut builder, &mut Compressor::new(), &mut out);
    assert!(batch.is_ok() || out.is_empty(), "a refused set leaves nothing behind");
    let (header, has_null_key) = batch?;
    let limits = Limits { batch_len_max: ROOM, origin: Origin::Producer };
    let info = validate_deep(&out, &limits, &mut scratch).unwrap();
    assert_eq!((info.header, info.has_null_key), (header, Some(has_null_key)));
    Ok((header, read(&Batch::new(header, &out).unwrap()).unwrap()))
}

fn message(format: i8, attributes: u8, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![format as u8, attributes];
    if format == 1 {
        body.extend(timestamp.to_be_bytes());
    }
    for field in [key, value] {
        body.extend(field.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
        body.extend(field.unwrap_or_default());
    }
    let mut message = vec![0; 8];
    message.extend((body.len() as i32 + 4).to_be_bytes());
    message.extend(crc32(&body).to_be_bytes());
    message.extend(body);
    message
}

fn wrapped(format: i8, codec: Codec, set: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    Compressor::new().compress(codec, set, &mut value);
    message(format, codec as u8, 0, None, Some(&value))
}

const CODECS: [Codec; 4] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];

#[test]
fn sets_of_the_java_client_are_read() {
    let mut expected = [
        Record::new(0, 1_500_000_000_000, Some(b"k1"), Some(b"value one")),
        Record::new(1, 1_500_000_000_007, None, Some(b"value two")),
        Record::new(2, 1_499_999_999_990, Some(b"k3"), None),
    ];
    for (index, hex) in goldens::JAVA_MESSAGE_SETS.into_iter().enumerate().rev() {
        if index == 3 {
            expected.iter_mut().for_each(|record| record.timestamp = NO_TIMESTAMP);
        }
        let (header, records) = turned(&goldens::bytes(hex)).unwrap();
        assert_eq!(records, expected, "set {index}");
        assert_eq!(header.codec, CODECS[index % 4]);
    }
}

#[test]
fn sets_of_kafka_python_are_read() {
    let mut expected = [
        Record::new(0, 1_500_000_000_000, Some(b"k1"), Some(b"value one")),
        Record::new(1, 1_500_000_000_007, None, Some(b"value two")),
        Record::new(2, 1_500_000_000_003, Some(b"k3"), None),
        Record::new(3, 1_500_000_000_009, Some(b""), Some(b"")),
    ];
    for (index, hex) in goldens::PYTHON_MESSAGE_SETS.into_iter().enumerate().rev() {
        if index == 3 {
            expected.iter_mut().for_each(|record| record.timestamp = NO_TIMESTAMP);
        }
        assert_eq!(turned(&goldens::bytes(hex)).unwrap().1, expected, "set {index}");
    }
}

#[test]
fn sets_of_the_simple_producer_are_read() {
    let expected = [
        Record::new(0, NO_TIMESTAMP, Some(b"k"), Some(b"one")),
        Record::new(1, NO_TIMESTAMP, None, Some(b"two")),
        Record::new(2, NO_TIMESTAMP, Some(b""), Some(b"three")),
    ];
    for (codec, hex) in CODECS.into_iter().zip(goldens::SIMPLE_PRODUCER_SETS) {
        let (header, records) = turned(&goldens::bytes(hex)).unwrap();
        assert_eq!(records, expected, "{codec:?}");
        assert_eq!(header.codec, codec);
    }
}

/// Every bit behind the offset is the message's sum's affair, or the size's.
#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    let set = message(1, 0, 5, Some(b"k"), Some(b"v"));
    let original = turned(&set).unwrap().1;
    for bit in 0..set.len() * 8 {
        let mut flipped = set.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match turned(&flipped) {
            Ok((_, records)) => assert!(bit < 64 && records == original, "bit {bit}"),
            Err(error) => assert!(bit >= 64, "bit {bit}: {error}"),
        }
    }
}

#[test]
fn what_no_producer_may_send_is_refused() {
    let refused = |set: &[u8]| turned(set).map(drop).unwrap_err();
    let batch = |error: BatchError| MessageSetError::Batch(error);
    let record = |index, at| batch(fault(index, at));
    let plain = message(0, 0, 0, None, Some(b"v"));
    let modern = message(1, 0, 5, None, Some(b"v"));
    assert_eq!(refused(b""), MessageSetError::Empty);
    assert_eq!(refused(&wrapped(0, Codec::Gzip, b"")), MessageSetError::Empty);
    assert_eq!(refused(&[&plain[..], &plain[..20]].concat()), record(1, RecordFault::Truncated));
    assert_eq!(refused(&message(2, 0, 0, None, None)), batch(BatchError::Format(2)));
    assert_eq!(refused(&message(0, 4, 0, None, Some(b"v"))), batch(BatchError::Codec(4)));
    assert_eq!(refused(&message(1, 8, 0, None, Some(b"v"))), batch(BatchError::TimestampType));
    assert_eq!(refused(&message(1, 1, 0, None, None)), record(0, RecordFault::Nesting));
    let twice = wrapped(1, Codec::Gzip, &wrapped(1, Codec::Snappy, &modern));
    assert_eq!(refused(&twice), record(0, RecordFault::Nesting));
    let mixed = wrapped(1, Codec::Gzip, &[&modern[..], &plain].concat());
    assert_eq!(refused(&mixed), record(1, RecordFault::Nesting));
    // Nothing nests endlessly, inflates without bound or passes the batch's limit.
    let bomb = wrapped(1, Codec::Gzip, &vec![0; 2 * ROOM]);
    assert_eq!(refused(&bomb), batch(crate::DecompressError::TooLarge { max: ROOM }.into()));
    let large = message(1, 0, 0, None, Some(&vec![0; ROOM]));
    assert!(matches!(refused(&large), MessageSetError::Push(PushError::TooLarge { .. })));
    assert_eq!(refused(&[&modern[..], &large].concat()), MessageSetError::Push(PushError::Full));
    // Bytes behind the value, within size and sum.
    let mut longer = message(1, 0, 5, None, Some(b"vv"));
    let value_len = longer.len() - 6..longer.len() - 2;
    longer[value_len].copy_from_slice(&1i32.to_be_bytes());
    let sum = crc32(&longer[16..]).to_be_bytes();
    longer[12..16].copy_from_slice(&sum);
    assert_eq!(refused(&longer), record(0, RecordFault::Length));
    // Sizes and lengths that point nowhere.
    for size in [-1, 3, 4, 13, i32::MAX] {
        let mut set = modern.clone();
        set[8..12].copy_from_slice(&i32::to_be_bytes(size));
        assert!(
            matches!(refused(&set), MessageSetError::Batch(BatchError::Record { index: 0, .. })),
            "{size}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_mixture_of_messages_and_wrappers_is_one_batch(
        groups in vec((0i8..2, 0usize..4, vec((0i64..1 << 50, option::of(vec(any::<u8>(), 0..9)), option::of(vec(any::<u8>(), 0..99))), 1..5)), 1..4)
    ) {
        let mut set = Vec::new();
        let mut expected = Vec::new();
        for (format, codec, records) in &groups {
            let mut inner = Vec::new();
            for (timestamp, key, value) in records {
                inner.extend(message(*format, 0, *timestamp, key.as_deref(), value.as_deref()));
                let timestamp = if *format == 0 { NO_TIMESTAMP } else { *timestamp };
                expected.push(Record::new(expected.len() as i64, timestamp, key.as_deref(), value.as_deref()));
            }
            match CODECS[*codec] {
                Codec::None => set.extend(inner),
                codec => set.extend(wrapped(*format, codec, &inner)),
            }
        }
        let (header, records) = turned(&set).unwrap();
        prop_assert_eq!(records, expected);
        let first = groups.iter().map(|(_, codec, _)| CODECS[*codec]).find(|codec| *codec != Codec::None);
        prop_assert_eq!(header.codec, first.unwrap_or_default());
        prop_assert!(turned(&set[..set.len() - 1]).is_err());
    }
}
