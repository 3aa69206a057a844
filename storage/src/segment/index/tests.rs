use super::*;
use crate::sample;
use proptest::{collection::vec, prelude::*};

const FIRST: u64 = 4096;

/// Batches as (records, bytes, largest timestamp, padding behind).
type Batches = Vec<(u32, u32, Timestamp, u64)>;

fn any_batches() -> impl Strategy<Value = Batches> {
    vec((1u32..50, 1u32..9000, 0i64..1000, 0u64..200), 0..60)
}

/// The index over such batches, and each batch's header and position.
fn built(base: Offset, batches: &Batches) -> (SegmentIndex, Vec<(BatchHeader, u64)>) {
    let mut index = SegmentIndex::new(base, FIRST);
    let (mut offset, mut position, mut all) = (base, FIRST, Vec::new());
    for &(records, len, max_timestamp, padding) in batches {
        let header = BatchHeader {
            payload_len: len,
            last_offset_delta: records - 1,
            record_count: records,
            max_timestamp,
            ..sample::archived(offset, &[b""]).0
        };
        index.note(&header, position);
        all.push((header, position));
        offset = header.next_offset();
        position += header.total_len() as u64 + padding;
    }
    (index, all)
}

/// The layout, byte by byte, as docs/formats.md has it.
#[test]
fn layout_is_fixed() {
    let (index, _) = built(0x20, &vec![(3, 20, 9, 0), (1, 20_000, 7, 0), (1, 10, 8, 0)]);
    let bytes = index.encode();
    assert_eq!(&bytes[..8], b"MILLINDX");
    assert_eq!(bytes[8..16], [1, 0, 0, 0, 2, 0, 0, 0]);
    let words: Vec<i64> =
        bytes[16..56].chunks(8).map(|word| i64::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(words, [0x20, 0x25, 4096 + 100 + 20_080 + 90, 9, 0x20]);
    assert_eq!(bytes[56..64], [0; 8]);
    assert_eq!(bytes[72..92], [0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(bytes[92..], [4, 0, 0, 0, 0xd4, 0x5e, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn every_flipped_bit_is_detected() {
    let (index, _) = built(7, &vec![(3, 20_000, 9, 0), (1, 20_000, 7, 0)]);
    let bytes = index.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(SegmentIndex::decode(&flipped), Err(IndexError), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn round_trips(base in 0i64..1 << 40, batches in any_batches()) {
        let (index, _) = built(base, &batches);
        prop_assert_eq!(SegmentIndex::decode(&index.encode()), Ok(index));
    }

    #[test]
    fn two_halves_are_as_good_as_the_whole(base in 0i64..1 << 40, batches in any_batches(), split in any::<prop::sample::Index>(), timestamp in 0i64..1000) {
        let (whole, all) = built(base, &batches);
        let split = split.index(all.len() + 1);
        let mut earlier = SegmentIndex::new(base, FIRST);
        all[..split].iter().for_each(|(header, position)| earlier.note(header, *position));
        let mut joined = SegmentIndex::starting_at(base, earlier.end(), earlier.end_position());
        all[split..].iter().for_each(|(header, position)| joined.note(header, *position));
        joined.prepend(&earlier);
        prop_assert!(joined.is_sound());
        prop_assert_eq!(joined.max_timestamp(), whole.max_timestamp());
        prop_assert_eq!((joined.end(), joined.end_position()), (whole.end(), whole.end_position()));
        prop_assert_eq!(joined.before_timestamp(timestamp).is_some(), whole.before_timestamp(timestamp).is_some());
        let first = all.iter().find(|(header, _)| header.max_timestamp >= timestamp);
        if let (Some((_, position)), Some((_, start))) = (first, joined.before_timestamp(timestamp)) {
            prop_assert!(start <= *position && *position < start + SPACING);
        }
    }

    #[test]
    fn a_lookup_lands_before_what_is_looked_for_and_near(base in 0i64..1 << 40, batches in any_batches(), timestamp in 0i64..1000) {
        let (index, all) = built(base, &batches);
        for (header, position) in &all {
            let (offset, start) = index.before_offset(header.last_offset()).unwrap();
            prop_assert!(all.iter().any(|(other, at)| (other.base_offset, *at) == (offset, start)));
            prop_assert!(start <= *position && *position < start + SPACING);
        }
        let first = all.iter().find(|(header, _)| header.max_timestamp >= timestamp);
        let found = index.before_timestamp(timestamp);
        prop_assert_eq!(first.is_some(), found.is_some());
        if let (Some((_, position)), Some((_, start))) = (first, found) {
            prop_assert!(start <= *position && *position < start + SPACING);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_encode_to_themselves(mut bytes in vec(any::<u8>(), 0..200), mend: bool, fill in 0usize..64) {
        if mend && bytes.len() >= INDEX_HEADER_LEN {
            let count = (bytes.len() - INDEX_HEADER_LEN) / ENTRY_LEN;
            bytes.truncate(INDEX_HEADER_LEN + count * ENTRY_LEN);
            bytes[16 + fill.min(40)..64].fill(0);
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..16].copy_from_slice(&[1, 0, 0, 0, count as u8, 0, 0, 0]);
            let checksum = crc32c(&bytes[INDEX_HEADER_LEN..]);
            bytes[64..68].copy_from_slice(&checksum.to_le_bytes());
            let checksum = crc32c(&bytes[..68]);
            bytes[68..72].copy_from_slice(&checksum.to_le_bytes());
        }
        if let Ok(index) = SegmentIndex::decode(&bytes) {
            prop_assert_eq!(index.encode(), bytes);
        }
    }
}
