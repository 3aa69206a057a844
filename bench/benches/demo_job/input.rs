//! The flights as records: the year over and over, each pass that much later, with the keys and lines of the demo's producers.

use bytes::Bytes;
use millrace::demo::{
    data::{FLIGHTS, Flights, YEAR_MIN},
    flight::{write_end, write_key, write_value},
    job::BOUND_MIN,
};
use millrace_net::client::partitioner::partition_of_key;
use millrace_record::{
    ArchivedBatchBuilder, BatchMeta, Codec, Compressor, Headers, KafkaBatchBuilder, PushError, SharedBatch,
};
use millrace_runtime::unix_millis;

pub(crate) const YEARS: i32 = 5;
const BATCH_BYTES: usize = 64 << 10;

/// How many records there are: the flights, and one in each partition behind them that closes the last windows.
pub(crate) fn events(flights: &Flights) -> u64 {
    assert_eq!(flights.lines().len(), FLIGHTS);
    YEARS as u64 * FLIGHTS as u64 + u64::from(super::PARTITIONS)
}

/// Hands over every record: partition, key and value.
fn each(flights: &Flights, mut push: impl FnMut(usize, &[u8], &[u8])) {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for year in 0..YEARS {
        for line in flights.lines() {
            key.clear();
            value.clear();
            let text = flights.text(line);
            write_key(text, &mut key);
            write_value(text, line.scheduled_min, year * YEAR_MIN, &mut value);
            push(partition_of_key(&key, super::PARTITIONS) as usize, &key, &value);
        }
    }
    let end = YEARS * YEAR_MIN + flights.span_min().end + BOUND_MIN as i32 + 120;
    value.clear();
    write_end(end, &mut value);
    for partition in 0..super::PARTITIONS as usize {
        push(partition, &[], &value);
    }
}

/// Archived batches, by partition, with their offsets.
pub(crate) fn archived(flights: &Flights) -> Vec<Vec<SharedBatch>> {
    struct Partition {
        builder: ArchivedBatchBuilder,
        batches: Vec<SharedBatch>,
        offset: i64,
    }
    impl Partition {
        fn finish(&mut self) {
            let mut image = Vec::new();
            self.builder.finish(&BatchMeta::PLAIN, &mut image).unwrap();
            let batch = SharedBatch::from_image(&image.into()).unwrap();
            let mut header = *batch.header();
            header.base_offset = self.offset;
            self.offset = header.next_offset();
            self.batches.push(SharedBatch::new(header, batch.payload().clone()).unwrap());
        }
    }
    let new = || Partition { builder: ArchivedBatchBuilder::new(1 << 20), batches: Vec::new(), offset: 0 };
    let mut partitions: Vec<Partition> = (0..super::PARTITIONS).map(|_| new()).collect();
    let now = unix_millis();
    each(flights, |partition, key, value| {
        let partition = &mut partitions[partition];
        partition.builder.push(now, Some(key), Some(value), Headers::EMPTY).unwrap();
        if partition.builder.kafka_len() > BATCH_BYTES {
            partition.finish();
        }
    });
    let finished = partitions.into_iter().map(|mut partition| {
        partition.finish();
        partition.batches
    });
    finished.collect()
}

/// Batches as producers send them, by partition.
pub(crate) fn kafka(flights: &Flights) -> Vec<Vec<Bytes>> {
    fn finish(builder: &mut KafkaBatchBuilder) -> Bytes {
        let mut batch = Vec::new();
        builder.finish(&BatchMeta::PLAIN, Codec::None, &mut Compressor::new(), &mut batch).unwrap();
        batch.into()
    }
    let new = || (KafkaBatchBuilder::new(BATCH_BYTES), Vec::new());
    let mut partitions: Vec<(KafkaBatchBuilder, Vec<Bytes>)> =
        (0..super::PARTITIONS).map(|_| new()).collect();
    let now = unix_millis();
    each(flights, |partition, key, value| {
        let (builder, batches) = &mut partitions[partition];
        let push =
            |builder: &mut KafkaBatchBuilder| builder.push(now, Some(key), Some(value), Headers::EMPTY);
        match push(builder) {
            Err(PushError::Full) => {
                batches.push(finish(builder));
                push(builder).unwrap();
            }
            pushed => pushed.unwrap(),
        }
    });
    let finished = partitions.into_iter().map(|(mut builder, mut batches)| {
        batches.push(finish(&mut builder));
        batches
    });
    finished.collect()
}
