use super::{
    columns::{NULL, ROOT_LEN},
    *,
};
use crate::{
    Batch, BatchError, BatchHeader, BatchMeta, Headers, HeadersBuf, PushError, RecordFault,
    checksum::crc32c,
    header::{Attributes, HEADER_LEN},
    model::{Record, any_meta, any_records, archived, read},
};
use proptest::prelude::*;

fn sample() -> (BatchHeader, Vec<u8>) {
    let records = [
        Record::new(0, 1_000, Some(b"key"), Some(b"value")),
        Record { headers: vec![(b"h".to_vec(), None)], ..Record::new(1, 1_002, None, Some(b"v")) },
        Record::new(2, 1_001, Some(b""), None),
    ];
    archived(&records, &BatchMeta::PLAIN)
}

fn open<'a>(header: &BatchHeader, image: &'a [u8]) -> Result<ArchivedBatch<'a>, BatchError> {
    ArchivedBatch::open(header, &image[HEADER_LEN..])
}

/// The layout, byte by byte, as docs/formats.md has it: a change here is a change of the format.
#[test]
fn layout_is_fixed() {
    let (header, image) = sample();
    let mut expected = b"keyvaluev\x02\x02h\x01".to_vec();
    for timestamp in [1_000i64, 1_002, 1_001] {
        expected.extend(timestamp.to_le_bytes());
    }
    for end in [3, 8 | NULL, 13, 8, 9, 13 | NULL, 8, 13, 13] {
        expected.extend(end.to_le_bytes());
    }
    let root = expected.len() as i32;
    // Each column of the root: where it starts, from this very field, and how many entries it has. The column of
    // offsets is empty, and starts where it would have been.
    for (index, (start, len)) in
        [(0, 13), (13, 3), (37, 0), (37, 3), (49, 3), (61, 3)].into_iter().enumerate()
    {
        expected.extend((start - root - 8 * index as i32).to_le_bytes());
        expected.extend(u32::to_le_bytes(len));
    }
    assert_eq!(image[HEADER_LEN..], expected);
    assert_eq!(header.payload_checksum, crc32c(&expected));
    assert_eq!((header.base_timestamp, header.max_timestamp), (1_000, 1_002));
    assert_eq!((header.record_count, header.last_offset_delta), (3, 2));
    assert_eq!(expected.len(), root as usize + ROOT_LEN);
}

/// Every flipped bit breaks the checksum. What is more: without the checksum, each is refused or gives records.
#[test]
fn every_flipped_bit_is_detected_and_safe_even_undetected() {
    let (header, image) = sample();
    let payload = &image[HEADER_LEN..];
    for bit in 0..payload.len() * 8 {
        let mut flipped = payload.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let batch = Batch::new(header, &flipped).unwrap();
        assert!(matches!(batch.check(), Err(BatchError::Checksum { .. })), "bit {bit}");
        let Ok(opened) = ArchivedBatch::open(&header, &flipped) else { continue };
        let records = opened.records().collect::<Result<Vec<_>, _>>();
        assert!(opened.check().is_err() || records.is_ok_and(|records| records.len() == 3), "bit {bit}");
    }
}

fn with_payload(change: impl FnOnce(&mut [u8])) -> (BatchHeader, Vec<u8>) {
    let (header, mut image) = sample();
    change(&mut image[HEADER_LEN..]);
    (header, image)
}

#[test]
fn broken_ends_are_refused_at_the_door_and_while_reading() {
    let set = |at: usize, end: u32| {
        let (header, image) = with_payload(|payload| payload[at..at + 4].copy_from_slice(&end.to_le_bytes()));
        let batch = open(&header, &image).unwrap();
        assert!(batch.check().is_err());
        batch.records().find_map(Result::err)
    };
    let truncated = |index| Some(BatchError::Record { index, fault: RecordFault::Truncated });
    // Key ends at 37, value ends at 49, header ends at 61.
    assert_eq!(set(37, 9), truncated(0));
    assert_eq!(set(41, 3), truncated(1));
    assert_eq!(set(49, 1000), truncated(0));
    assert_eq!(set(49, u32::MAX), truncated(0));
    assert_eq!(set(65, NULL | 13), truncated(1));
    assert_eq!(set(65, 12), Some(BatchError::Record { index: 1, fault: RecordFault::Headers }));
    // Nulls that hide bytes, and an arena that no record ends at, harm no reader; the door refuses them.
    assert_eq!(set(37, NULL | 3), None);
    assert_eq!(set(69, 12), truncated(2));
}

