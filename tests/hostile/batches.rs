//! Record batches that are not what they seem. A batch is refused by Kafka's own error, and the connection goes on.

use crate::{
    peer::{LIST_OFFSETS, PRODUCE, Peer, Wire},
    scene::Scene,
};
use millrace_record::{BatchMeta, Codec, Compressor, Headers, KafkaBatchBuilder};

const CORRUPT_MESSAGE: i16 = 2;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_RECORD: i16 = 87;

/// The timestamp of every record.
const WHEN: i64 = 1_000_000;

/// A batch with one record.
fn batch(value: &[u8], codec: Codec) -> Vec<u8> {
    let mut builder = KafkaBatchBuilder::new(value.len() + 1024);
    builder.push(WHEN, None, Some(value), Headers::default()).unwrap();
    let mut out = Vec::new();
    builder.finish(&BatchMeta::PLAIN, codec, &mut Compressor::new(), &mut out).unwrap();
    out
}

/// Sends records to partition 0 of `topic` and gives the partition's error code.
fn produce(peer: &mut Peer, version: i16, topic: &str, records: &[u8]) -> i16 {
    let body = if version >= 3 { Wire::new().i16(-1) } else { Wire::new() };
    let body = body.i16(-1).i32(30_000).i32(1).string(topic).i32(1).i32(0).bytes(records);
    let answer = peer.ask(&body.request(PRODUCE, version));
    // One topic of that name, one partition, its number, its error.
    let at = 4 + 2 + topic.len() + 4 + 4;
    i16::from_be_bytes([answer[at], answer[at + 1]])
}

#[test]
fn checksums_and_lengths_that_are_wrong() {
    let scene = Scene::new();
    assert_eq!(scene.server.command(&["topic", "create", "t"]).0, 0);
    let sound = batch(b"sound", Codec::None);
    let mut peer = scene.peer();
    let damaged = |at: usize, bytes: &[u8]| {
        let mut batch = sound.clone();
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        batch
    };
    for (records, code) in [
        // A bit of the last byte, the checksum itself, and a length beyond the end.
        (damaged(sound.len() - 1, &[sound[sound.len() - 1] ^ 1]), CORRUPT_MESSAGE),
        (damaged(17, &[0; 4]), CORRUPT_MESSAGE),
        (damaged(8, &i32::MAX.to_be_bytes()), MESSAGE_TOO_LARGE),
        (damaged(8, &(-5i32).to_be_bytes()), CORRUPT_MESSAGE),
        (sound[..40].to_vec(), INVALID_RECORD),
        ([&sound[..], &[0; 7]].concat(), INVALID_RECORD),
        (vec![0xff; 2 << 20], CORRUPT_MESSAGE),
    ] {
        let begin = &records[..records.len().min(16)];
        assert_eq!(produce(&mut peer, 3, "t", &records), code, "{} bytes: {begin:02x?}", records.len());
    }
    // A count of records that the batch cannot hold, under a checksum that is right.
    for count in [i32::MAX, 20_000_000, 2, 0, -1] {
        let mut batch = damaged(57, &count.to_be_bytes());
        batch[23..27].copy_from_slice(&count.wrapping_sub(1).to_be_bytes());
        let checksum = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(produce(&mut peer, 3, "t", &batch), INVALID_RECORD, "{count} records");
    }
    assert_eq!(produce(&mut peer, 3, "t", &sound), 0, "the connection goes on");
    assert_eq!(scene.warnings(), Vec::<String>::new());
    scene.end();
}

#[test]
fn compressed_bombs() {
    let scene = Scene::new();
    assert_eq!(scene.server.command(&["topic", "create", "bombs"]).0, 0);
    let mut peer = scene.peer();
    for (codec, mebibytes) in [(Codec::Zstd, 250), (Codec::Gzip, 128), (Codec::Lz4, 128), (Codec::Snappy, 12)]
    {
        let bomb = batch(&vec![0; mebibytes << 20], codec);
        assert!(bomb.len() < 1 << 20, "{codec:?} makes {} bytes", bomb.len());
        // Kafka does not look into a batch that it keeps compressed, nor does this server.
        assert_eq!(produce(&mut peer, 7, "bombs", &bomb), 0, "{codec:?}");
        scene.undisturbed();
    }
    // Here it must look: which record has the timestamp?
    for when in [WHEN, WHEN - 1, WHEN + 1] {
        let body = Wire::new().i32(-1).i32(1).string("bombs").i32(1).i32(0).i64(when);
        let answer = peer.ask(&body.request(LIST_OFFSETS, 1));
        assert!(answer.len() > 20, "there is an answer: {answer:?}");
        scene.undisturbed();
    }
    scene.end();
}

/// Before format 2 the server must look into what it gets, since it converts it.
#[test]
fn bombs_in_message_sets() {
    let scene = Scene::new();
    assert_eq!(scene.server.command(&["topic", "create", "old"]).0, 0);
    let mut peer = scene.peer();
    for (codec, attributes) in [(Codec::Gzip, 1), (Codec::Snappy, 2), (Codec::Lz4, 3)] {
        let mut compressed = Vec::new();
        Compressor::new().compress(codec, &vec![0; 12 << 20], &mut compressed);
        let message = Wire::new().i8(1).i8(attributes).i64(WHEN).i32(-1).bytes(&compressed).into_vec();
        let message = Wire::new().raw(&crc32(&message).to_be_bytes()).raw(&message).into_vec();
        let set = Wire::new().i64(0).bytes(&message).into_vec();
        let code = produce(&mut peer, 2, "old", &set);
        assert!([CORRUPT_MESSAGE, MESSAGE_TOO_LARGE, INVALID_RECORD].contains(&code), "{codec:?}: {code}");
        scene.undisturbed();
    }
    scene.end();
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc(bytes, 0x82f6_3b78)
}

fn crc32(bytes: &[u8]) -> u32 {
    crc(bytes, 0xedb8_8320)
}

/// Bit by bit, with the polynomial reversed.
fn crc(bytes: &[u8], polynomial: u32) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 }
            },
        )
    })
}
