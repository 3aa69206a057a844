//! Nothing is allocated per record: batches of 10 and of 1,000 records take the same number of allocations to write
//! and to read, and that is none once buffers are warm.

#![expect(clippy::disallowed_macros, reason = "allocations are counted on the test's thread")]

use millrace_record::{
    ArchivedBatchBuilder, Batch, BatchHeader, BatchMeta, Codec, Compressor, Encoding, HEADER_LEN, HeadersBuf,
    KafkaBatchBuilder, Scratch, convert,
    kafka::{Limits, Origin, validate_deep},
};
#[path = "../../tests/allocations/counting.rs"]
mod counting;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// How many allocations `work` takes.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = counting::of_this_thread().calls;
    work();
    counting::of_this_thread().calls - before
}

const ROOM: usize = 1 << 20;

struct Buffers {
    archived: ArchivedBatchBuilder,
    kafka: KafkaBatchBuilder,
    headers: HeadersBuf,
    compressor: Compressor,
    scratch: Scratch,
    /// An archived batch, header first. Builder and output exchange their memory, so each builder has its own.
    image: Vec<u8>,
    /// A kafka batch.
    payload: Vec<u8>,
}

impl Buffers {
    fn write_archived(&mut self, count: u32) -> BatchHeader {
        for index in 0..count {
            self.headers.clear();
            self.headers.push(b"name", Some(&index.to_le_bytes()));
            let key = u64::from(index).to_le_bytes();
            self.archived
                .push(1_000 + i64::from(index), Some(&key), Some(&[7; 100]), self.headers.as_headers())
                .expect("there is room");
        }
        self.archived.finish(&BatchMeta::PLAIN, &mut self.image).expect("there are records")
    }

    fn write_kafka(&mut self, count: u32, codec: Codec) -> BatchHeader {
        for index in 0..count {
            let key = u64::from(index).to_le_bytes();
            self.kafka
                .push(1_000 + i64::from(index), Some(&key), Some(&[7; 100]), self.headers.as_headers())
                .expect("there is room");
        }
        self.kafka
            .finish(&BatchMeta::PLAIN, codec, &mut self.compressor, &mut self.payload)
            .expect("there are records")
    }

    fn read(&mut self, header: BatchHeader, count: u32) {
        let payload = match header.encoding {
            Encoding::Archived => &self.image[HEADER_LEN..],
            Encoding::Kafka => &self.payload,
        };
        let batch = Batch::new(header, payload).expect("the payload is whole");
        let mut bytes = 0;
        let mut records = 0;
        for record in batch.records(&mut self.scratch).expect("the batch opens") {
            let record = record.expect("the record reads");
            records += 1;
            bytes += record.value.map_or(0, <[u8]>::len);
            bytes += record.headers.iter().filter_map(|header| header.value).map(<[u8]>::len).sum::<usize>();
        }
        assert_eq!((records, bytes), (count, count as usize * 104));
    }
}

fn main() {
    let mut buffers = Buffers {
        archived: ArchivedBatchBuilder::new(ROOM),
        kafka: KafkaBatchBuilder::new(ROOM),
        headers: HeadersBuf::new(),
        compressor: Compressor::new(),
        scratch: Scratch::new(ROOM),
        image: Vec::new(),
        payload: Vec::new(),
    };
    let mut converted = Vec::new();
    // The first rounds warm both of the buffers that a builder and its output exchange, the last is counted.
    for warm in [false, false, false, true] {
        for count in [1_000, 10] {
            let mut header = None;
            let written = allocations(|| header = Some(buffers.write_archived(count)));
            let header = header.expect("written");
            let read = allocations(|| buffers.read(header, count));
            converted.clear();
            let served = allocations(|| {
                let batch = Batch::new(header, &buffers.image[HEADER_LEN..]).expect("the payload is whole");
                batch.check().expect("the batch is sound");
                convert::to_kafka(&batch, &mut converted).expect("the batch converts");
            });
            assert_eq!(read, 0, "reading {count} archived records");
            assert!(!warm || written + served == 0, "{count} archived records: {written} + {served}");
            for codec in Codec::ALL {
                kafka_batch(&mut buffers, count, codec, warm);
            }
        }
    }
    println!("allocations: none per record, in both encodings and with every codec");
}

fn kafka_batch(buffers: &mut Buffers, count: u32, codec: Codec, warm: bool) {
    let mut header = None;
    let written = allocations(|| header = Some(buffers.write_kafka(count, codec)));
    let header = header.expect("written");
    let limits = Limits { batch_len_max: ROOM, origin: Origin::Producer };
    let checked = allocations(|| {
        validate_deep(&buffers.payload, &limits, &mut buffers.scratch).expect("the batch passes the door");
    });
    let read = allocations(|| buffers.read(header, count));
    // gzip's library allocates its state anew for each stream, whatever the number of records.
    let per_batch = if codec == Codec::Gzip { 8 } else { 0 };
    let most = written.max(checked).max(read);
    assert!(!warm || most <= per_batch, "{count} records, {codec:?}: {written}, {checked}, {read}");
}
