use super::*;
use proptest::prelude::*;

fn sample() -> BatchHeader {
    BatchHeader {
        encoding: Encoding::Archived,
        codec: Codec::None,
        attributes: Attributes::TRANSACTIONAL.with(Attributes::LOG_APPEND_TIME),
        producer_epoch: 7,
        base_offset: 0x0102_0304_0506_0708,
        last_offset_delta: 99,
        record_count: 100,
        leader_epoch: 3,
        payload_len: 4096,
        kafka_len: 4000,
        schema_id: 12,
        base_timestamp: 1_700_000_000_000,
        max_timestamp: 1_700_000_000_123,
        producer_id: 4711,
        base_sequence: 5,
        payload_checksum: 0xdead_beef,
    }
}

/// Any header that keeps the rules.
pub(crate) fn any_header() -> impl Strategy<Value = BatchHeader> {
    let shape = (any::<bool>(), 0u8..5, any::<u8>(), any::<i16>(), any::<i32>(), any::<u32>());
    let offsets = (0..i64::MAX / 2, 0..=i32::MAX as u32, any::<u32>());
    let lengths = (0..=PAYLOAD_LEN_MAX, 0..=PAYLOAD_LEN_MAX, any::<u32>());
    let times = (any::<i64>(), any::<i64>(), any::<i64>(), any::<i32>());
    (shape, offsets, lengths, times).prop_map(|(shape, offsets, lengths, times)| {
        let (kafka, codec, bits, producer_epoch, leader_epoch, schema_id) = shape;
        BatchHeader {
            encoding: if kafka { Encoding::Kafka } else { Encoding::Archived },
            codec: if kafka { Codec::from_number(codec).unwrap() } else { Codec::None },
            attributes: Attributes::from_bits(bits & Attributes::KNOWN).unwrap(),
            producer_epoch,
            base_offset: offsets.0,
            last_offset_delta: offsets.1,
            record_count: offsets.2 % (offsets.1 + 2),
            leader_epoch,
            payload_len: lengths.0,
            kafka_len: if kafka { lengths.0 } else { lengths.1 },
            schema_id,
            base_timestamp: times.0,
            max_timestamp: times.1,
            producer_id: times.2,
            base_sequence: times.3,
            payload_checksum: lengths.2,
        }
    })
}

