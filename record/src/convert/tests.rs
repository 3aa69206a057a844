use super::*;
use crate::{
    Attributes, TimestampType,
    kafka::{Limits, Origin, validate},
    model::{ROOM, Record, any_meta, any_records, archived, kafka, read},
};
use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;
use proptest::prelude::*;

const FROM_LOG: Limits = Limits { batch_len_max: ROOM, origin: Origin::Log };

fn archive(batch: &Batch<'_>) -> Result<Vec<u8>, ArchiveError> {
    let mut out = b"before".to_vec();
    let mut builder = ArchivedBatchBuilder::new(ROOM);
    to_archived(batch, &mut Scratch::new(ROOM), &mut builder, &mut out)?;
    Ok(out)
}

#[test]
fn a_wrong_length_in_the_header_is_refused() {
    let (mut header, image) = archived(&[Record::new(0, 5, None, Some(b"v"))], &BatchMeta::PLAIN);
    header.kafka_len += 1;
    let mut out = b"before".to_vec();
    let converted = to_kafka(&Batch::new(header, &image[HEADER_LEN..]).unwrap(), &mut out);
    assert_eq!(converted, Err(BatchError::Mismatch("kafka_len")));
    assert_eq!(out, b"before");
}

#[test]
fn what_does_not_fit_the_builder_is_refused() {
    let (header, payload) =
        kafka(&[Record::new(0, 5, None, Some(&[0; 5000]))], &BatchMeta::PLAIN, Codec::Zstd);
    let mut builder = ArchivedBatchBuilder::new(1000);
    let mut out = Vec::new();
    let batch = Batch::new(header, &payload).unwrap();
    let refused = to_archived(&batch, &mut Scratch::new(ROOM), &mut builder, &mut out);
    assert!(matches!(refused, Err(ArchiveError::Push(PushError::TooLarge { .. }))), "{refused:?}");
    assert!(out.is_empty());
}

/// The delete horizon stands where the base timestamp does, and deltas count from it.
#[test]
fn a_delete_horizon_stays() {
    let (header, mut payload) = kafka(&[Record::new(0, 1000, None, None)], &BatchMeta::PLAIN, Codec::None);
    // A horizon 1,000 ms later, and a delta that leads back.
    payload[22] = Attributes::DELETE_HORIZON.bits();
    payload[27..35].copy_from_slice(&2000i64.to_be_bytes());
    payload.splice(63..64, [0xcf, 0x0f]);
    payload[61] += 2;
    payload[11] += 1;
    let crc = crate::checksum::crc32c(&payload[21..]);
    payload[17..21].copy_from_slice(&crc.to_be_bytes());
    payload[12..16].copy_from_slice(&7i32.to_be_bytes());
    let info = validate(&payload, &FROM_LOG).unwrap();
    assert_eq!(info.header.kafka_len, header.kafka_len + 1);
    let batch = Batch::new(info.header, &payload).unwrap();
    assert_eq!(read(&batch).unwrap()[0].timestamp, 1000);
    let image = archive(&batch).unwrap();
    let (back, _) = Batch::split_first(&image).unwrap();
    assert_eq!((back.header().base_timestamp, back.header().leader_epoch), (2000, 7));
    assert!(back.header().attributes.contains(Attributes::DELETE_HORIZON));
    let mut served = Vec::new();
    to_kafka(&back, &mut served).unwrap();
    assert_eq!(served, payload);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// An archived batch, as its log serves it to Kafka's clients: of the length its header promised, always the same
    /// bytes, and sound to our own door and to an independent reader.
    #[test]
    fn archived_to_kafka(records in any_records(20), meta in any_meta(), append_time in proptest::option::of(0i64..1 << 50)) {
        let (_, mut image) = archived(&records, &meta);
        let given = crate::Assignment { base_offset: 1 << 40, leader_epoch: 3, append_time };
        let header = given.apply_in_place(&mut image).unwrap();
        let (batch, _) = Batch::split_first(&image).unwrap();
        let mut served = b"before".to_vec();
        let described = to_kafka(&batch, &mut served).unwrap();
        let served = served.split_off(6);
        prop_assert_eq!(served.len(), header.kafka_len as usize);
        let info = validate(&served, &FROM_LOG).unwrap();
        prop_assert_eq!(info.header, described);
        prop_assert_eq!(described.attributes, header.attributes);
        let kafka_batch = Batch::new(described, &served).unwrap();
        prop_assert_eq!(kafka_batch.check(), Ok(()));
        prop_assert_eq!(read(&kafka_batch).unwrap(), read(&batch).unwrap());
        if header.attributes.timestamp_type() == TimestampType::CreateTime {
            prop_assert_eq!(header.max_timestamp, info.header.max_timestamp);
        }
        let mut again = Vec::new();
        to_kafka(&batch, &mut again).unwrap();
        prop_assert_eq!(&again, &served);
        let near = records.iter().all(|record| (0..1 << 50).contains(&record.timestamp));
        if near {
            let theirs = RecordBatchDecoder::decode(&mut Bytes::from(served)).unwrap();
            let offsets: Vec<_> = theirs.records.iter().map(|record| record.offset - (1 << 40)).collect();
            prop_assert_eq!(offsets, (0..records.len() as i64).collect::<Vec<_>>());
        }
    }

    /// There and back: the same records, at the same offsets, of the same producer.
    #[test]
    fn kafka_to_archived_and_back(records in any_records(20), meta in any_meta(), codec in 0u8..5) {
        let codec = Codec::from_number(codec).unwrap();
        let (mut header, mut payload) = kafka(&records, &meta, codec);
        let given = crate::Assignment { base_offset: 1 << 40, leader_epoch: 3, append_time: None };
        given.apply(&mut header, &mut payload).unwrap();
        let batch = Batch::new(header, &payload).unwrap();
        let image = archive(&batch).unwrap();
        let (back, rest) = Batch::split_first(&image).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(back.check(), Ok(()));
        prop_assert_eq!(read(&back).unwrap(), read(&batch).unwrap());
        let mut served = Vec::new();
        let again = to_kafka(&back, &mut served).unwrap();
        prop_assert_eq!(BatchHeader { codec, payload_len: header.payload_len, kafka_len: header.kafka_len,
            payload_checksum: header.payload_checksum, ..again }, header);
        if codec == Codec::None {
            prop_assert_eq!(served, payload);
        }
        prop_assert_eq!(archive(&back).unwrap(), image);
    }
}
