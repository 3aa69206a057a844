//! The records of a batch of message format 2, read in place.

use crate::{
    error::{BatchError, RecordFault},
    header::{BatchHeader, TimestampType},
    ids::{Offset, Timestamp},
    varint,
    view::{Headers, RecordView},
};

/// Length, attributes, timestamp and offset deltas, key and value lengths and header count, a byte each.
pub(crate) const RECORD_LEN_MIN: usize = 7;

/// Iterates over the records of a batch in Kafka's encoding. Any bytes are safe to iterate over: the first fault is
/// the last item.
#[derive(Debug, Clone)]
pub struct KafkaRecords<'a> {
    rest: &'a [u8],
    index: u32,
    count: u32,
    /// The least offset delta that the next record may have.
    delta_min: i64,
    delta_max: i64,
    base_offset: Offset,
    base_timestamp: Timestamp,
    append_time: Option<Timestamp>,
}

impl<'a> KafkaRecords<'a> {
    /// Over `records`, the uncompressed bytes behind Kafka's header, of the batch that `header` describes.
    pub(crate) fn new(header: &BatchHeader, records: &'a [u8]) -> Self {
        Self {
            rest: records,
            index: 0,
            count: header.record_count,
            delta_min: 0,
            delta_max: i64::from(header.last_offset_delta),
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: match header.attributes.timestamp_type() {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(header.max_timestamp),
            },
        }
    }

    #[inline]
    fn take(&mut self) -> Result<RecordView<'a>, RecordFault> {
        let len = varint::take_i32(&mut self.rest).ok_or(RecordFault::Truncated)?;
        let len = usize::try_from(len).map_err(|_| RecordFault::Length)?;
        let mut body = self.rest.split_off(..len).ok_or(RecordFault::Truncated)?;
        // The attributes of a record have no meaning yet.
        body.split_off_first().ok_or(RecordFault::Length)?;
        let timestamp_delta = varint::take_i64(&mut body).ok_or(RecordFault::Length)?;
        let offset_delta = i64::from(varint::take_i32(&mut body).ok_or(RecordFault::Length)?);
        if offset_delta < self.delta_min || offset_delta > self.delta_max {
            return Err(RecordFault::OffsetDelta);
        }
        self.delta_min = offset_delta + 1;
        let key = take_bytes(&mut body)?;
        let value = take_bytes(&mut body)?;
        let headers = Headers::parse(body)?;
        Ok(RecordView {
            offset: self.base_offset.wrapping_add(offset_delta),
            timestamp: match self.append_time {
                None => self.base_timestamp.wrapping_add(timestamp_delta),
                Some(append_time) => append_time,
            },
            key,
            value,
            headers,
        })
    }
}

#[inline]
fn take_bytes<'a>(body: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordFault> {
    match varint::take_i32(body).ok_or(RecordFault::Length)? {
        -1 => Ok(None),
        len => {
            let len = usize::try_from(len).map_err(|_| RecordFault::NegativeLength)?;
            body.split_off(..len).ok_or(RecordFault::Length).map(Some)
        }
    }
}

impl<'a> Iterator for KafkaRecords<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            if self.rest.is_empty() {
                return None;
            }
            self.rest = &[];
            return Some(Err(BatchError::Trailing));
        }
        let index = self.index;
        self.index += 1;
        match self.take() {
            Ok(record) => Some(Ok(record)),
            Err(fault) => {
                self.count = self.index;
                self.rest = &[];
                Some(Err(BatchError::Record { index, fault }))
            }
        }
    }
}

impl std::iter::FusedIterator for KafkaRecords<'_> {}
