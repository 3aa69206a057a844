//! What the log gives a batch when it appends it: offset, leader epoch, and the time where the topic asks for it.

use crate::{
    batch::Batch,
    error::BatchError,
    header::{Attributes, BatchHeader, Encoding, HEADER_LEN},
    ids::{LeaderEpoch, Offset, Timestamp},
    kafka::fields,
};

/// The log's part of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Epoch of the leader that appends.
    pub leader_epoch: LeaderEpoch,
    /// The time of the append, for topics whose timestamps are the log's; else none, and the producer's stay.
    pub append_time: Option<Timestamp>,
}

impl Assignment {
    /// Writes offset and epoch into `header`, and into `payload` where it is Kafka's, whose copies of them lie outside
    /// its checksum. The rest of the payload is untouched, except for the append time of a kafka batch: Kafka has it
    /// within the checksum, so that this batch is summed a second time.
    ///
    /// # Errors
    /// [`BatchError::Mismatch`] if the payload has not the length that the header says, [`BatchError::Header`] if the
    /// offset is negative or passes the last that there is. Nothing is written then.
    pub fn apply(&self, header: &mut BatchHeader, payload: &mut [u8]) -> Result<(), BatchError> {
        Batch::new(*header, payload)?;
        let mut assigned = *header;
        assigned.base_offset = self.base_offset;
        assigned.leader_epoch = self.leader_epoch;
        if let Some(append_time) = self.append_time {
            assigned.attributes = header.attributes.with(Attributes::LOG_APPEND_TIME);
            assigned.max_timestamp = append_time;
        }
        assigned.check_fields()?;
        if header.encoding == Encoding::Kafka {
            fields::set_offset_and_epoch(payload, self.base_offset, self.leader_epoch);
            if let Some(append_time) = self.append_time {
                assigned.payload_checksum = fields::set_append_time(payload, append_time);
            }
        }
        *header = assigned;
        Ok(())
    }

    /// As [`Assignment::apply`], for a header and payload behind each other, as segments hold them; the image may go
    /// on behind the batch. Returns the header as it now stands.
    ///
    /// # Errors
    /// As [`Assignment::apply`], and [`BatchError::Header`] or [`BatchError::Truncated`] if the
    /// image is no whole batch.
    pub fn apply_in_place(&self, image: &mut [u8]) -> Result<BatchHeader, BatchError> {
        let mut header = BatchHeader::unpack(image)?;
        let have = image.len();
        let image = image
            .get_mut(..header.total_len())
            .ok_or(BatchError::Truncated { need: header.total_len(), have })?;
        let (head, payload) = image.split_at_mut(HEADER_LEN);
        self.apply(&mut header, payload)?;
        head.copy_from_slice(&header.pack());
        Ok(header)
    }
}

#[cfg(test)]
mod tests;
