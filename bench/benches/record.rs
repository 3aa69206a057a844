//! Batches of both encodings: write, check at the door, iterate. Criterion reports time per batch, and "elements per
//! second" are records. 16 B keys, 100 B values, 1,000 records a batch, as in docs/decisions/0002-record.md.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use millrace_record::{
    ArchivedBatch, ArchivedBatchBuilder, Assignment, Batch, BatchError, BatchHeader, BatchMeta, Codec,
    Compressor, HEADER_LEN, Headers, KafkaBatchBuilder, RecordView, Scratch, convert,
    kafka::{Limits, Origin, validate, validate_deep},
};
use std::hint::black_box;

const RECORDS: u32 = 1_000;
const ROOM: usize = 1 << 20;
const VALUE_LEN: usize = 100;

/// Keys that differ, values that compress about as text does.
fn record(index: u32) -> ([u8; 16], [u8; VALUE_LEN]) {
    let mut key = [b'k'; 16];
    key[..4].copy_from_slice(&index.to_le_bytes());
    let mut value = [b'v'; VALUE_LEN];
    for (at, byte) in value.iter_mut().enumerate().step_by(3) {
        *byte = (index.wrapping_mul(2_654_435_761) >> (at % 24)) as u8;
    }
    (key, value)
}

fn write_archived(
    builder: &mut ArchivedBatchBuilder,
    input: &[([u8; 16], [u8; VALUE_LEN])],
    out: &mut Vec<u8>,
) {
    out.clear();
    for (timestamp, (key, value)) in (1_700_000_000_000..).zip(input) {
        builder.push(timestamp, Some(key), Some(value), Headers::EMPTY).expect("there is room");
    }
    builder.finish(&BatchMeta::PLAIN, out).expect("there are records");
}

fn write_kafka(
    builder: &mut KafkaBatchBuilder,
    compressor: &mut Compressor,
    codec: Codec,
    input: &[([u8; 16], [u8; VALUE_LEN])],
    out: &mut Vec<u8>,
) -> BatchHeader {
    for (timestamp, (key, value)) in (1_700_000_000_000..).zip(input) {
        builder.push(timestamp, Some(key), Some(value), Headers::EMPTY).expect("there is room");
    }
    builder.finish(&BatchMeta::PLAIN, codec, compressor, out).expect("there are records")
}

/// What a consumer touches of a record: time, lengths and a byte of each.
fn touch(record: &RecordView<'_>) -> u64 {
    let first = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| bytes.len() as u64 + u64::from(bytes[0]));
    record.timestamp as u64 + first(record.key) + first(record.value)
}

fn iterate(batch: &Batch<'_>, scratch: &mut Scratch) -> u64 {
    let mut sum = 0;
    for record in batch.records(scratch).expect("the batch opens") {
        sum += touch(&record.expect("the record reads"));
    }
    sum
}

fn visit(batch: &Batch<'_>, scratch: &mut Scratch) -> u64 {
    let mut sum = 0;
    let visited: Result<(), BatchError> = batch.visit(scratch, |record| {
        sum += touch(&record);
        Ok(())
    });
    visited.expect("the records read");
    sum
}

fn archived(criterion: &mut Criterion) {
    let input: Vec<_> = (0..RECORDS).map(record).collect();
    let mut builder = ArchivedBatchBuilder::new(ROOM);
    let mut out = Vec::new();
    let mut group = criterion.benchmark_group("archived");
    group.throughput(Throughput::Elements(u64::from(RECORDS)));
    group.bench_function("write", |bencher| {
        bencher.iter(|| write_archived(&mut builder, black_box(&input), &mut out));
    });
    let (batch, _) = Batch::split_first(&out).expect("the batch is whole");
    let mut scratch = Scratch::new(0);
    group.bench_function("iterate", |bencher| bencher.iter(|| iterate(black_box(&batch), &mut scratch)));
    group.bench_function("visit", |bencher| bencher.iter(|| visit(black_box(&batch), &mut scratch)));
    group.bench_function("check ends", |bencher| {
        let opened = ArchivedBatch::open(batch.header(), batch.payload()).expect("the batch opens");
        bencher.iter(|| black_box(&opened).check());
    });
    group.bench_function("check with checksum", |bencher| bencher.iter(|| black_box(&batch).check()));
    let mut served = Vec::new();
    group.bench_function("convert to kafka", |bencher| {
        bencher.iter(|| {
            served.clear();
            convert::to_kafka(black_box(&batch), &mut served)
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("archived, per batch");
    group.bench_function("open", |bencher| {
        bencher.iter(|| ArchivedBatch::open(black_box(batch.header()), black_box(batch.payload())));
    });
    group.finish();
}

fn kafka(criterion: &mut Criterion) {
    let input: Vec<_> = (0..RECORDS).map(record).collect();
    let mut builder = KafkaBatchBuilder::new(ROOM);
    let mut compressor = Compressor::new();
    let mut scratch = Scratch::new(ROOM);
    let limits = Limits { batch_len_max: ROOM, origin: Origin::Producer };
    for codec in Codec::ALL {
        let mut out = Vec::new();
        let mut group = criterion.benchmark_group(format!("kafka, {}", codec.name()));
        group.throughput(Throughput::Elements(u64::from(RECORDS)));
        group.bench_function("write", |bencher| {
            bencher.iter(|| write_kafka(&mut builder, &mut compressor, codec, black_box(&input), &mut out));
        });
        let header = write_kafka(&mut builder, &mut compressor, codec, &input, &mut out);
        group.bench_function("validate", |bencher| bencher.iter(|| validate(black_box(&out), &limits)));
        if codec != Codec::None {
            group.bench_function("validate, records too", |bencher| {
                bencher.iter(|| validate_deep(black_box(&out), &limits, &mut scratch));
            });
        }
        let batch = Batch::new(header, &out).expect("the payload is whole");
        group.bench_function("iterate", |bencher| bencher.iter(|| iterate(black_box(&batch), &mut scratch)));
        if codec == Codec::None {
            group.bench_function("convert to archived", |bencher| {
                let mut builder = ArchivedBatchBuilder::new(ROOM);
                let mut image = Vec::new();
                bencher
                    .iter(|| convert::to_archived(black_box(&batch), &mut scratch, &mut builder, &mut image));
            });
        }
        group.finish();
    }
}

fn header(criterion: &mut Criterion) {
    let mut image = Vec::new();
    let input: Vec<_> = (0..10).map(record).collect();
    write_archived(&mut ArchivedBatchBuilder::new(ROOM), &input, &mut image);
    let header = BatchHeader::unpack(&image).expect("the header is whole");
    let mut group = criterion.benchmark_group("header, per batch");
    group.bench_function("pack", |bencher| bencher.iter(|| black_box(&header).pack()));
    group.bench_function("unpack", |bencher| {
        bencher.iter(|| BatchHeader::unpack(black_box(&image[..HEADER_LEN])));
    });
    let given = Assignment { base_offset: 1 << 40, leader_epoch: 7, append_time: None };
    group.bench_function("assign in place", |bencher| {
        bencher.iter_batched_ref(
            || image.clone(),
            |image| given.apply_in_place(image),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, archived, kafka, header);
criterion_main!(benches);
