//! Both directions against the crate kafka-protocol, an independent implementation, with every codec.

use super::*;
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    protocol::StrBytes,
    records::{
        Compression, Record as Theirs, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
        TimestampType,
    },
};

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Their headers are a map: names must differ. Their deltas do not wrap: timestamps must be near each other.
fn comparable(mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        for (index, (key, _)) in record.headers.iter_mut().enumerate() {
            key.push(b'0' + index as u8);
        }
        record.timestamp = record.timestamp.rem_euclid(1 << 50);
    }
    records
}

fn theirs(record: &Record, meta: &BatchMeta) -> Theirs {
    let name = |key: &[u8]| StrBytes::from_string(String::from_utf8(key.to_vec()).unwrap());
    Theirs {
        transactional: meta.attributes.is_transactional(),
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: meta.producer_id,
        producer_epoch: meta.producer_epoch,
        timestamp_type: TimestampType::Creation,
        offset: record.offset,
        sequence: meta.base_sequence.wrapping_add(record.offset as i32),
        timestamp: record.timestamp,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: record.headers.iter().map(|(k, v)| (name(k), v.clone().map(Bytes::from))).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_they_write_we_read(records in any_records(12), meta in any_meta(), codec in 0usize..5) {
        let records = comparable(records);
        let sent: Vec<_> = records.iter().map(|record| theirs(record, &meta)).collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: CODECS[codec] };
        RecordBatchEncoder::encode(&mut bytes, &sent, &options).unwrap();
        let info = validate_deep(&bytes, &FROM_PRODUCER, &mut Scratch::new(ROOM)).unwrap();
        prop_assert_eq!(info.header.base_sequence, meta.base_sequence);
        prop_assert_eq!(read(&Batch::new(info.header, &bytes).unwrap()).unwrap(), records);
    }

    #[test]
    fn what_we_write_they_read(records in any_records(12), meta in any_meta(), codec in 0usize..5) {
        let records = comparable(records);
        let (_, mut bytes) = kafka(&records, &meta, Codec::from_number(codec as u8).unwrap());
        fields::set_offset_and_epoch(&mut bytes, 0, -1);
        let read = RecordBatchDecoder::decode(&mut Bytes::from(bytes)).unwrap();
        prop_assert_eq!(read.compression, CODECS[codec]);
        let expected: Vec<_> = records.iter().map(|record| theirs(record, &meta)).collect();
        prop_assert_eq!(read.records, expected);
    }
}
