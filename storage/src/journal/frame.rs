//! The journal's unit of writing: what one sync makes durable.
//!
//! ```text
//! | header 104 B | entries, with batch headers | payloads of the appends, in order | zeros to the block |
//! |<---------- frame checksum ------------->|  |<- each under its batch's own checksum ->|
//! ```
//!
//! The frame's checksum covers the headers of what it holds; payloads have their own, so every byte is summed once.
//! A frame is *whole* when all of them are right.

use super::entry::{Body, Entry, EntryError};
use bytes::{Buf, BufMut};
use millrace_record::{
    Batch,
    checksum::{crc32c, crc32c_append},
};
use millrace_runtime::BLOCK_SIZE;

/// The longest frame, in bytes: what is written and synced at once. Twice the size gains little on any device, and the
/// smallest appends wait for the largest frame.
pub(crate) const FRAME_LEN_MAX: usize = 256 * 1024;
/// Length of a frame's header, in bytes.
pub(crate) const FRAME_HEADER_LEN: usize = 104;
/// The first bytes of every frame.
const MAGIC: [u8; 4] = *b"MJRN";
/// The version written, and the only one read.
const VERSION: u8 = 1;
/// Flag: a clean stop; nothing but a second such frame follows.
const CLOSING: u8 = 1;
/// Where the checksum lies; it covers the header before it and the entries.
const CHECKSUM_AT: usize = 100;
/// Zeros before the checksum, for fields to come.
const RESERVED_LEN: usize = 12;

/// What a frame says of itself and of its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Random, new whenever a file is taken into use: frames left in the file by its last use have another.
    pub(crate) run: [u8; 16],
    /// Which journal.
    pub(crate) journal: [u8; 16],
    /// How many starts of the whole server came before this journal's. A later start has taken all that is in earlier
    /// journals into the segments.
    pub(crate) generation: u64,
    /// The frame's number in its journal, from 1, without gaps over all files.
    pub(crate) sequence: u64,
    /// The highest sequence known to be durable when this frame was submitted.
    pub(crate) durable_through: u64,
    /// The lowest sequence that recovery still needs.
    pub(crate) live_from: u64,
    /// Checksum of the frame before this one in the journal; 0 for the first.
    pub(crate) previous: u32,
    /// Where the frame lies in its file, in blocks.
    pub(crate) block: u32,
    /// Length of the entries, in bytes.
    pub(crate) entries_len: u32,
    /// Length of the payloads behind them, in bytes.
    pub(crate) payloads_len: u32,
    /// Whether this frame says that the journal was closed.
    pub(crate) closing: bool,
}

/// Why bytes are no whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Too few bytes, or fewer than the header says.
    #[error("the file ends within a frame")]
    Truncated,
    /// No frame starts here.
    #[error("no frame starts here")]
    Magic,
    /// The bytes are not those that were written.
    #[error("frame checksum is {stored:#010x}, computed {computed:#010x}")]
    Checksum {
        /// What the frame says.
        stored: u32,
        /// What its bytes sum up to.
        computed: u32,
    },
    /// A later release wrote it.
    #[error("journal version {0} was written by a later release; this one reads version {VERSION}")]
    Version(u8),
    /// A field has a value that no release writes.
    #[error("frame field `{0}` has a value that is never written")]
    Field(&'static str),
    /// An entry in it is none.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A payload's bytes are not those that were written.
    #[error("payload of the batch at offset {0} of a frame is damaged")]
    Payload(i64),
}

impl FrameHeader {
    /// Length of the whole frame without the zeros at its end, in bytes.
    pub(crate) const fn used_len(&self) -> usize {
        FRAME_HEADER_LEN + self.entries_len as usize + self.payloads_len as usize
    }

    /// Length of the whole frame, in bytes: whole blocks.
    pub(crate) const fn padded_len(&self) -> usize {
        self.used_len().next_multiple_of(BLOCK_SIZE)
    }

