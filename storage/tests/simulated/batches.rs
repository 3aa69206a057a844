//! Batches for tests, each with contents of its own.

use millrace_record::{
    ArchivedBatchBuilder, Batch, BatchHeader, BatchMeta, Codec, Compressor, HEADER_LEN, Headers,
    KafkaBatchBuilder, Timestamp,
};

/// A batch to append.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) header: BatchHeader,
    pub(crate) payload: Vec<u8>,
}

/// What a sample is made from.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Makes the contents unlike all others.
    pub(crate) id: u64,
    pub(crate) records: u32,
    /// Bytes of each value.
    pub(crate) value_len: usize,
    /// Of the first record; each further one is a millisecond older, so that time runs backwards within the batch.
    pub(crate) timestamp: Timestamp,
    /// `None` for the archived encoding.
    pub(crate) codec: Option<Codec>,
    pub(crate) meta: BatchMeta,
}

impl Shape {
    pub(crate) fn plain(id: u64, value_len: usize) -> Self {
        Self {
            id,
            records: 1,
            value_len,
            timestamp: 1_000_000 + id as i64,
            codec: None,
            meta: BatchMeta::PLAIN,
        }
    }

    fn value(&self, record: u32) -> Vec<u8> {
        let mut value = vec![(self.id as u8) ^ (record as u8); self.value_len.max(8)];
        value[..8].copy_from_slice(&self.id.to_le_bytes());
        value
    }

    pub(crate) fn build(&self) -> Sample {
        match self.codec {
            None => self.archived(),
            Some(codec) => self.kafka(codec),
        }
    }

    fn archived(&self) -> Sample {
        let mut builder = ArchivedBatchBuilder::new(1 << 28);
        for record in 0..self.records {
            let timestamp = self.timestamp - i64::from(record);
            builder.push(timestamp, Some(b"key"), Some(&self.value(record)), Headers::EMPTY).unwrap();
        }
        let mut image = Vec::new();
        let header = builder.finish(&self.meta, &mut image).unwrap();
        Sample { header, payload: image.split_off(HEADER_LEN) }
    }

    fn kafka(&self, codec: Codec) -> Sample {
        let mut builder = KafkaBatchBuilder::new(1 << 28);
        for record in 0..self.records {
            let timestamp = self.timestamp - i64::from(record);
            builder.push(timestamp, Some(b"key"), Some(&self.value(record)), Headers::EMPTY).unwrap();
        }
        let mut payload = Vec::new();
        let header = builder.finish(&self.meta, codec, &mut Compressor::new(), &mut payload).unwrap();
        Sample { header, payload }
    }
}

impl Sample {
    pub(crate) fn as_batch(&self) -> Batch<'_> {
        Batch::new(self.header, &self.payload).unwrap()
    }
}
