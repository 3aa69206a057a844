use super::{
    seeds::{Seed, drawn, hold},
    *,
};
use crate::{
    BatchMeta, goldens,
    model::{Record, any_meta, any_records, archived, kafka},
};
use proptest::{collection::vec, prelude::*, sample::Index};

const ALL: [fn(&[u8]); 8] = [
    header,
    kafka_batches,
    kafka_batch_behind_its_checksum,
    stored_batch,
    stored_batch_behind_its_checksum,
    archived_payload,
    message_set,
    compressed,
];

fn all(bytes: &[u8]) {
    for entry in ALL {
        entry(bytes);
    }
}

#[test]
fn what_clients_wrote_and_every_cut_of_it() {
    let texts = goldens::JAVA_BATCHES.iter().chain(&goldens::JAVA_MARKERS).chain(&goldens::JAVA_MESSAGE_SETS);
    for text in texts.chain(&goldens::PYTHON_MESSAGE_SETS) {
        let bytes = goldens::bytes(text);
        for len in 0..=bytes.len() {
            all(&bytes[..len]);
        }
    }
}

fn any_changes() -> impl Strategy<Value = Vec<(Index, u8)>> {
    vec((any::<Index>(), any::<u8>()), 0..6)
}

fn change(bytes: &mut [u8], changes: &[(Index, u8)]) {
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        all(&bytes);
    }

    #[test]
    fn changed_batches(records in any_records(5), meta in any_meta(), codec in 0u8..5, changes in any_changes()) {
        let (header, mut payload) = kafka(&records, &meta, Codec::from_number(codec).unwrap());
        let mut image = [&header.pack()[..], &payload].concat();
        change(&mut payload, &changes);
        kafka_batch_behind_its_checksum(&payload);
        change(&mut image, &changes);
        stored_batch_behind_its_checksum(&image);
    }

    #[test]
    fn changed_archives(records in any_records(5), meta in any_meta(), changes in any_changes()) {
        let (header, mut image) = archived(&records, &meta);
        let mut claims = vec![header.attributes.bits(), header.last_offset_delta as u8, header.record_count as u8];
        claims.extend(&image[HEADER_LEN..]);
        change(&mut claims[3..], &changes);
        archived_payload(&claims);
        change(&mut image, &changes);
        stored_batch_behind_its_checksum(&image);
    }
}

/// The entry points do reach what lies behind the doors: a test that none of them returns at its first check.
#[test]
fn sound_bytes_go_all_the_way() {
    let records = [Record::new(0, 5, Some(b"k"), Some(b"v"))];
    let (_, image) = archived(&records, &BatchMeta::PLAIN);
    let (batch, _) = Batch::split_first(&image).unwrap();
    assert_eq!(batch.check(), Ok(()));
    let claims = [&[0, 0, 1], batch.payload()].concat();
    archived_payload(&claims);
    let (_, payload) = kafka(&records, &BatchMeta::PLAIN, Codec::Lz4);
    let limits = Limits { batch_len_max: LEN_MAX, origin: Origin::Producer };
    assert!(RecordSet::new(&payload).all(|batch| kafka::validate(batch.unwrap(), &limits).is_ok()));
}

/// With every codec, some batches each.
fn kafka_seeds() -> Vec<(String, BatchHeader, Vec<u8>)> {
    let all = drawn(15, (any_records(4), any_meta())).zip((0..5).cycle());
    let all = all.map(|((name, (records, meta)), codec)| {
        let codec = Codec::from_number(codec).unwrap();
        let (header, payload) = kafka(&records, &meta, codec);
        (format!("{name}_{codec:?}").to_lowercase(), header, payload)
    });
    all.collect()
}

fn golden_seeds(name: &str, texts: &[&str]) -> Vec<Seed> {
    let seeds = texts.iter().enumerate();
    seeds.map(|(number, text)| (format!("{name}_{number}"), goldens::bytes(text))).collect()
}

#[test]
fn seeds_are_as_made() {
    let kafka = kafka_seeds();
    let archives: Vec<_> = drawn(12, (any_records(5), any_meta()))
        .map(|(name, (records, meta))| (format!("{name}_archived"), archived(&records, &meta)))
        .collect();
    let stored: Vec<Seed> = archives
        .iter()
        .map(|(name, (_, image))| (name.clone(), image.clone()))
        .chain(
            kafka
                .iter()
                .map(|(name, header, payload)| (name.clone(), [&header.pack()[..], payload].concat())),
        )
        .collect();
    for (name, image) in &stored {
        assert_eq!(Batch::split_first(image).unwrap().0.check(), Ok(()), "{name}");
    }
    hold("record_header", stored.iter().map(|(name, image)| (name.clone(), image[..HEADER_LEN].to_vec())));
    hold("record_stored_batch_behind_its_checksum", stored.clone());
    hold("record_stored_batch", stored);
    let claims = archives.iter().map(|(name, (header, image))| {
        let claims = [header.attributes.bits(), header.last_offset_delta as u8, header.record_count as u8];
        (name.clone(), [&claims, &image[HEADER_LEN..]].concat())
    });
    hold("record_archived_payload", claims);
    let compressed = kafka.iter().map(|(name, header, payload)| {
        let codec = header.codec as u8;
        (name.clone(), [&[codec], &payload[kafka::KAFKA_HEADER_LEN..]].concat())
    });
    hold("record_compressed", compressed);
    let mut batches = golden_seeds("java", &goldens::JAVA_BATCHES);
    batches.extend(golden_seeds("java_marker", &goldens::JAVA_MARKERS));
    batches.extend(kafka.iter().map(|(name, _, payload)| (name.clone(), payload.clone())));
    hold("record_kafka_batch_behind_its_checksum", batches.clone());
    hold("record_kafka_batches", batches);
    let mut sets = golden_seeds("java", &goldens::JAVA_MESSAGE_SETS);
    sets.extend(golden_seeds("python", &goldens::PYTHON_MESSAGE_SETS));
    sets.extend(golden_seeds("simple", &goldens::SIMPLE_PRODUCER_SETS));
    hold("record_message_set", sets);
}
