//! Several batches behind each other, as Produce and Fetch carry them.

use crate::{
    error::BatchError,
    kafka::fields::{LENGTH_MIN, OVERHEAD_LEN},
};

/// Cuts a record set into batches by their length fields, and looks at nothing else.
///
/// Yields an error where the set ends within a batch: [`BatchError::Truncated`] is then the last item. In a Fetch
/// response that is no fault: brokers cut the set where their limit is.
#[derive(Debug, Clone)]
pub struct RecordSet<'a> {
    rest: &'a [u8],
}

impl<'a> RecordSet<'a> {
    /// Over the bytes of a set.
    #[must_use]
    pub const fn new(set: &'a [u8]) -> Self {
        Self { rest: set }
    }

    /// What is left behind the batches taken so far.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self) -> Result<&'a [u8], BatchError> {
        let have = self.rest.len();
        let Some(length) = self.rest.get(8..OVERHEAD_LEN).and_then(|bytes| bytes.first_chunk()) else {
            return Err(BatchError::Truncated { need: OVERHEAD_LEN, have });
        };
        let length = i32::from_be_bytes(*length);
        if length < LENGTH_MIN {
            return Err(BatchError::Length(length));
        }
        let need = length as usize + OVERHEAD_LEN;
        self.rest.split_off(..need).ok_or(BatchError::Truncated { need, have })
    }
}

impl<'a> Iterator for RecordSet<'a> {
    type Item = Result<&'a [u8], BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = self.take();
        if batch.is_err() {
            self.rest = &[];
        }
        Some(batch)
    }
}

impl std::iter::FusedIterator for RecordSet<'_> {}
