//! The LZ4 frame format, read and written here over the block codec of `lz4_flex`: blocks land in the output
//! directly, without the two block buffers (up to 8 MiB) that a frame's descriptor would have a reader allocate.
//!
//! Format: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>.

use super::{DecompressError, Output};
use crate::header::Codec;
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict};
use xxhash_rust::xxh32::xxh32;

const MAGIC: [u8; 4] = 0x184d_2204u32.to_le_bytes();
/// A block's length with this bit is that of bytes stored as they are.
const STORED: u32 = 1 << 31;
/// How far back a linked block may refer, in bytes.
const WINDOW_LEN: usize = 64 * 1024;
/// A run's length grows by 255 for each byte of input: no block inflates more. Tiny blocks get some room besides.
const RATIO_MAX: usize = 255;

const CORRUPT: DecompressError = DecompressError::Corrupt(Codec::Lz4);

/// What the frame descriptor says.
struct Descriptor {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_len: Option<u64>,
    block_len_max: usize,
}

impl Descriptor {
    const VERSION: u8 = 0b0100_0000;
    const VERSION_MASK: u8 = 0b1100_0000;
    const INDEPENDENT: u8 = 1 << 5;
    const BLOCK_CHECKSUMS: u8 = 1 << 4;
    const CONTENT_LEN: u8 = 1 << 3;
    const CONTENT_CHECKSUM: u8 = 1 << 2;
    const RESERVED: u8 = 1 << 1;
    const DICTIONARY: u8 = 1;

    /// Takes magic and descriptor off the front of `rest`.
    fn take(rest: &mut &[u8]) -> Option<Self> {
        let frame = *rest;
        if *rest.split_off(..MAGIC.len())? != MAGIC {
            return None;
        }
        let (flags, block) = match rest.split_off(..2)? {
            [flags, block] => (*flags, *block),
            _ => return None,
        };
        // No client has a dictionary to agree upon with the others.
        if flags & Self::VERSION_MASK != Self::VERSION || flags & (Self::RESERVED | Self::DICTIONARY) != 0 {
            return None;
        }
        let content_len = match flags & Self::CONTENT_LEN {
            0 => None,
            _ => Some(u64::from_le_bytes(*rest.split_off(..8)?.first_chunk()?)),
        };
        let block_len_max = match block {
            0x40 => 64 * 1024,
            0x50 => 256 * 1024,
            0x60 => 1024 * 1024,
            0x70 => 4 * 1024 * 1024,
            _ => return None,
        };
        let descriptor_end = frame.len() - rest.len();
        let checksum = *rest.split_off_first()?;
        // Clients of the time of message format 0 summed up the magic as well (KAFKA-3160).
        if checksum != header_checksum(&frame[MAGIC.len()..descriptor_end])
            && checksum != header_checksum(&frame[..descriptor_end])
        {
            return None;
        }
        Some(Self {
            linked: flags & Self::INDEPENDENT == 0,
            block_checksums: flags & Self::BLOCK_CHECKSUMS != 0,
            content_checksum: flags & Self::CONTENT_CHECKSUM != 0,
            content_len,
            block_len_max,
        })
    }
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    (xxh32(descriptor, 0) >> 8) as u8
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, DecompressError> {
    let bytes = rest.split_off(..4).and_then(|bytes| bytes.first_chunk()).ok_or(CORRUPT)?;
    Ok(u32::from_le_bytes(*bytes))
}

pub(super) fn decompress(input: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
    let mut rest = input;
    loop {
        decompress_frame(&mut rest, out)?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

fn decompress_frame(rest: &mut &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
    let descriptor = Descriptor::take(rest).ok_or(CORRUPT)?;
    let start = out.filled;
    loop {
        let word = take_u32(rest)?;
        if word == 0 {
            break;
        }
        let block = rest.split_off(..(word & !STORED) as usize).ok_or(CORRUPT)?;
        if descriptor.block_checksums && take_u32(rest)? != xxh32(block, 0) {
            return Err(CORRUPT);
        }
        if word & STORED == 0 {
            decompress_block(&descriptor, start, block, out)?;
        } else if block.len() > descriptor.block_len_max {
            return Err(CORRUPT);
        } else {
            out.append(block)?;
        }
    }
    let content = &out.bytes[start..out.filled];
    if descriptor.content_checksum && take_u32(rest)? != xxh32(content, 0) {
        return Err(CORRUPT);
    }
    match descriptor.content_len {
        Some(len) if len != content.len() as u64 => Err(CORRUPT),
        _ => Ok(()),
    }
}

fn decompress_block(
    descriptor: &Descriptor,
    start: usize,
    block: &[u8],
    out: &mut Output<'_>,
) -> Result<(), DecompressError> {
    let wanted =
        descriptor.block_len_max.min(block.len().saturating_mul(RATIO_MAX).saturating_add(RATIO_MAX));
    let room_len = wanted.min(out.admitted());
    out.reserve(room_len)?;
    let (filled, room) = out.split();
    let room = &mut room[..room_len];
    let decompressed = if descriptor.linked {
        let window = &filled[start.max(filled.len().saturating_sub(WINDOW_LEN))..];
        decompress_into_with_dict(block, room, window)
    } else {
        decompress_into(block, room)
    };
    match decompressed {
        Ok(len) => {
            out.filled += len;
            Ok(())
        }
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room_len < wanted => {
            Err(DecompressError::TooLarge { max: out.len_max })
        }
        Err(_) => Err(CORRUPT),
    }
}

/// Input bytes per block, as Kafka's Java client has it.
const BLOCK_LEN: usize = 64 * 1024;
/// Version 1, independent blocks of at most 64 KiB, no checksums beside the descriptor's own.
const FLAGS: [u8; 2] = [Descriptor::VERSION | Descriptor::INDEPENDENT, 0x40];

#[derive(Default)]
pub(super) struct Encoder(Option<CompressTable>);

impl Encoder {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let table = self.0.get_or_insert_with(CompressTable::large);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FLAGS);
        out.push(header_checksum(&FLAGS));
        for block in input.chunks(BLOCK_LEN) {
            let at = out.len();
            out.resize(at + 4 + lz4_flex::block::get_maximum_output_size(block.len()), 0);
            let compressed = compress_into_with_table(block, &mut out[at + 4..], table)
                .expect("the output has room for the worst case");
            let (word, len) = if compressed < block.len() {
                (compressed as u32, compressed)
            } else {
                out[at + 4..at + 4 + block.len()].copy_from_slice(block);
                (block.len() as u32 | STORED, block.len())
            };
            out[at..at + 4].copy_from_slice(&word.to_le_bytes());
            out.truncate(at + 4 + len);
        }
        out.extend_from_slice(&0u32.to_le_bytes());
    }
}
