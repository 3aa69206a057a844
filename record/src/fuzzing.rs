//! The doors as pure functions, for fuzz targets and property tests: any bytes in, no panic, bounded memory.

use crate::{
    ArchivedBatchBuilder, Batch, BatchHeader, Compressor, ControlRecord, Encoding, HEADER_LEN,
    KafkaBatchBuilder, Scratch, convert,
    header::{Attributes, Codec},
    kafka::{self, Limits, Origin, RecordSet},
    message_set,
};

/// What any of these may inflate or build, in bytes.
const LEN_MAX: usize = 1 << 20;

/// A batch header off the disk.
pub fn header(bytes: &[u8]) {
    if let Ok(header) = BatchHeader::unpack(bytes) {
        assert_eq!(header.pack(), bytes[..HEADER_LEN]);
    }
}

/// A record set from a producer, or from another broker's log.
pub fn kafka_batches(bytes: &[u8]) {
    let mut scratch = Scratch::new(LEN_MAX);
    for batch in RecordSet::new(bytes).flatten() {
        for origin in [Origin::Producer, Origin::Log] {
            let limits = Limits { batch_len_max: LEN_MAX, origin };
            let Ok(info) = kafka::validate(batch, &limits) else { continue };
            let deep = kafka::validate_deep(batch, &limits, &mut scratch);
            let view = Batch::new(info.header, batch).expect("the door has measured the batch");
            let read =
                view.records(&mut scratch).and_then(|mut records| records.try_for_each(|r| r.map(drop)));
            assert!(read.is_ok() || deep.is_err(), "a batch that passed the deeper door reads");
            read_and_convert(&view);
        }
    }
}

/// As [`kafka_batches`], but with the checksum mended, so that what lies behind it is reached.
pub fn kafka_batch_behind_its_checksum(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= kafka::KAFKA_HEADER_LEN {
        let length = (bytes.len() - 12) as u32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = kafka::FORMAT as u8;
        let crc = crate::checksum::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    kafka_batches(&bytes);
}

/// A batch off the disk, header first.
pub fn stored_batch(bytes: &[u8]) {
    if let Ok((batch, _)) = Batch::split_first(bytes) {
        read_and_convert(&batch);
    }
}

/// As [`stored_batch`], but with the header's checksum mended, so that what lies behind it is reached.
pub fn stored_batch_behind_its_checksum(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if let Some((header, _)) = bytes.split_first_chunk_mut::<HEADER_LEN>() {
        let checksum = crate::checksum::crc32c(&header[..HEADER_LEN - 4]);
        header[HEADER_LEN - 4..].copy_from_slice(&checksum.to_le_bytes());
    }
    stored_batch(&bytes);
}

/// An archived payload whose header claims what it likes: the first bytes say what.
pub fn archived_payload(bytes: &[u8]) {
    let Some((claims, payload)) = bytes.split_first_chunk::<3>() else { return };
    let header = BatchHeader {
        encoding: Encoding::Archived,
        codec: Codec::None,
        attributes: Attributes::from_bits(claims[0]).unwrap_or_default(),
        last_offset_delta: u32::from(claims[1]),
        record_count: u32::from(claims[2]),
        payload_len: payload.len() as u32,
        payload_checksum: crate::checksum::crc32c(payload),
        ..crate::BatchMeta::PLAIN.header(Encoding::Archived, Codec::None)
    };
    let batch = Batch::new(header, payload).expect("the payload is as long as it is");
    read_and_convert(&batch);
    if batch.check().is_ok() {
        let mut scratch = Scratch::new(0);
        let records = batch.records(&mut scratch).expect("a batch that passed the door opens");
        assert_eq!(records.map(Result::unwrap).count(), header.record_count as usize);
    }
}

/// A message set of format 0 or 1 from a producer.
pub fn message_set(bytes: &[u8]) {
    let mut out = Vec::new();
    let mut builder = KafkaBatchBuilder::new(LEN_MAX);
    let mut scratch = Scratch::new(LEN_MAX);
    let turned = message_set::to_batch(bytes, &mut scratch, &mut builder, &mut Compressor::new(), &mut out);
    if let Ok((header, has_null_key)) = turned {
        let limits = Limits { batch_len_max: 2 * LEN_MAX, origin: Origin::Producer };
        let info = kafka::validate_deep(&out, &limits, &mut scratch).expect("what is built passes the door");
        assert_eq!((info.header.record_count, info.has_null_key), (header.record_count, Some(has_null_key)));
    } else {
        assert!(out.is_empty(), "a refused set leaves nothing behind");
    }
}

/// Compressed bytes: the first says with which codec.
pub fn compressed(bytes: &[u8]) {
    let Some((codec, input)) = bytes.split_first() else { return };
    if let Some(codec) = Codec::from_number(codec % 5)
        && let Ok(output) = Scratch::new(LEN_MAX).decompress(codec, input)
    {
        assert!(output.len() <= LEN_MAX);
    }
}

fn read_and_convert(batch: &Batch<'_>) {
    let mut scratch = Scratch::new(LEN_MAX);
    let mut out = Vec::new();
    if let Ok(records) = batch.records(&mut scratch) {
        for record in records.flatten() {
            assert_eq!(record.headers.iter().count(), record.headers.len());
            std::hint::black_box(ControlRecord::parse(&record)).ok();
        }
    }
    let mut builder = ArchivedBatchBuilder::new(LEN_MAX);
    let archived = convert::to_archived(batch, &mut scratch, &mut builder, &mut out);
    if let Ok(Some(header)) = archived {
        let copy = Batch::new(header, &out[HEADER_LEN..]).expect("what is built is whole");
        copy.check().expect("what is built passes the door");
        let mut kafka = Vec::new();
        convert::to_kafka(&copy, &mut kafka).expect("what is built converts");
    }
    if batch.header().encoding == Encoding::Archived {
        let converted = convert::to_kafka(batch, &mut Vec::new());
        assert!(converted.is_err() || batch.header().kafka_len as usize >= kafka::KAFKA_HEADER_LEN);
    }
}

#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
pub(crate) mod seeds;
#[cfg(test)]
mod tests;
