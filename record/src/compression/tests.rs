use super::*;
use proptest::{collection::vec, prelude::*};

const MIB: usize = 1 << 20;

fn compressed(codec: Codec, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new().compress(codec, input, &mut out);
    out
}

fn decompressed(codec: Codec, input: &[u8], max: usize) -> Result<Vec<u8>, DecompressError> {
    Scratch::new(max).decompress(codec, input).map(<[u8]>::to_vec)
}

/// Bytes that compress somewhat: words out of a small alphabet.
fn any_text(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..64), 0..=len_max, any::<u8>()).prop_map(|(seed, len, noise)| {
        (0..len)
            .map(|index| match seed.get(index * 7 % (seed.len() + 1)) {
                Some(byte) if index % 97 != usize::from(noise) => *byte,
                _ => (index / 13) as u8,
            })
            .collect()
    })
}

#[test]
fn a_bomb_is_refused_at_the_cap() {
    let zeros = vec![0; 8 * MIB];
    for codec in Codec::ALL {
        let bomb = compressed(codec, &zeros);
        let mut scratch = Scratch::new(MIB);
        assert_eq!(
            scratch.decompress(codec, &bomb),
            Err(DecompressError::TooLarge { max: MIB }),
            "{codec:?}"
        );
        assert!(scratch.bytes.capacity() <= MIB, "{codec:?}: {}", scratch.bytes.capacity());
        // The very length is admitted, one byte less is not.
        assert_eq!(decompressed(codec, &bomb, zeros.len()).as_deref(), Ok(&zeros[..]), "{codec:?}");
        let max = zeros.len() - 1;
        assert_eq!(decompressed(codec, &bomb, max), Err(DecompressError::TooLarge { max }), "{codec:?}");
    }
}

#[test]
fn a_claimed_size_is_not_allocated() {
    let max = 1 << 30;
    let mut scratch = Scratch::new(max);
    // Snappy: 1 GiB claimed in 5 bytes.
    let snappy = [0x80, 0x80, 0x80, 0x80, 0x04];
    assert_eq!(scratch.decompress(Codec::Snappy, &snappy), Err(DecompressError::Corrupt(Codec::Snappy)));
    // LZ4: blocks of 4 MiB and 1 GiB of content claimed, one small block.
    let mut lz4 = vec![0x04, 0x22, 0x4d, 0x18, 0x68, 0x70];
    lz4.extend((1u64 << 30).to_le_bytes());
    lz4.push((xxhash_rust::xxh32::xxh32(&lz4[4..], 0) >> 8) as u8);
    lz4.extend([2, 0, 0, 0, 0x10, b'a', 0, 0, 0, 0]);
    assert_eq!(scratch.decompress(Codec::Lz4, &lz4), Err(DecompressError::Corrupt(Codec::Lz4)));
    // Zstandard: a frame header that declares 1 GiB in a single segment, then nothing.
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    zstd.extend((1u32 << 30).to_le_bytes());
    assert_eq!(scratch.decompress(Codec::Zstd, &zstd), Err(DecompressError::Corrupt(Codec::Zstd)));
    assert!(scratch.bytes.capacity() <= 64 * 1024, "{}", scratch.bytes.capacity());
}

#[test]
fn lz4_of_clients_before_message_format_1_is_read() {
    let mut frame = compressed(Codec::Lz4, b"once upon a time");
    // Their checksum covers the magic too.
    frame[6] = (xxhash_rust::xxh32::xxh32(&frame[..6], 0) >> 8) as u8;
    assert_eq!(decompressed(Codec::Lz4, &frame, MIB).unwrap(), b"once upon a time");
    frame[6] ^= 1;
    assert_eq!(decompressed(Codec::Lz4, &frame, MIB), Err(DecompressError::Corrupt(Codec::Lz4)));
}

/// Linked blocks and every checksum, as `lz4_flex` writes frames: our own encoder has neither.
#[test]
fn lz4_with_linked_blocks_and_checksums_is_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let input: Vec<u8> = (0..300_000u32).flat_map(|i| (i / 7 % 1000).to_le_bytes()).collect();
    let mut info = FrameInfo::new();
    info.block_mode = BlockMode::Linked;
    info.block_size = BlockSize::Max64KB;
    info.block_checksums = true;
    info.content_checksum = true;
    info.content_size = Some(input.len() as u64);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&input).unwrap();
    let frame = encoder.finish().unwrap();
    assert_eq!(decompressed(Codec::Lz4, &frame, 4 * MIB).unwrap(), input);
    let twice = [&frame[..], &frame].concat();
    assert_eq!(decompressed(Codec::Lz4, &twice, 4 * MIB).unwrap(), [&input[..], &input].concat());
    // A bit flipped anywhere is found, for everything is summed.
    for at in (0..frame.len()).step_by(997) {
        let mut flipped = frame.clone();
        flipped[at] ^= 4;
        assert!(decompressed(Codec::Lz4, &flipped, 4 * MIB).is_err(), "byte {at}");
    }
}

