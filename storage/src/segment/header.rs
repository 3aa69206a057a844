//! The first block of a segment file: which log it belongs to, and from where.

use crate::{
    epochs::{EpochStart, EpochTable},
    key::{LogKey, LogKind},
};
use bytes::{Buf, BufMut};
use millrace_record::{Offset, TopicId, checksum::crc32c};
use millrace_runtime::BLOCK_SIZE;

/// Length of the header: the segment's first block. Batches start behind it.
pub(crate) const SEGMENT_HEADER_LEN: u64 = BLOCK_SIZE as u64;
const MAGIC: [u8; 8] = *b"MILLSEGM";
const VERSION: u32 = 1;
/// Length of the fields that are used, without epochs and checksum.
const FIXED_LEN: usize = 72;
const CHECKSUM_AT: usize = BLOCK_SIZE - 4;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The data directories' common id.
    pub(crate) store: [u8; 16],
    pub(crate) key: LogKey,
    /// Offset of the first batch; also the file's name.
    pub(crate) base: Offset,
    /// The log's leader epochs as the segment was begun: for tools that rebuild what a checkpoint held.
    pub(crate) epochs: EpochTable,
}

/// Why a block is no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SegmentHeaderError {
    /// Fewer bytes than a block.
    #[error("a segment header has {BLOCK_SIZE} bytes, here are {0}")]
    Truncated(usize),
    /// The block was never written, or is something else.
    #[error("no segment starts here")]
    Magic,
    /// The bytes are not those that were written.
    #[error("segment header checksum is {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// What the header says.
        stored: u32,
        /// What its bytes sum up to.
        computed: u32,
    },
    /// A later release wrote it.
    #[error("segment version {0} was written by a later release; this one reads version {VERSION}")]
    Version(u32),
    /// A field has a value that no release writes.
    #[error("segment header field `{0}` has a value that is never written")]
    Field(&'static str),
}

impl SegmentHeader {
    /// The header's bytes, into a block of zeros.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        let mut out = &mut block[..CHECKSUM_AT];
        out.put_slice(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(BLOCK_SIZE as u32);
        out.put_slice(&self.store);
        out.put_slice(self.key.topic.as_bytes());
        out.put_i32_le(self.key.partition);
        out.put_u32_le(self.key.kind as u32);
        out.put_i64_le(self.base);
        out.put_u32_le(0);
        out.put_u32_le(self.epochs.len() as u32);
        for start in self.epochs.iter() {
            start.encode(&mut out);
        }
        let checksum = crc32c(&block[..CHECKSUM_AT]);
        block[CHECKSUM_AT..BLOCK_SIZE].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The header at the start of `bytes`.
    ///
    /// # Errors
    /// [`SegmentHeaderError`], in this order: too short, wrong magic, wrong checksum, unknown version, impossible field.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SegmentHeaderError> {
        let Some((block, mut stored)) = bytes.get(..BLOCK_SIZE).map(|block| block.split_at(CHECKSUM_AT))
        else {
            return Err(SegmentHeaderError::Truncated(bytes.len()));
        };
        let mut fields = block;
        if !fields.starts_with(&MAGIC) {
            return Err(SegmentHeaderError::Magic);
        }
        fields.advance(MAGIC.len());
        let (stored, computed) = (stored.get_u32_le(), crc32c(block));
        if stored != computed {
            return Err(SegmentHeaderError::Checksum { stored, computed });
        }
        let version = fields.get_u32_le();
        if version != VERSION {
            return Err(SegmentHeaderError::Version(version));
        }
        if fields.get_u32_le() as usize != BLOCK_SIZE {
            return Err(SegmentHeaderError::Field("block size"));
        }
        let (mut store, mut topic) = ([0; 16], [0; 16]);
        fields.copy_to_slice(&mut store);
        fields.copy_to_slice(&mut topic);
        let partition = fields.get_i32_le();
        let kind = u8::try_from(fields.get_u32_le()).ok().and_then(LogKind::from_number);
        let kind = kind.ok_or(SegmentHeaderError::Field("kind"))?;
        let base = fields.get_i64_le();
        let reserved = fields.get_u32_le();
        let count = fields.get_u32_le() as usize;
        if partition < 0 || base < 0 || reserved != 0 {
            return Err(SegmentHeaderError::Field("partition, base or reserved"));
        }
        if count > (CHECKSUM_AT - FIXED_LEN) / EpochStart::LEN {
            return Err(SegmentHeaderError::Field("epoch count"));
        }
        let starts = (0..count).map_while(|_| EpochStart::decode(&mut fields).ok()).collect();
        let epochs = EpochTable::from_starts(starts).ok_or(SegmentHeaderError::Field("epochs"))?;
        if fields.iter().any(|&byte| byte != 0) {
            return Err(SegmentHeaderError::Field("reserved"));
        }
        let key = LogKey { topic: TopicId::from_bytes(topic), partition, kind };
        Ok(Self { store, key, base, epochs })
    }
}

