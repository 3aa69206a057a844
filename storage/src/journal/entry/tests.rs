use super::*;
use crate::epochs::EPOCHS_MAX;
use millrace_record::{Attributes, Codec, Encoding};
use proptest::{collection::vec, prelude::*};

fn any_key() -> impl Strategy<Value = LogKey> {
    (any::<[u8; 16]>(), 0..=i32::MAX, any::<bool>()).prop_map(|(topic, partition, staged)| LogKey {
        topic: TopicId::from_bytes(topic),
        partition,
        kind: if staged { LogKind::Staged } else { LogKind::Data },
    })
}

fn any_header() -> impl Strategy<Value = BatchHeader> {
    (0..1i64 << 60, 0u32..1000, 0i32..100, 0u32..5000, any::<u32>(), any::<i64>()).prop_map(
        |(base_offset, last_offset_delta, leader_epoch, payload_len, payload_checksum, max_timestamp)| {
            BatchHeader {
                encoding: Encoding::Archived,
                codec: Codec::None,
                attributes: Attributes::NONE,
                producer_epoch: -1,
                base_offset,
                last_offset_delta,
                record_count: last_offset_delta + 1,
                leader_epoch,
                payload_len,
                kafka_len: payload_len,
                schema_id: 0,
                base_timestamp: 0,
                max_timestamp,
                producer_id: -1,
                base_sequence: -1,
                payload_checksum,
            }
        },
    )
}

fn any_place() -> impl Strategy<Value = Place> {
    (0..1i64 << 60, 0u64..1 << 31).prop_map(|(segment, position)| Place { segment, position })
}

fn any_epochs() -> impl Strategy<Value = EpochTable> {
    vec((1i32..5, 1i64..1000), 0..EPOCHS_MAX).prop_map(|steps| {
        let (mut epoch, mut start) = (-1, -1);
        let starts = steps.into_iter().map(|(rise, grown)| {
            epoch += rise;
            start += grown;
            EpochStart { epoch, start }
        });
        EpochTable::from_starts(starts.collect()).unwrap()
    })
}

fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
    let marks = (any::<u64>(), any::<u64>(), any::<u32>());
    (any::<bool>(), any::<[u8; 16]>(), 0..1i64 << 50, 0..1i64 << 50, 0u64..1 << 20, marks, any_epochs())
        .prop_map(|(present, dir, start, grown, block, (replay_from, commit, batches), epochs)| Checkpoint {
            present,
            dir,
            start,
            end: start + grown,
            place: Place { segment: start, position: block * BLOCK_SIZE as u64 },
            replay_from,
            spliced: SpliceMark { commit, batches },
            epochs,
        })
}

pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
    let spliced = (any_place(), any_header(), any_place(), 0..1i64 << 60, any::<u64>(), any::<u32>());
    let body = prop_oneof![
        (any_place(), any_header()).prop_map(|(at, header)| Body::Append { at, header }),
        (any_place(), any_header()).prop_map(|(at, header)| Body::Reference { at, header }),
        spliced.prop_map(|(at, header, staged, behind, commit, batches)| Body::Splice {
            at,
            header,
            source: StagedBatch { at: staged, offset: staged.segment + behind },
            mark: SpliceMark { commit, batches },
        }),
        (0..1i64 << 60, any_place(), any::<u8>()).prop_map(|(to, at, fill)| Body::Cut {
            to,
            at,
            block: vec![fill; (at.position % BLOCK_SIZE as u64) as usize].into(),
        }),
        (0..=i64::MAX).prop_map(|start| Body::LogStart { start }),
        (any::<i32>(), 0..=i64::MAX)
            .prop_map(|(epoch, start)| Body::EpochStart { start: EpochStart { epoch, start } }),
        any_checkpoint().prop_map(Body::Checkpoint),
    ];
    (any_key(), body).prop_map(|(key, body)| Entry { key, body })
}

proptest! {
    #[test]
    fn round_trips(entry in any_entry(), rest in vec(any::<u8>(), 0..9)) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        prop_assert_eq!(bytes.len(), entry.encoded_len());
        let len = bytes.len();
        bytes.extend(&rest);
        let mut left = bytes.as_slice();
        prop_assert_eq!(Entry::decode(&mut left), Ok(entry));
        prop_assert_eq!(left, rest);
        let mut short = &bytes[..len - 1];
        prop_assert!(Entry::decode(&mut short).is_err());
    }

    #[test]
    fn any_bytes_are_refused_or_encode_to_themselves(mut bytes in vec(any::<u8>(), 0..300), mend: bool) {
        if mend && bytes.len() >= ENTRY_PREFIX_LEN {
            bytes[0] %= 8;
            bytes[1] = 1 + bytes[1] % 2;
            bytes[2..4].fill(0);
            let extra = (bytes.len() - ENTRY_PREFIX_LEN) as u32;
            bytes[52..56].copy_from_slice(&extra.to_le_bytes());
        }
        let mut left = bytes.as_slice();
        if let Ok(entry) = Entry::decode(&mut left) {
            let mut again = Vec::new();
            entry.encode(&mut again);
            prop_assert_eq!(&again, &bytes[..bytes.len() - left.len()]);
        }
    }
}

/// The layout, byte by byte, as docs/formats.md has it.
#[test]
fn layout_is_fixed() {
    let key = LogKey::staged(TopicId::from_bytes(*b"topic-topic-topi"), 3);
    let entry = Entry { key, body: Body::EpochStart { start: EpochStart { epoch: 7, start: 0x0102 } } };
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    assert_eq!(bytes[..8], [6, 2, 0, 0, 3, 0, 0, 0]);
    assert_eq!(&bytes[8..24], b"topic-topic-topi");
    assert_eq!(bytes[24..32], [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[32..48], [0; 16]);
    assert_eq!(bytes[48..56], [7, 0, 0, 0, 0, 0, 0, 0]);
}
