use super::{
    seeds::{Seed, drawn, hold},
    *,
};
use crate::{
    epochs::{EpochStart, EpochTable},
    journal::{
        entry::{Body, Place, tests::any_entry},
        frame::{
            FrameHeader,
            tests::{build, sample_header},
        },
    },
    key::LogKey,
    producer::ProducerTable,
    sample,
    segment::walk::pad,
};
use millrace_record::{BatchHeader, TopicId};
use millrace_runtime::BLOCK_SIZE;
use proptest::{collection::vec, prelude::*, strategy::Strategy};

const JOURNAL: [u8; 16] = [2; 16];

fn named(name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    (name.to_owned(), bytes.into())
}

fn encoded(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    entries.iter().for_each(|entry| entry.encode(&mut bytes));
    bytes
}

/// Entries with what a frame holds for them.
fn any_items() -> impl Strategy<Value = Vec<(Entry, Vec<u8>)>> {
    let item = (any_entry(), vec(any::<u8>(), 0..300)).prop_map(|(mut entry, value)| match &mut entry.body {
        Body::Append { header, .. } => {
            let (sound, payload) = sample::archived(header.base_offset, &[&value]);
            *header = sound;
            (entry, payload)
        }
        _ => (entry, Vec::new()),
    });
    vec(item, 0..4)
}

#[test]
fn seeds_are_as_made() {
    hold(
        "storage_entries",
        drawn(24, vec(any_entry(), 1..4)).map(|(name, entries)| (name, encoded(&entries))),
    );
    let frames: Vec<Seed> =
        drawn(8, any_items()).map(|(name, items)| (name, build(sample_header(), &items).0)).collect();
    for (name, bytes) in &frames {
        assert!(Frame::parse(bytes).is_ok(), "{name}");
    }
    hold("storage_frame_behind_its_checksum", frames.clone());
    hold("storage_frame", frames);
    hold("storage_journal_file", journal_files());
    hold("storage_segment", segments());
    hold("storage_side_files", side_files());
}

/// Three frames of one run, whole and as crashes leave them.
fn journal_files() -> Vec<Seed> {
    let (mut file, mut previous) = (Vec::new(), 0);
    for sequence in 1..=3 {
        let header = FrameHeader {
            journal: JOURNAL,
            sequence,
            durable_through: sequence - 1,
            live_from: 1,
            previous,
            block: file.len() as u32 / BLOCK_SIZE as u32,
            closing: sequence == 3,
            ..sample_header()
        };
        let at = Place { segment: 0, position: 4096 };
        let (batch, payload) = sample::archived(sequence as i64, &[b"value"]);
        let key = LogKey::data(TopicId::METADATA, 0);
        let entry = Entry { key, body: Body::Append { at, header: batch } };
        let (frame, checksum) = build(header, &[(entry, payload)]);
        file.extend(frame);
        previous = checksum;
    }
    let found = chain::scan(0, &file, &JOURNAL).unwrap();
    assert_eq!(found.len(), 3);
    assert!(chain::verify(found).is_ok());
    let mut torn = file.clone();
    torn[2 * BLOCK_SIZE + 200] ^= 1;
    let mut damaged = file.clone();
    damaged[BLOCK_SIZE + 200] ^= 1;
    let cut = &file[..2 * BLOCK_SIZE];
    vec![named("cut", cut), named("torn", torn), named("damaged", damaged), named("whole", file)]
}

/// What is in a segment: its header's block, and batches with padding between them.
fn segments() -> Vec<Seed> {
    let starts = vec![EpochStart { epoch: 0, start: 0 }, EpochStart { epoch: 3, start: 77 }];
    let header = SegmentHeader {
        store: [1; 16],
        key: LogKey::staged(TopicId::from_bytes([2; 16]), 5),
        base: 0,
        epochs: EpochTable::from_starts(starts).unwrap(),
    };
    let mut block = vec![0; BLOCK_SIZE];
    header.encode(&mut block);
    let mut batches = Vec::new();
    for offset in 0..4 {
        let (header, payload) = sample::archived(offset, &[&[7; 30][..]]);
        batches.extend(header.pack());
        batches.extend(payload);
        if offset == 1 {
            let used = batches.len();
            batches.resize(BLOCK_SIZE, 0);
            pad(&mut batches[used..]);
        }
    }
    let mut walk = Walk::new(&batches, 0, 0);
    for _ in 0..4 {
        assert!(matches!(walk.step(), Ok(Some(Step::Batch(..)))));
    }
    vec![named("header", block), named("batches", batches)]
}

fn side_files() -> Vec<Seed> {
    let mut index = SegmentIndex::new(0, BLOCK_SIZE as u64);
    let mut table = ProducerTable::default();
    for at in 0..5 {
        let header = BatchHeader {
            payload_len: 20_000,
            producer_id: 7 + at % 2,
            producer_epoch: 0,
            base_sequence: at as i32 / 2,
            ..sample::archived(at, &[b""]).0
        };
        index.note(&header, BLOCK_SIZE as u64 + 20_080 * at as u64);
        table.note(&header);
    }
    let place = Place { segment: 0, position: 4096 };
    let producers = ProducerSnapshot { offset: 5, place, table };
    let mark = PieceMark { job: [3; 16], attempt: 2, epoch: 9, task: 1 };
    let seeds = vec![
        named("format", Format { store: [1; 16], dir: [2; 16] }.encode()),
        named("index", index.encode()),
        named("mark", mark.encode(2, 30)),
        named("producers", producers.encode()),
    ];
    assert!(Format::decode(&seeds[0].1).is_ok() && SegmentIndex::decode(&seeds[1].1).is_ok());
    assert!(PieceMark::decode(&seeds[2].1).is_some() && ProducerSnapshot::decode(&seeds[3].1).is_ok());
    seeds
}
