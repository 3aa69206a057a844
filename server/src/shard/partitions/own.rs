//! Partitions that hold records of the server's own: metadata, commits, groups.

use super::{PartitionError, Partitions};
use bytes::Bytes;
use millrace_record::{
    BatchMeta, Codec, Compressor, Headers, KafkaBatchBuilder, Offset, RecordView, Scratch, SharedBatch,
    TopicId,
};
use millrace_runtime::unix_millis;
use millrace_storage::{Isolation, ReadRequest};

/// Bytes read at a time when a partition of ours is read whole.
const REPLAY_BYTES: usize = 1 << 20;

/// The longest batch of records of ours, in bytes: they are bounded at the door, and this is what a batch can hold at all.
const OWN_BATCH_MAX: usize = 64 << 20;

impl Partitions {
    /// Appends records of ours as one batch; gives the first one's offset when they are durable.
    pub fn append_records(
        &self,
        topic: TopicId,
        partition: i32,
        records: &[(Bytes, Option<Bytes>)],
    ) -> impl Future<Output = Result<Offset, PartitionError>> + use<> {
        let batch = own_batch(records);
        let appending = batch.map(|batch| self.append(topic, partition, batch));
        async move { appending?.await.map(|appended| appended.base_offset) }
    }

    /// Hands every record of a partition to `each`, from its start to what is durable.
    ///
    /// # Errors
    /// That it can't be read, or what `each` gives.
    pub async fn for_each_record<E>(
        &self,
        topic: TopicId,
        partition: i32,
        mut each: E,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        E: FnMut(&RecordView<'_>) -> Result<(), Box<dyn std::error::Error>>,
    {
        let log = self.log(topic, partition)?;
        let mut scratch = Scratch::new(OWN_BATCH_MAX);
        let mut offset = log.start_offset();
        while offset < log.high_watermark() {
            let request = ReadRequest {
                offset,
                max_bytes: REPLAY_BYTES,
                at_least_one: true,
                isolation: Isolation::ReadUncommitted,
            };
            let read = log.read(&request).await?;
            for batch in &read.batches {
                for record in batch.as_batch().records(&mut scratch)? {
                    let record = record?;
                    if record.offset >= offset {
                        each(&record)?;
                    }
                }
                offset = offset.max(batch.header().next_offset());
            }
        }
        Ok(())
    }
}

/// Records of ours as a batch.
fn own_batch(records: &[(Bytes, Option<Bytes>)]) -> Result<SharedBatch, PartitionError> {
    let mut builder = KafkaBatchBuilder::new(OWN_BATCH_MAX);
    let now = unix_millis();
    for (key, value) in records {
        builder.push(now, Some(key), value.as_deref(), Headers::EMPTY)?;
    }
    let mut out = Vec::new();
    let header = builder.finish(&BatchMeta::PLAIN, Codec::None, &mut Compressor::new(), &mut out);
    let header = header.expect("we append at least one record");
    Ok(SharedBatch::new(header, Bytes::from(out)).expect("a batch just built is whole"))
}
