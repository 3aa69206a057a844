//! Records as tests write them, and what tests compare.

use crate::{
    Batch, BatchError, BatchHeader, BatchMeta, Codec, Compressor, HeadersBuf, KafkaBatchBuilder, RecordView,
    Scratch,
    archived::ArchivedBatchBuilder,
    header::{Attributes, HEADER_LEN},
};
use proptest::{collection::vec, option, prelude::*};

/// Larger than any batch of these tests.
pub(crate) const ROOM: usize = 1 << 20;

/// A record that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Record {
    pub(crate) fn new(offset: i64, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        Self { offset, timestamp, key, value, headers: Vec::new() }
    }

    pub(crate) fn headers(&self) -> HeadersBuf {
        let mut buf = HeadersBuf::new();
        for (key, value) in &self.headers {
            buf.push(key, value.as_deref());
        }
        buf
    }
}

impl From<RecordView<'_>> for Record {
    fn from(view: RecordView<'_>) -> Self {
        Self {
            headers: view.headers.iter().map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect(),
            ..Self::new(view.offset, view.timestamp, view.key, view.value)
        }
    }
}

/// The records of a batch, or its first fault.
pub(crate) fn read(batch: &Batch<'_>) -> Result<Vec<Record>, BatchError> {
    batch.records(&mut Scratch::new(ROOM))?.map(|record| record.map(Record::from)).collect()
}

/// Records of offsets 0, 1, 2 and so on, with everything that may be missing missing at times.
pub(crate) fn any_records(len_max: usize) -> impl Strategy<Value = Vec<Record>> {
    let bytes = |len_max| option::of(vec(any::<u8>(), 0..len_max));
    let headers = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((vec(97u8..123, 1..6), option::of(vec(any::<u8>(), 0..80))), 1..4),
    ];
    let timestamp = prop_oneof![Just(-1), 1_700_000_000_000i64..1_700_000_100_000, any::<i64>()];
    vec((timestamp, bytes(20), bytes(200), headers), 1..=len_max).prop_map(|records| {
        let record =
            |(offset, (timestamp, key, value, headers))| Record { offset, timestamp, key, value, headers };
        (0..).zip(records).map(record).collect()
    })
}

/// Some flags, a producer, a schema.
pub(crate) fn any_meta() -> impl Strategy<Value = BatchMeta> {
    (any::<bool>(), 0i64..i64::MAX, 0i16..i16::MAX, 0..i32::MAX).prop_map(|(plain, id, epoch, sequence)| {
        if plain {
            return BatchMeta::PLAIN;
        }
        BatchMeta {
            attributes: Attributes::TRANSACTIONAL,
            producer_id: id,
            producer_epoch: epoch,
            base_sequence: sequence,
            schema_id: 0,
        }
    })
}

/// The records as a kafka batch.
pub(crate) fn kafka(records: &[Record], meta: &BatchMeta, codec: Codec) -> (BatchHeader, Vec<u8>) {
    let mut builder = KafkaBatchBuilder::new(ROOM);
    for record in records {
        builder
            .push(
                record.timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                record.headers().as_headers(),
            )
            .unwrap();
    }
    let len = builder.len();
    let mut out = Vec::new();
    let header = builder.finish(meta, codec, &mut Compressor::new(), &mut out).unwrap();
    assert!(codec != Codec::None || len == out.len());
    (header, out)
}

/// The records as an archived batch, header first, at their offsets.
pub(crate) fn archived(records: &[Record], meta: &BatchMeta) -> (BatchHeader, Vec<u8>) {
    let mut builder = ArchivedBatchBuilder::new(ROOM);
    let mut out = Vec::new();
    for record in records {
        let (key, value, headers) = (record.key.as_deref(), record.value.as_deref(), record.headers());
        builder.push_at(record.offset as u32, record.timestamp, key, value, headers.as_headers()).unwrap();
    }
    let header = builder.finish(meta, &mut out).unwrap();
    assert_eq!(header.total_len(), out.len());
    assert_eq!(out[..HEADER_LEN], header.pack());
    (header, out)
}