/// The layout, byte by byte, as docs/formats.md has it: a change here is a change of the format.
#[test]
fn layout_is_fixed() {
    let bytes = sample().pack();
    assert_eq!(bytes[..8], [0x4d, 1, 1, 0, 0b1_1000, 0, 7, 0]);
    assert_eq!(bytes[8..16], [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(bytes[16..32], [99, 0, 0, 0, 100, 0, 0, 0, 3, 0, 0, 0, 0, 16, 0, 0]);
    assert_eq!(bytes[32..40], [0xa0, 0x0f, 0, 0, 12, 0, 0, 0]);
    assert_eq!(bytes[40..48], 1_700_000_000_000i64.to_le_bytes());
    assert_eq!(bytes[48..56], 1_700_000_000_123i64.to_le_bytes());
    assert_eq!(bytes[56..64], 4711i64.to_le_bytes());
    assert_eq!(bytes[64..76], [5, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0, 0, 0, 0]);
    assert_eq!(bytes[76..], crc32c(&bytes[..76]).to_le_bytes());
}

#[test]
fn every_flipped_bit_is_detected() {
    let bytes = sample().pack();
    for bit in 0..HEADER_LEN * 8 {
        let mut flipped = bytes;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = BatchHeader::unpack(&flipped).unwrap_err();
        assert!(matches!(error, HeaderError::Magic(_) | HeaderError::Checksum { .. }), "bit {bit}: {error}");
        assert!(!matches!(Start::of(flipped[0]), Start::Padding | Start::Unwritten), "bit {bit}");
    }
}

/// Rot in the version byte is rot; a whole header of another version is a later release's.
#[test]
fn a_later_version_is_told_from_rot() {
    let mut bytes = sample().pack();
    bytes[1] = 2;
    assert!(matches!(BatchHeader::unpack(&bytes), Err(HeaderError::Checksum { .. })));
    let checksum = crc32c(&bytes[..CHECKED_LEN]);
    bytes[CHECKED_LEN..].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(BatchHeader::unpack(&bytes), Err(HeaderError::Version(2)));
}

#[test]
fn impossible_fields_are_refused() {
    let refused = |change: fn(&mut BatchHeader), name| {
        let mut header = sample();
        change(&mut header);
        assert_eq!(BatchHeader::unpack(&header.pack()), Err(HeaderError::Field(name)));
    };
    refused(|header| header.codec = Codec::Zstd, "codec");
    refused(|header| header.record_count = 101, "record_count");
    refused(|header| header.base_offset = -1, "base_offset");
    refused(|header| header.base_offset = i64::MAX - 99, "base_offset");
    refused(|header| header.last_offset_delta = 1 << 31, "last_offset_delta");
    refused(|header| header.last_offset_delta = u32::MAX, "last_offset_delta");
    refused(|header| header.payload_len = 1 << 31, "payload_len");
    refused(|header| header.kafka_len = 1 << 31, "kafka_len");
    refused(|header| header.encoding = Encoding::Kafka, "kafka_len");
}

/// Bytes without a meaning are zero, so that a later version can give them one and be told apart.
#[test]
fn reserved_bytes_are_zero() {
    for at in [5, 72, 73, 74, 75] {
        let mut bytes = sample().pack();
        bytes[at] = 1;
        let checksum = crc32c(&bytes[..CHECKED_LEN]);
        bytes[CHECKED_LEN..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(BatchHeader::unpack(&bytes), Err(HeaderError::Field("reserved")));
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let mut header = sample();
    header.base_sequence = i32::MAX - 98;
    assert_eq!(header.last_sequence(), 0);
    header.base_sequence = -1;
    assert_eq!(header.last_sequence(), -1);
}

#[test]
fn padding_fills_the_block() {
    assert_eq!(padding_len(0, 4096), 0);
    assert_eq!(padding_len(1, 4096), 4095);
    assert_eq!(padding_len(8191, 4096), 1);
    assert_eq!(padding_len(8192, 4096), 0);
    assert!(is_padding(&[PADDING; 17]) && is_padding(&[]) && !is_padding(&[PADDING, 0]));
    assert_eq!(Start::of(PADDING), Start::Padding);
    assert_eq!(Start::of(0), Start::Unwritten);
    assert_eq!(Start::of(MAGIC), Start::Batch);
    assert_eq!(Start::of(0xff), Start::Unknown(0xff));
}

proptest! {
    #[test]
    fn round_trips(header in any_header(), rest in proptest::collection::vec(any::<u8>(), 0..8)) {
        let mut bytes = header.pack().to_vec();
        bytes.extend(rest);
        prop_assert_eq!(BatchHeader::unpack(&bytes), Ok(header));
        prop_assert_eq!(BatchHeader::unpack(&bytes[..79]), Err(HeaderError::Truncated(79)));
    }

    #[test]
    fn any_bytes_are_refused_or_pack_to_themselves(mut bytes: [u8; HEADER_LEN], mend: bool) {
        if mend {
            bytes[..2].copy_from_slice(&[MAGIC, VERSION]);
            bytes[2] %= 3;
            bytes[3] %= 6;
            bytes[5] = 0;
            bytes[72..76].fill(0);
            let checksum = crc32c(&bytes[..CHECKED_LEN]);
            bytes[CHECKED_LEN..].copy_from_slice(&checksum.to_le_bytes());
        }
        if let Ok(header) = BatchHeader::unpack(&bytes) {
            prop_assert_eq!(header.pack(), bytes);
        }
    }
}