#[test]
fn headers_that_claim_other_counts_are_refused() {
    let (header, image) = sample();
    let refused = |change: fn(&mut BatchHeader)| {
        let mut claims = header;
        change(&mut claims);
        open(&claims, &image).map(drop).unwrap_err()
    };
    let count = BatchError::Archived("a column has not one entry per record");
    assert_eq!(refused(|header| header.record_count = 2), count);
    assert_eq!(refused(|header| header.record_count = 4), count);
    assert_eq!(refused(|header| header.record_count = u32::MAX), count);
    let mut short = header;
    short.last_offset_delta = 1;
    assert!(open(&short, &image).unwrap().check().is_err());
}

/// Columns of other lengths, though their bytes fill the payload and their ends rise.
#[test]
fn columns_of_different_lengths_are_refused() {
    let sound = || columns::Columns {
        arena: columns::Written { at: 0, len: 8 },
        timestamps: vec![1, 2],
        key_ends: vec![0, 4],
        value_ends: vec![4, 8],
        ..columns::Columns::default()
    };
    let open = |change: fn(&mut columns::Columns)| {
        let mut columns = sound();
        change(&mut columns);
        let mut payload = vec![b'a'; columns.arena.len];
        let alloc = rkyv::ser::allocator::SubAllocator::new(&mut []);
        let Ok(_) = rkyv::api::low::to_bytes_in_with_alloc::<_, _, rkyv::rancor::Panic>(
            &columns,
            &mut payload,
            alloc,
        );
        let header = BatchHeader { record_count: 2, last_offset_delta: 1, ..sample().0 };
        ArchivedBatch::open(&header, &payload).and_then(|batch| batch.check())
    };
    let refused = Err(BatchError::Archived("a column has not one entry per record"));
    assert_eq!(open(|_| ()), Ok(()));
    assert_eq!(open(|columns| columns.timestamps.truncate(1)), refused);
    assert_eq!(open(|columns| columns.key_ends.truncate(1)), refused);
    assert_eq!(open(|columns| columns.value_ends.truncate(1)), refused);
    assert_eq!(open(|columns| columns.value_ends.push(8)), refused);
    assert_eq!(open(|columns| columns.header_ends.push(4)), refused);
    assert_eq!(open(|columns| columns.offset_deltas.push(0)), refused);
    assert_eq!(open(|columns| columns.offset_deltas.extend([0, 1])), Ok(()));
    let order = Err(BatchError::Archived("offsets do not rise to the batch's last"));
    assert_eq!(open(|columns| columns.offset_deltas.extend([1, 1])), order);
    assert_eq!(open(|columns| columns.offset_deltas.extend([0, 2])), order);
}

/// Slack between columns could hide bytes that no reader sees and every copy keeps.
#[test]
fn slack_is_refused() {
    let (header, image) = sample();
    let slack = [&[0], &image[HEADER_LEN..]].concat();
    let error = ArchivedBatch::open(&header, &slack).map(drop).unwrap_err();
    assert_eq!(error, BatchError::Archived("columns do not fill the payload"));
}

/// Two columns over the same bytes would have a payload say two things at once.
#[test]
fn overlapping_columns_are_refused() {
    let (header, image) = with_payload(|payload| {
        let value_ends = payload.len() - ROOT_LEN + 4 * 8;
        let start = i32::from_le_bytes(*payload[value_ends..].first_chunk().unwrap());
        payload[value_ends..value_ends + 4].copy_from_slice(&(start - 4).to_le_bytes());
    });
    assert!(open(&header, &image).is_err());
}

#[test]
fn log_append_time_is_every_records_time() {
    let (mut header, image) = sample();
    header.attributes = Attributes::LOG_APPEND_TIME;
    header.max_timestamp = 77;
    let batch = open(&header, &image).unwrap();
    assert!(batch.records().all(|record| record.unwrap().timestamp == 77));
    assert_eq!(batch.timestamps()[0].to_native(), 1_000);
}

