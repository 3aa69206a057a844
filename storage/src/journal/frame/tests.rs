use super::*;
use crate::{
    epochs::EpochStart,
    journal::entry::{Place, tests::any_entry},
    key::LogKey,
    sample,
};
use millrace_record::TopicId;
use proptest::{collection::vec, prelude::*};

pub(crate) fn sample_header() -> FrameHeader {
    FrameHeader {
        run: [1; 16],
        journal: [2; 16],
        generation: 3,
        sequence: 5,
        durable_through: 4,
        live_from: 2,
        previous: 0x0102_0304,
        block: 7,
        entries_len: 0,
        payloads_len: 0,
        closing: false,
    }
}

/// A frame's bytes, padded, and its checksum.
pub(crate) fn build(mut header: FrameHeader, items: &[(Entry, Vec<u8>)]) -> (Vec<u8>, u32) {
    let mut frame = vec![0; FRAME_HEADER_LEN];
    for (entry, _) in items {
        entry.encode(&mut frame);
    }
    header.entries_len = (frame.len() - FRAME_HEADER_LEN) as u32;
    for (_, payload) in items {
        frame.extend(payload);
    }
    header.payloads_len = (frame.len() - FRAME_HEADER_LEN) as u32 - header.entries_len;
    frame.resize(header.padded_len(), 0);
    let checksum = header.seal(&mut frame);
    (frame, checksum)
}

fn append(value: &[u8]) -> (Entry, Vec<u8>) {
    let at = Place { segment: 0, position: 4096 };
    let key = LogKey::data(TopicId::METADATA, 0);
    let (header, payload) = sample::archived(9, &[value]);
    (Entry { key, body: Body::Append { at, header } }, payload)
}

fn any_item() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    (any_entry(), vec(any::<u8>(), 0..300)).prop_map(|(mut entry, value)| match &mut entry.body {
        Body::Append { header, .. } => {
            let (sound, payload) = sample::archived(header.base_offset, &[&value]);
            *header = sound;
            (entry, payload)
        }
        _ => (entry, Vec::new()),
    })
}

/// The layout, byte by byte, as docs/formats.md has it.
#[test]
fn layout_is_fixed() {
    let (frame, checksum) = build(sample_header(), &[]);
    assert_eq!(frame.len(), BLOCK_SIZE);
    assert_eq!(frame[..8], [b'M', b'J', b'R', b'N', 1, 0, 0, 0]);
    assert_eq!(frame[8..24], [1; 16]);
    assert_eq!(frame[24..40], [2; 16]);
    let words: Vec<u64> =
        frame[40..72].chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(words, [3, 5, 4, 2]);
    assert_eq!(frame[72..80], [4, 3, 2, 1, 7, 0, 0, 0]);
    assert_eq!(frame[80..100], [0; 20]);
    assert_eq!(frame[100..104], checksum.to_le_bytes());
}

#[test]
fn every_flipped_bit_that_counts_is_detected() {
    let start = Entry {
        key: LogKey::data(TopicId::METADATA, 0),
        body: Body::EpochStart { start: EpochStart { epoch: 1, start: 9 } },
    };
    let (frame, _) = build(sample_header(), &[(start, Vec::new()), append(b"payload")]);
    let used = Frame::parse(&frame).unwrap().header.used_len();
    for bit in 0..used * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Frame::parse(&flipped).is_err(), "bit {bit}");
    }
}

/// Rot in the version byte is rot; a whole frame of another version is a later release's.
#[test]
fn a_later_version_is_told_from_rot() {
    let (mut frame, _) = build(sample_header(), &[]);
    frame[4] = 2;
    assert!(matches!(Frame::parse(&frame), Err(FrameError::Checksum { .. })));
    let checksum = crc32c(&frame[..CHECKSUM_AT]);
    frame[CHECKSUM_AT..FRAME_HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(Frame::parse(&frame).unwrap_err(), FrameError::Version(2));
}

#[test]
fn a_payload_has_its_own_checksum() {
    let (mut frame, _) = build(sample_header(), &[append(b"payload")]);
    let used = Frame::parse(&frame).unwrap().header.used_len();
    frame[used - 1] ^= 1;
    assert_eq!(Frame::parse(&frame).unwrap_err(), FrameError::Payload(9));
}

proptest! {
    #[test]
    fn round_trips(items in vec(any_item(), 0..8), closing: bool) {
        let (frame, checksum) = build(FrameHeader { closing, ..sample_header() }, &items);
        let parsed = Frame::parse(&frame).unwrap();
        prop_assert_eq!((parsed.header.closing, parsed.checksum), (closing, checksum));
        let back: Vec<_> =
            parsed.entries().map(|item| item.map(|(entry, payload)| (entry, payload.to_vec())).unwrap()).collect();
        prop_assert_eq!(back, items);
    }

    #[test]
    fn any_bytes_are_refused_or_are_a_frame(mut bytes in vec(any::<u8>(), 0..400), mend: bool) {
        if mend && bytes.len() > FRAME_HEADER_LEN {
            let (header, _) = build(sample_header(), &[]);
            let entries_len = (bytes.len() - FRAME_HEADER_LEN) as u32;
            FrameHeader { entries_len, ..Frame::parse(&header).unwrap().header }.seal(&mut bytes);
        }
        if let Ok(frame) = Frame::parse(&bytes) {
            prop_assert!(frame.header.used_len() <= bytes.len());
        }
    }
}
