use super::*;
use crate::{
    BatchMeta, Codec,
    model::{Record, any_meta, any_records, archived, kafka, read},
};
use proptest::prelude::*;

#[test]
fn impossible_offsets_are_refused_and_change_nothing() {
    let (_, image) =
        archived(&[Record::new(0, 5, None, None), Record::new(1, 5, None, None)], &BatchMeta::PLAIN);
    for base_offset in [-1, i64::MAX, i64::MAX - 1] {
        let mut changed = image.clone();
        let given = Assignment { base_offset, leader_epoch: 0, append_time: None };
        let error = given.apply_in_place(&mut changed).unwrap_err();
        assert_eq!(error, BatchError::Header(crate::HeaderError::Field("base_offset")));
        assert_eq!(changed, image);
    }
    let given = Assignment { base_offset: i64::MAX - 2, leader_epoch: 0, append_time: None };
    let mut cut = image[..image.len() - 1].to_vec();
    assert!(matches!(given.apply_in_place(&mut cut), Err(BatchError::Truncated { .. })));
    assert_eq!(given.apply_in_place(&mut image.clone()).unwrap().next_offset(), i64::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_log_has_its_say_and_the_rest_stays(
        records in any_records(8), meta in any_meta(), codec in 0u8..6,
        base_offset in 0i64..1 << 60, leader_epoch: i32, append_time in proptest::option::of(0i64..1 << 50)
    ) {
        let mut image = match Codec::from_number(codec) {
            None => archived(&records, &meta).1,
            Some(codec) => {
                let (header, payload) = kafka(&records, &meta, codec);
                [&header.pack()[..], &payload].concat()
            }
        };
        image.extend(b"behind");
        let before = image.clone();
        let given = Assignment { base_offset, leader_epoch, append_time };
        let header = given.apply_in_place(&mut image).unwrap();
        let (batch, rest) = Batch::split_first(&image).unwrap();
        prop_assert_eq!(rest, b"behind");
        prop_assert_eq!(batch.header(), &header);
        prop_assert_eq!(batch.check(), Ok(()));
        prop_assert_eq!((header.base_offset, header.leader_epoch), (base_offset, leader_epoch));
        let mut expected = records;
        for record in &mut expected {
            record.offset += base_offset;
            record.timestamp = append_time.unwrap_or(record.timestamp);
        }
        prop_assert_eq!(read(&batch).unwrap(), expected);
        // What the producer sent is as it sent it, but for what the log has to say.
        let untouched = match (header.encoding, append_time) {
            (Encoding::Archived, _) => HEADER_LEN,
            (Encoding::Kafka, None) => HEADER_LEN + fields::CHECKED_START - 4,
            (Encoding::Kafka, Some(_)) => HEADER_LEN + 43,
        };
        prop_assert_eq!(&image[untouched..], &before[untouched..]);
    }

    /// What a consumer is served is what Kafka's own clients would check: the CRC of the new bytes.
    #[test]
    fn a_second_assignment_replaces_the_first(records in any_records(4), first in 0i64..1 << 60, second in 0i64..1 << 60) {
        let (mut header, mut payload) = kafka(&records, &BatchMeta::PLAIN, Codec::None);
        let (original, untouched) = (header, payload.clone());
        for base_offset in [first, second, 0] {
            Assignment { base_offset, leader_epoch: -1, append_time: None }.apply(&mut header, &mut payload).unwrap();
        }
        prop_assert_eq!((header, payload), (original, untouched));
    }
}
