//! One record, borrowed from its batch, whichever the batch's encoding.

use crate::{
    error::RecordFault,
    ids::{Offset, Timestamp},
    varint,
};

/// A record in place: nothing is copied, everything borrows from the batch or from the scratch it was inflated into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its position in the partition.
    pub offset: Offset,
    /// Its timestamp: the producer's, or the batch's maximum where the log sets timestamps.
    pub timestamp: Timestamp,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name: UTF-8 by convention, which nobody checks. Names may repeat.
    pub key: &'a [u8],
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
}

/// A record's headers, in Kafka's own encoding, which both encodings of a batch share: a count, then for each header
/// the lengths and bytes of key and value. Checked when the view was made.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    /// Empty if there are no headers, else count and headers.
    block: &'a [u8],
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const EMPTY: Self = Self { block: &[] };

    /// The headers that `block` encodes, all of it.
    #[inline]
    pub(crate) fn parse(block: &'a [u8]) -> Result<Self, RecordFault> {
        if block == [0] { Ok(Self::EMPTY) } else { Self::parse_some(block) }
    }

    fn parse_some(block: &'a [u8]) -> Result<Self, RecordFault> {
        let mut rest = block;
        let count = varint::take_i32(&mut rest).ok_or(RecordFault::Headers)?;
        let count = u32::try_from(count).map_err(|_| RecordFault::Headers)?;
        // A count that the bytes cannot bear ends with them.
        for _ in 0..count {
            take_header(&mut rest).ok_or(RecordFault::Headers)?;
        }
        match (rest.is_empty(), count) {
            (false, _) => Err(RecordFault::Headers),
            (true, 0) => Ok(Self::EMPTY),
            (true, _) => Ok(Self { block }),
        }
    }

    /// The encoded block: empty if there are no headers.
    #[inline]
    pub(crate) const fn block(&self) -> &'a [u8] {
        self.block
    }

    /// Bytes that the block takes in Kafka's record, where no headers are one zero byte.
    #[inline]
    pub(crate) const fn kafka_len(&self) -> usize {
        if self.block.is_empty() { 1 } else { self.block.len() }
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().left
    }

    /// The headers in their order.
    #[must_use]
    pub fn iter(&self) -> HeaderIter<'a> {
        let mut rest = self.block;
        let left = varint::take_i32(&mut rest).map_or(0, |count| usize::try_from(count).unwrap_or(0));
        HeaderIter { rest, left }
    }

    /// The value of the last header of that name, which is the one that counts.
    #[must_use]
    pub fn last(&self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|header| header.key == key).last().map(|header| header.value)
    }
}

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

#[inline]
fn take_header<'a>(rest: &mut &'a [u8]) -> Option<Header<'a>> {
    let key_len = usize::try_from(varint::take_i32(rest)?).ok()?;
    let key = rest.split_off(..key_len)?;
    let value = match varint::take_i32(rest)? {
        -1 => None,
        len => Some(rest.split_off(..usize::try_from(len).ok()?)?),
    };
    Some(Header { key, value })
}

/// Iterates over a record's headers.
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        take_header(&mut self.rest)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

/// Headers under construction, for reuse from record to record.
#[derive(Debug, Clone, Default)]
pub struct HeadersBuf {
    /// Room for the longest count, then the headers.
    bytes: Vec<u8>,
    count: i32,
    start: usize,
}

impl HeadersBuf {
    /// No headers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all headers, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        self.start = 0;
    }

    /// Appends a header.
    ///
    /// # Panics
    /// If key or value, or all together, pass 2 GiB, which no record can hold.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> &mut Self {
        if self.count == 0 {
            self.bytes.resize(varint::I32_LEN_MAX, 0);
        }
        put_len(&mut self.bytes, key.len());
        self.bytes.extend_from_slice(key);
        match value {
            None => varint::put(&mut self.bytes, -1),
            Some(value) => {
                put_len(&mut self.bytes, value.len());
                self.bytes.extend_from_slice(value);
            }
        }
        self.count += 1;
        // The count lies right before the headers, in the room kept for its longest form.
        let mut count = varint::Short::<{ varint::I32_LEN_MAX.next_power_of_two() }>::new();
        count.number(i64::from(self.count));
        self.start = varint::I32_LEN_MAX - count.as_slice().len();
        self.bytes[self.start..varint::I32_LEN_MAX].copy_from_slice(count.as_slice());
        assert!(i32::try_from(self.bytes.len()).is_ok(), "headers of one record pass 2 GiB");
        self
    }

    /// The headers so far.
    #[must_use]
    pub fn as_headers(&self) -> Headers<'_> {
        Headers { block: &self.bytes[self.start..] }
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    varint::put(out, i64::from(i32::try_from(len).expect("a header's key and value are shorter than 2 GiB")));
}

#[cfg(test)]
mod tests;
