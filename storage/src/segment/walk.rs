//! Walking over the batches of a segment's bytes.

use millrace_record::{BatchHeader, HEADER_LEN, HeaderError, PADDING, Start, header};
use millrace_runtime::BLOCK_SIZE;

/// Why a segment's bytes can't be walked further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WalkError {
    /// Nothing is written here, though the segment goes on behind.
    #[error("space that was never written")]
    Unwritten,
    /// Neither a batch nor padding starts here.
    #[error("neither a batch nor padding (first byte {0:#04x})")]
    Unknown(u8),
    /// Padding that does not reach the end of its block.
    #[error("broken padding")]
    Padding,
    /// A batch header that is none.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// What the walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A batch that is wholly here, and where it starts in the bytes.
    Batch(usize, BatchHeader),
    /// A batch that goes on behind the bytes: its start, and how many bytes it needs from there (at least).
    Partial { start: usize, need: usize },
}

/// Walks from batch to batch.
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    /// Where `bytes` starts in its segment: padding goes up to the segment's blocks.
    base: u64,
    at: usize,
}

impl<'a> Walk<'a> {
    /// Walks over `bytes`, which start at position `base` of their segment, from the batch or padding at `at`.
    pub(crate) const fn new(bytes: &'a [u8], base: u64, at: usize) -> Self {
        Self { bytes, base, at }
    }

    /// The next batch; `None` at the end of the bytes.
    ///
    /// # Errors
    /// [`WalkError`], at [`Walk::at`].
    pub(crate) fn step(&mut self) -> Result<Option<Step>, WalkError> {
        loop {
            let Some(&first) = self.bytes.get(self.at) else { return Ok(None) };
            match Start::of(first) {
                Start::Batch => return self.batch().map(Some),
                Start::Padding => self.skip_padding()?,
                Start::Unwritten => return Err(WalkError::Unwritten),
                Start::Unknown(other) => return Err(WalkError::Unknown(other)),
            }
        }
    }

    /// Where the walk stands in the bytes.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    fn batch(&mut self) -> Result<Step, WalkError> {
        let start = self.at;
        let rest = &self.bytes[start..];
        if rest.len() < HEADER_LEN {
            return Ok(Step::Partial { start, need: HEADER_LEN });
        }
        let header = BatchHeader::unpack(rest)?;
        let need = header.total_len();
        if rest.len() < need {
            return Ok(Step::Partial { start, need });
        }
        self.at += need;
        Ok(Step::Batch(start, header))
    }

    fn skip_padding(&mut self) -> Result<(), WalkError> {
        let len = header::padding_len(self.base + self.at as u64, BLOCK_SIZE as u64) as usize;
        let end = (self.at + len).min(self.bytes.len());
        if len == 0 || !header::is_padding(&self.bytes[self.at..end]) {
            return Err(WalkError::Padding);
        }
        self.at = end;
        Ok(())
    }
}

/// Fills the rest of a block.
pub(crate) fn pad(bytes: &mut [u8]) {
    bytes.fill(PADDING);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use proptest::{collection::vec, prelude::*};

    /// Batches of these value lengths with padding behind some, and where they start.
    fn image(batches: &[(usize, bool)]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for (offset, &(len, padded)) in batches.iter().enumerate() {
            let (header, payload) = sample::archived(offset as i64, &[&vec![1; len]]);
            starts.push(bytes.len());
            bytes.extend(header.pack());
            bytes.extend(payload);
            if padded {
                bytes.resize(bytes.len().next_multiple_of(BLOCK_SIZE), PADDING);
            }
        }
        (bytes, starts)
    }

    proptest! {
        #[test]
        fn every_batch_is_found(batches in vec((0usize..6000, any::<bool>()), 0..12), cut in 0usize..9000) {
            let (bytes, starts) = image(&batches);
            let bytes = &bytes[..bytes.len().saturating_sub(cut)];
            let mut walk = Walk::new(bytes, BLOCK_SIZE as u64, 0);
            for (at, start) in starts.iter().enumerate() {
                match walk.step().unwrap() {
                    Some(Step::Batch(found, header)) => {
                        prop_assert_eq!((found, header.base_offset), (*start, at as i64));
                    }
                    Some(Step::Partial { start: found, need }) => {
                        prop_assert_eq!(found, *start);
                        prop_assert!(need > bytes.len() - start);
                        return Ok(());
                    }
                    None => {
                        prop_assert!(bytes.len() <= *start);
                        return Ok(());
                    }
                }
            }
            prop_assert_eq!(walk.step(), Ok(None));
        }

        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in vec(any::<u8>(), 0..300), base in 0u64..9000) {
            let mut walk = Walk::new(&bytes, base, 0);
            while let Ok(Some(Step::Batch(..))) = walk.step() {}
        }
    }

    #[test]
    fn what_is_neither_batch_nor_padding_is_named() {
        let (mut bytes, starts) = image(&[(100, true), (10, false)]);
        let walked = |bytes: &[u8]| {
            let mut walk = Walk::new(bytes, 0, 0);
            walk.step().unwrap();
            walk.step()
        };
        bytes[starts[1]] = 0;
        assert_eq!(walked(&bytes), Err(WalkError::Unwritten));
        bytes[starts[1]] = 7;
        assert_eq!(walked(&bytes), Err(WalkError::Unknown(7)));
        bytes[starts[1]] = PADDING;
        assert_eq!(walked(&bytes), Err(WalkError::Padding), "padding starts no block");
        bytes[starts[1] - 1] = 0;
        assert_eq!(walked(&bytes), Err(WalkError::Padding));
    }
}
