use super::*;
use crate::{
    Assignment, BatchMeta,
    header::Start,
    model::{Record, any_meta, any_records, archived, kafka, read},
};
use proptest::prelude::*;

fn records() -> Vec<Record> {
    vec![
        Record::new(0, 1_000, Some(b"key"), Some(b"value")),
        Record { headers: vec![(b"h".to_vec(), None)], ..Record::new(1, 1_002, None, Some(b"v")) },
    ]
}

/// Header and payload behind each other, as a segment holds them.
fn image(header: BatchHeader, payload: &[u8]) -> Vec<u8> {
    [&header.pack(), payload].concat()
}

/// Wherever a bit flips, a reader of a segment knows: at the header or at the payload.
#[test]
fn every_flipped_bit_of_a_stored_batch_is_detected() {
    let (kafka_header, payload) = kafka(&records(), &BatchMeta::PLAIN, Codec::None);
    let images = [image(kafka_header, &payload), archived(&records(), &BatchMeta::PLAIN).1];
    for mut stored in images {
        let given = Assignment { base_offset: 1234, leader_epoch: 5, append_time: None };
        given.apply_in_place(&mut stored).unwrap();
        let (batch, _) = Batch::split_first(&stored).unwrap();
        assert_eq!(batch.check(), Ok(()));
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = Batch::split_first(&flipped).and_then(|(batch, _)| batch.check());
            assert!(found.is_err(), "bit {bit} of {:?}", kafka_header.encoding);
        }
    }
}

#[test]
fn batches_follow_each_other() {
    let (header, payload) = kafka(&records(), &BatchMeta::PLAIN, Codec::Zstd);
    let (_, second) = archived(&records(), &BatchMeta::PLAIN);
    let segment = [&image(header, &payload)[..], &second, &[crate::PADDING; 9]].concat();
    let (first, rest) = Batch::split_first(&segment).unwrap();
    assert_eq!((first.header(), first.payload()), (&header, &payload[..]));
    let (second, rest) = Batch::split_first(rest).unwrap();
    assert_eq!(read(&first).unwrap(), read(&second).unwrap());
    assert_eq!(Start::of(rest[0]), Start::Padding);
    assert_eq!(Batch::split_first(rest).map(drop), Err(BatchError::Header(crate::HeaderError::Truncated(9))));
    let cut = &segment[..header.total_len() - 1];
    let need = header.total_len();
    assert_eq!(Batch::split_first(cut).map(drop), Err(BatchError::Truncated { need, have: need - 1 }));
}

#[test]
fn a_payload_of_another_length_is_no_batch() {
    let (header, payload) = kafka(&records(), &BatchMeta::PLAIN, Codec::None);
    let longer = [&payload[..], &[0]].concat();
    assert_eq!(Batch::new(header, &longer).map(drop), Err(BatchError::Mismatch("payload_len")));
    assert!(matches!(Batch::new(header, &payload[1..]), Err(BatchError::Truncated { .. })));
    let mut short = header;
    (short.payload_len, short.kafka_len) = (60, 60);
    assert_eq!(Batch::new(short, &payload[..60]).map(drop), Err(BatchError::Mismatch("payload_len")));
}

/// A header that tells another story than Kafka's copy of it is refused, though both sums hold.
#[test]
fn headers_that_contradict_each_other_are_refused() {
    let (header, payload) = kafka(&records(), &BatchMeta::PLAIN, Codec::None);
    let refused = |change: fn(&mut BatchHeader)| {
        let mut other = header;
        change(&mut other);
        assert_eq!(Batch::new(other, &payload).unwrap().check(), Err(BatchError::Mismatch("kafka header")));
    };
    refused(|header| header.base_offset = 1);
    refused(|header| header.leader_epoch = 0);
    refused(|header| header.codec = Codec::Gzip);
    refused(|header| header.record_count = 1);
    refused(|header| header.producer_id = 0);
}

#[test]
fn shared_batches_share_their_memory() {
    let (_, image) = archived(&records(), &BatchMeta::PLAIN);
    let image = Bytes::from(image);
    let shared = SharedBatch::from_image(&image).unwrap();
    assert_eq!(shared.payload().as_ptr(), image[HEADER_LEN..].as_ptr());
    assert_eq!(shared, SharedBatch::new(*shared.header(), shared.payload().clone()).unwrap());
    assert_eq!(read(&shared.as_batch()).unwrap(), records());
    assert!(SharedBatch::new(*shared.header(), image).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// One iterator, the same records, whatever encoding and codec; step by step and all at once.
    #[test]
    fn both_encodings_give_the_same_records(records in any_records(20), meta in any_meta()) {
        let (_, image) = archived(&records, &meta);
        let (batch, _) = Batch::split_first(&image).unwrap();
        prop_assert_eq!(&read(&batch).unwrap(), &records);
        let mut scratch = Scratch::new(crate::model::ROOM);
        for codec in Codec::ALL {
            let (header, payload) = kafka(&records, &meta, codec);
            let batch = Batch::new(header, &payload).unwrap();
            prop_assert_eq!(&read(&batch).unwrap(), &records);
            let folded = batch.records(&mut scratch).unwrap().fold(0, |count, record| count + usize::from(record.is_ok()));
            prop_assert_eq!(folded, records.len());
            let mut visited = Vec::new();
            let stopped = batch.visit(&mut scratch, |record| {
                visited.push(Record::from(record));
                if visited.len() == records.len() { Err(BatchError::Trailing) } else { Ok(()) }
            });
            prop_assert_eq!((stopped, &visited), (Err(BatchError::Trailing), &records));
        }
    }
}