#[test]
fn a_builder_cuts_by_the_size_in_kafkas_encoding() {
    let mut builder = ArchivedBatchBuilder::new(200);
    let value = [7; 60];
    assert_eq!(builder.push(0, None, Some(&value), Headers::EMPTY), Ok(()));
    assert_eq!(builder.push(0, None, Some(&value), Headers::EMPTY), Ok(()));
    let len = builder.kafka_len();
    let mut headers = HeadersBuf::new();
    headers.push(b"h", None);
    assert_eq!(builder.push(0, None, Some(&value), headers.as_headers()), Err(PushError::Full));
    assert_eq!((builder.kafka_len(), builder.count()), (len, 2));
    let header = builder.finish(&BatchMeta::PLAIN, &mut Vec::new()).unwrap();
    assert_eq!(header.kafka_len as usize, len);
    assert!(builder.is_empty());
    let refused = builder.push(0, None, Some(&[0; 140]), Headers::EMPTY);
    assert_eq!(refused, Err(PushError::TooLarge { len: 61 + 149, max: 200 }));
    assert_eq!(builder.finish(&BatchMeta::PLAIN, &mut Vec::new()), None);
    // To the byte.
    for (limit, fits) in [(len, true), (len - 1, false)] {
        let mut builder = ArchivedBatchBuilder::new(limit);
        builder.push(0, None, Some(&value), Headers::EMPTY).unwrap();
        assert_eq!(builder.push(0, None, Some(&value), Headers::EMPTY).is_ok(), fits);
    }
}

/// Nothing of a batch is left in the next, whether the one before was finished or given up.
#[test]
fn a_builder_starts_anew() {
    let push = |builder: &mut ArchivedBatchBuilder, timestamp| {
        let mut headers = HeadersBuf::new();
        builder.push_at(2, timestamp, Some(b"k"), None, headers.push(b"h", None).as_headers()).unwrap();
    };
    let mut builder = ArchivedBatchBuilder::new(1000);
    let (mut first, mut second, mut image) = (Vec::new(), Vec::new(), vec![9; 500]);
    push(&mut builder, 5_000_000);
    let header = builder.finish(&BatchMeta::PLAIN, &mut first).unwrap();
    push(&mut builder, 7_000_000);
    builder.clear();
    push(&mut builder, 5_000_000);
    assert_eq!(builder.finish(&BatchMeta::PLAIN, &mut second), Some(header));
    assert_eq!(first, second);
    builder.push(6, None, Some(b"v"), Headers::EMPTY).unwrap();
    builder.finish(&BatchMeta::PLAIN, &mut image).unwrap();
    assert_eq!(image, archived(&[Record::new(0, 6, None, Some(b"v"))], &BatchMeta::PLAIN).1);
}

#[test]
fn offsets_rise() {
    let mut builder = ArchivedBatchBuilder::new(1000);
    builder.push_at(4, 0, None, None, Headers::EMPTY).unwrap();
    assert_eq!(builder.push_at(4, 0, None, None, Headers::EMPTY), Err(PushError::OutOfOrder));
    assert_eq!(builder.push_at(1 << 31, 0, None, None, Headers::EMPTY), Err(PushError::OutOfOrder));
    builder.push(0, None, None, Headers::EMPTY).unwrap();
    builder.push_at(9, 0, None, None, Headers::EMPTY).unwrap();
    let mut image = Vec::new();
    let header = builder.finish(&BatchMeta::PLAIN, &mut image).unwrap();
    let batch = open(&header, &image).unwrap();
    assert_eq!(batch.check(), Ok(()));
    let offsets: Vec<_> = batch.records().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [4, 5, 9]);
    assert_eq!(header.last_offset_delta, 9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn round_trip(records in any_records(20), meta in any_meta(), gaps in proptest::collection::vec(0u8..3, 20)) {
        let mut records = records;
        let mut offset = -1;
        for (record, gap) in records.iter_mut().zip(gaps) {
            offset += 1 + i64::from(gap / 2);
            record.offset = offset;
        }
        let (header, image) = archived(&records, &meta);
        let (batch, rest) = Batch::split_first(&image).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(batch.check(), Ok(()));
        prop_assert_eq!(header.producer_id, meta.producer_id);
        prop_assert_eq!(header.max_timestamp, records.iter().map(|record| record.timestamp).max().unwrap());
        prop_assert_eq!(read(&batch).unwrap(), records.clone());
        // The same records give the same bytes.
        prop_assert_eq!(archived(&records, &meta).1, image);
    }

    /// What passes the door reads to its end, whatever was done to the payload.
    #[test]
    fn changed_payloads_are_refused_or_read(
        records in any_records(5), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let (header, mut image) = archived(&records, &BatchMeta::PLAIN);
        for (at, byte) in changes {
            let payload = &mut image[HEADER_LEN..];
            // The root, where changes hurt most, as often as the rest.
            let at = at.index(2 * payload.len());
            let at = if at < payload.len() { at } else { payload.len() - 1 - at % ROOT_LEN.min(payload.len()) };
            payload[at] = byte;
        }
        if let Ok(batch) = open(&header, &image) {
            let read = batch.records().collect::<Result<Vec<_>, _>>();
            if batch.check().is_ok() {
                prop_assert_eq!(read.map(|records| records.len()), Ok(records.len()));
            }
        }
    }
}
