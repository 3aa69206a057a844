//! A batch as a reader sees it: header and payload, and one iterator over the records of either encoding.

use crate::{
    archived::{ArchivedBatch, ArchivedRecords},
    checksum::crc32c,
    compression::Scratch,
    error::BatchError,
    header::{BatchHeader, Codec, Encoding, HEADER_LEN},
    kafka::{
        KAFKA_HEADER_LEN, KafkaRecords,
        fields::{CHECKED_START, Fields},
    },
    view::RecordView,
};
use bytes::Bytes;

/// A batch, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    header: BatchHeader,
    payload: &'a [u8],
}

impl<'a> Batch<'a> {
    /// A batch of this header and payload.
    ///
    /// # Errors
    /// [`BatchError::Truncated`] or [`BatchError::Mismatch`] if the payload has not the length that the header says.
    #[inline]
    pub fn new(header: BatchHeader, payload: &'a [u8]) -> Result<Self, BatchError> {
        let need = header.payload_len as usize;
        if payload.len() < need {
            return Err(BatchError::Truncated { need, have: payload.len() });
        }
        if payload.len() > need || (header.encoding == Encoding::Kafka && need < KAFKA_HEADER_LEN) {
            return Err(BatchError::Mismatch("payload_len"));
        }
        Ok(Self { header, payload })
    }

    /// The batch at the front of `bytes`, header first, and what is behind it. The header is checked, the payload is
    /// not: see [`Batch::check`].
    ///
    /// # Errors
    /// [`BatchError::Header`], or [`BatchError::Truncated`] if the bytes end within the batch.
    pub fn split_first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BatchError> {
        let header = BatchHeader::unpack(bytes)?;
        let (batch, rest) = bytes
            .split_at_checked(header.total_len())
            .ok_or(BatchError::Truncated { need: header.total_len(), have: bytes.len() })?;
        Ok((Self::new(header, &batch[HEADER_LEN..])?, rest))
    }

    /// What the log knows of it.
    #[inline]
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Its payload.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The door for batches from disk: checks that the payload is the one that was written, and whole.
    ///
    /// # Errors
    /// [`BatchError`] with what differs.
    pub fn check(&self) -> Result<(), BatchError> {
        match self.header.encoding {
            Encoding::Archived => {
                self.check_crc(self.payload)?;
                ArchivedBatch::open(&self.header, self.payload)?.check()
            }
            Encoding::Kafka => {
                self.check_crc(&self.payload[CHECKED_START..])?;
                self.check_copies()
            }
        }
    }

    fn check_crc(&self, checked: &[u8]) -> Result<(), BatchError> {
        let (stored, computed) = (self.header.payload_checksum, crc32c(checked));
        if stored == computed { Ok(()) } else { Err(BatchError::Checksum { stored, computed }) }
    }

    /// Kafka's header repeats ours. Its first 21 bytes lie outside the CRC and are compared; the others are equal
    /// unless a bug made them differ.
    fn check_copies(&self) -> Result<(), BatchError> {
        let fields = Fields::parse(self.payload)?;
        let expected = Fields::of(&self.header);
        // The largest timestamp is the log's own finding where a producer's claim was wrong.
        let same = Fields { max_timestamp: expected.max_timestamp, ..fields } == expected;
        if same { Ok(()) } else { Err(BatchError::Mismatch("kafka header")) }
    }

    /// The records, in the order of their offsets. Compressed ones are inflated into `scratch`, which they borrow.
    ///
    /// Any batch is safe to iterate over, checked or not: a fault is the last item.
    ///
    /// # Errors
    /// [`BatchError`] if the payload's columns are not found, or its records do not decompress.
    #[inline]
    pub fn records<'s>(&self, scratch: &'s mut Scratch) -> Result<Records<'s>, BatchError>
    where
        'a: 's,
    {
        match (self.header.encoding, self.header.codec) {
            (Encoding::Archived, _) => {
                Ok(Records(Inner::Archived(ArchivedBatch::open(&self.header, self.payload)?.records())))
            }
            (Encoding::Kafka, Codec::None) => Ok(self.kafka_records(&self.payload[KAFKA_HEADER_LEN..])),
            (Encoding::Kafka, codec) => {
                let records = scratch.decompress(codec, &self.payload[KAFKA_HEADER_LEN..])?;
                Ok(self.kafka_records(records))
            }
        }
    }

    /// Calls `visit` with each record, in the order of their offsets, until it fails. A loop over an archived
    /// batch takes half of the time of a `for` loop over [`Batch::records`], which chooses the encoding for each record.
    ///
    /// # Errors
    /// `visit`'s own, or the batch's as in [`Batch::records`].
    #[inline]
    pub fn visit<'s, E, F>(&self, scratch: &'s mut Scratch, mut visit: F) -> Result<(), E>
    where
        'a: 's,
        E: From<BatchError>,
        F: FnMut(RecordView<'s>) -> Result<(), E>,
    {
        match self.records(scratch)?.0 {
            Inner::Archived(mut records) => records.try_for_each(|record| visit(record?)),
            Inner::Kafka(mut records) => records.try_for_each(|record| visit(record?)),
        }
    }

    fn kafka_records<'s>(&self, records: &'s [u8]) -> Records<'s> {
        Records(Inner::Kafka(KafkaRecords::new(&self.header, records)))
    }
}

/// Iterates over the records of a batch, whatever its encoding.
#[derive(Debug, Clone)]
pub struct Records<'a>(Inner<'a>);

#[derive(Debug, Clone)]
enum Inner<'a> {
    Archived(ArchivedRecords<'a>),
    Kafka(KafkaRecords<'a>),
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Archived(records) => records.next(),
            Inner::Kafka(records) => records.next(),
        }
    }

    /// One loop per encoding: `for_each` and its like choose once per batch instead of once per record.
    #[inline]
    fn fold<B, F>(self, init: B, f: F) -> B
    where
        F: FnMut(B, Self::Item) -> B,
    {
        match self.0 {
            Inner::Archived(records) => records.fold(init, f),
            Inner::Kafka(records) => records.fold(init, f),
        }
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// A batch that travels: its payload is reference-counted and crosses cores without a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedBatch {
    header: BatchHeader,
    payload: Bytes,
}

impl SharedBatch {
    /// A batch of this header and payload.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn new(header: BatchHeader, payload: Bytes) -> Result<Self, BatchError> {
        Batch::new(header, &payload)?;
        Ok(Self { header, payload })
    }

    /// The batch at the front of `bytes`, header first. The payload is a slice of the same memory.
    ///
    /// # Errors
    /// As [`Batch::split_first`].
    pub fn from_image(bytes: &Bytes) -> Result<Self, BatchError> {
        let (batch, _) = Batch::split_first(bytes)?;
        Ok(Self { header: batch.header, payload: bytes.slice_ref(batch.payload) })
    }

    /// What the log knows of it.
    #[inline]
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Its payload.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The batch, borrowed.
    #[inline]
    #[must_use]
    pub fn as_batch(&self) -> Batch<'_> {
        Batch { header: self.header, payload: &self.payload }
    }
}

#[cfg(test)]
mod tests;