    /// Writes the header before the entries that already stand in `frame` behind it, and returns the checksum.
    pub(crate) fn seal(&self, frame: &mut [u8]) -> u32 {
        let mut out = &mut frame[..FRAME_HEADER_LEN];
        out.put_slice(&MAGIC);
        out.put_u8(VERSION);
        out.put_u8(if self.closing { CLOSING } else { 0 });
        out.put_u16_le(0);
        out.put_slice(&self.run);
        out.put_slice(&self.journal);
        out.put_u64_le(self.generation);
        out.put_u64_le(self.sequence);
        out.put_u64_le(self.durable_through);
        out.put_u64_le(self.live_from);
        out.put_u32_le(self.previous);
        out.put_u32_le(self.block);
        out.put_u32_le(self.entries_len);
        out.put_u32_le(self.payloads_len);
        out.put_bytes(0, RESERVED_LEN);
        out.put_u32_le(0);
        debug_assert!(out.is_empty(), "the header's fields fill it");
        let checksum = self.checksum(frame);
        frame[CHECKSUM_AT..FRAME_HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
        checksum
    }

    fn checksum(&self, frame: &[u8]) -> u32 {
        let entries = &frame[FRAME_HEADER_LEN..FRAME_HEADER_LEN + self.entries_len as usize];
        crc32c_append(crc32c(&frame[..CHECKSUM_AT]), entries)
    }

    /// The fields of a header, none of them checked against the checksum.
    fn read(bytes: &[u8]) -> Option<(u8, u8, Self, u32)> {
        let mut bytes = bytes.get(..FRAME_HEADER_LEN)?;
        if bytes[..4] != MAGIC {
            return None;
        }
        bytes.advance(4);
        let (version, flags) = (bytes.get_u8(), bytes.get_u8());
        bytes.advance(2);
        let (mut run, mut journal) = ([0; 16], [0; 16]);
        bytes.copy_to_slice(&mut run);
        bytes.copy_to_slice(&mut journal);
        let header = Self {
            run,
            journal,
            generation: bytes.get_u64_le(),
            sequence: bytes.get_u64_le(),
            durable_through: bytes.get_u64_le(),
            live_from: bytes.get_u64_le(),
            previous: bytes.get_u32_le(),
            block: bytes.get_u32_le(),
            entries_len: bytes.get_u32_le(),
            payloads_len: bytes.get_u32_le(),
            closing: flags & CLOSING != 0,
        };
        bytes.advance(RESERVED_LEN);
        Some((version, flags, header, bytes.get_u32_le()))
    }
}

/// A whole frame, borrowed from the bytes of its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    pub(crate) checksum: u32,
    entries: &'a [u8],
    payloads: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, which may go on behind it. Everything is checked, payloads too.
    ///
    /// # Errors
    /// [`FrameError`]. Nothing is allocated beyond the length of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let Some((version, flags, header, stored)) = FrameHeader::read(bytes) else {
            return Err(if bytes.len() < FRAME_HEADER_LEN {
                FrameError::Truncated
            } else {
                FrameError::Magic
            });
        };
        let used = header.used_len();
        if used > FRAME_LEN_MAX || bytes.len() < used {
            return Err(FrameError::Truncated);
        }
        let computed = header.checksum(bytes);
        if stored != computed {
            return Err(FrameError::Checksum { stored, computed });
        }
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if flags & !CLOSING != 0
            || bytes[6..8] != [0; 2]
            || bytes[CHECKSUM_AT - RESERVED_LEN..CHECKSUM_AT] != [0; RESERVED_LEN]
        {
            return Err(FrameError::Field("reserved"));
        }
        if header.sequence == 0 || header.durable_through >= header.sequence {
            return Err(FrameError::Field("sequence"));
        }
        if header.live_from == 0 || header.live_from > header.sequence {
            return Err(FrameError::Field("live_from"));
        }
        let (entries, payloads) = bytes[FRAME_HEADER_LEN..used].split_at(header.entries_len as usize);
        let frame = Self { header, checksum: stored, entries, payloads };
        let mut payloads_len = 0;
        for item in frame.entries() {
            let (entry, payload) = item?;
            payloads_len += payload.len();
            if let Body::Append { header, .. } = &entry.body
                && Batch::new(*header, payload).and_then(|batch| batch.check()).is_err()
            {
                return Err(FrameError::Payload(header.base_offset));
            }
        }
        if payloads_len != payloads.len() {
            return Err(FrameError::Field("payloads_len"));
        }
        Ok(frame)
    }

    /// Makes a header's magic and checksum right, so that a fuzz target gets to what lies behind them.
    pub(crate) fn mend(bytes: &mut [u8]) {
        let Some(magic) = bytes.get_mut(..MAGIC.len()) else { return };
        magic.copy_from_slice(&MAGIC);
        let Some((_, _, header, _)) = FrameHeader::read(bytes) else { return };
        if header.entries_len as usize <= bytes.len() - FRAME_HEADER_LEN {
            let checksum = header.checksum(bytes);
            bytes[CHECKSUM_AT..FRAME_HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());
        }
    }

    /// The entries in order, each with the payload that the frame holds for it: empty but for appends.
    pub(crate) fn entries(&self) -> Entries<'a> {
        Entries { entries: self.entries, payloads: self.payloads }
    }
}

/// Iterates over a frame's entries; ends after the first error.
pub(crate) struct Entries<'a> {
    entries: &'a [u8],
    payloads: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(Entry, &'a [u8]), EntryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.entries.is_empty() {
            return None;
        }
        let item = Entry::decode(&mut self.entries).and_then(|entry| {
            let payload = self.payloads.split_off(..entry.payload_len()).ok_or(EntryError::Truncated)?;
            Ok((entry, payload))
        });
        if item.is_err() {
            self.entries = &[];
        }
        Some(item)
    }
}

#[cfg(test)]
pub(crate) mod tests;