/// The checksum over all of the content, alone.
#[test]
fn lz4_content_that_differs_from_its_checksum_is_refused() {
    use lz4_flex::frame::{FrameEncoder, FrameInfo};
    use std::io::Write;
    let info = FrameInfo::new().content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(b"what is neither repeated nor compressed").unwrap();
    let mut frame = encoder.finish().unwrap();
    assert!(decompressed(Codec::Lz4, &frame, MIB).is_ok());
    // A letter, stored as it is.
    let letter = frame.iter().position(|byte| *byte == b'w').unwrap();
    frame[letter] = b'W';
    assert_eq!(decompressed(Codec::Lz4, &frame, MIB), Err(DecompressError::Corrupt(Codec::Lz4)));
}

#[test]
fn snappy_is_read_raw_and_in_java_framing() {
    let input = b"snappy snappy snappy snappy snappy".repeat(2000);
    let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert_eq!(decompressed(Codec::Snappy, &raw, MIB).unwrap(), input);
    let framed = compressed(Codec::Snappy, &input);
    assert!(framed.starts_with(b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"));
    assert_eq!(decompressed(Codec::Snappy, &framed, MIB).unwrap(), input);
    let twice = [&framed[..], &framed].concat();
    assert_eq!(decompressed(Codec::Snappy, &twice, MIB).unwrap().len(), 2 * input.len());
    assert!(decompressed(Codec::Snappy, &framed[..framed.len() - 1], MIB).is_err());
}

/// Frames without a declared size, whose output is far larger than a first guess, as streaming encoders write them.
#[test]
fn zstd_streams_of_any_ratio_are_read() {
    use std::io::Write;
    for len in [0, 1, 100, 20_000, 3 * MIB] {
        let input = vec![7; len];
        let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), 19).unwrap();
        encoder.write_all(&input).unwrap();
        let frame = encoder.finish().unwrap();
        assert_eq!(decompressed(Codec::Zstd, &frame, 4 * MIB).unwrap(), input);
        assert_eq!(
            decompressed(Codec::Zstd, &[&frame[..], &frame].concat(), 8 * MIB).unwrap().len(),
            2 * len
        );
    }
}

/// The first frame's size says nothing of those behind it.
#[test]
fn zstd_frames_behind_an_empty_one_are_read() {
    let empty = compressed(Codec::Zstd, b"");
    let full = compressed(Codec::Zstd, &[9; 100_000]);
    assert_eq!(decompressed(Codec::Zstd, &[&empty[..], &full].concat(), MIB).unwrap(), [9; 100_000]);
}

#[test]
fn memory_is_given_back_on_demand() {
    let mut scratch = Scratch::new(16 * MIB);
    scratch.decompress(Codec::None, &vec![1; 4 * MIB]).unwrap();
    scratch.shrink_to(MIB);
    assert!(scratch.bytes.capacity() <= MIB);
    assert_eq!(scratch.decompress(Codec::None, b"abc").unwrap(), b"abc");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn round_trip(inputs in vec(any_text(100_000), 1..4)) {
        let mut compressor = Compressor::new();
        let mut scratch = Scratch::new(100_000);
        for input in &inputs {
            for codec in Codec::ALL {
                let mut out = b"before".to_vec();
                compressor.compress(codec, input, &mut out);
                prop_assert_eq!(scratch.decompress(codec, &out[6..]), Ok(&input[..]), "{:?}", codec);
            }
        }
    }

    #[test]
    fn broken_input_is_refused_or_harmless(
        input in any_text(2000), codec in 1u8..5, cut: prop::sample::Index, flip: prop::sample::Index, bit in 0u8..8
    ) {
        let codec = Codec::from_number(codec).unwrap();
        let mut bytes = compressed(codec, &input);
        prop_assert!(input.is_empty() || decompressed(codec, &bytes[..cut.index(bytes.len())], MIB).as_deref() != Ok(&input[..]));
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(out) = decompressed(codec, &bytes, MIB) {
            prop_assert!(out.len() <= MIB);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_harmless(bytes in vec(any::<u8>(), 0..300), codec in 1u8..5) {
        if let Ok(out) = decompressed(Codec::from_number(codec).unwrap(), &bytes, 10_000) {
            prop_assert!(out.len() <= 10_000);
        }
    }
}