const _: () = assert!(FIXED_LEN + crate::epochs::EPOCHS_MAX * EpochStart::LEN <= CHECKSUM_AT);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn encoded(header: &SegmentHeader) -> Vec<u8> {
        let mut block = vec![0; BLOCK_SIZE];
        header.encode(&mut block);
        block
    }

    fn sample() -> SegmentHeader {
        let epochs = vec![EpochStart { epoch: 0, start: 0 }, EpochStart { epoch: 3, start: 77 }];
        SegmentHeader {
            store: [1; 16],
            key: LogKey::staged(TopicId::from_bytes([2; 16]), 5),
            base: 0x0102,
            epochs: EpochTable::from_starts(epochs).unwrap(),
        }
    }

    /// The layout, byte by byte, as docs/formats.md has it.
    #[test]
    fn layout_is_fixed() {
        let block = encoded(&sample());
        assert_eq!(&block[..8], b"MILLSEGM");
        assert_eq!(block[8..16], [1, 0, 0, 0, 0, 16, 0, 0]);
        assert_eq!((&block[16..32], &block[32..48]), (&[1; 16][..], &[2; 16][..]));
        assert_eq!(block[48..64], [5, 0, 0, 0, 2, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(block[64..72], [0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(block[84..96], [3, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]);
        assert!(block[96..4092].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let block = encoded(&sample());
        for bit in 0..BLOCK_SIZE * 8 {
            let mut flipped = block.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = SegmentHeader::decode(&flipped).unwrap_err();
            assert!(
                matches!(error, SegmentHeaderError::Magic | SegmentHeaderError::Checksum { .. }),
                "bit {bit}"
            );
        }
    }

    proptest! {
        #[test]
        fn round_trips(store: [u8; 16], topic: [u8; 16], partition in 0..=i32::MAX, staged: bool, base in 0..=i64::MAX, starts in vec((0i32..9, 0i64..99), 0..64)) {
            let (mut epoch, mut start) = (-1, -1);
            let starts = starts.into_iter().map(|(rise, grown)| {
                epoch += 1 + rise;
                start += 1 + grown;
                EpochStart { epoch, start }
            });
            let epochs = EpochTable::from_starts(starts.collect()).unwrap();
            let key = LogKey { topic: TopicId::from_bytes(topic), partition, kind: if staged { LogKind::Staged } else { LogKind::Data } };
            let header = SegmentHeader { store, key, base, epochs };
            prop_assert_eq!(SegmentHeader::decode(&encoded(&header)), Ok(header));
        }

        #[test]
        fn any_bytes_are_refused_or_encode_to_themselves(mut block in vec(any::<u8>(), BLOCK_SIZE), mend in 0usize..100) {
            if mend < 80 {
                block[..8].copy_from_slice(&MAGIC);
                block[8..16].copy_from_slice(&[1, 0, 0, 0, 0, 16, 0, 0]);
                block[mend..].fill(0);
                let checksum = crc32c(&block[..CHECKSUM_AT]);
                block[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
            }
            if let Ok(header) = SegmentHeader::decode(&block) {
                prop_assert_eq!(encoded(&header), block);
            }
        }
    }
}
