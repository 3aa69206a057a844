//! Memory under a counting allocator: what a peer declares never becomes memory, and records are not copied.

#![expect(
    clippy::disallowed_macros,
    reason = "the test harness allocates on threads of its own, which must not be counted"
)]

use bytes::Bytes;
use millrace_net::{
    fuzzing,
    kafka::{
        ApiKey, Response, encode_request, encode_response,
        fetch::{FetchResponse, FetchableTopicResponse, PartitionData},
        parse_request,
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    },
    wire::{RecordSet, Writer},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
};

struct Counting;

mod counters {
    use std::cell::Cell;

    thread_local! {
        /// Bytes that this thread allocated and did not free: negative if it freed what others allocated.
        pub(super) static LIVE: Cell<isize> = const { Cell::new(0) };
        pub(super) static PEAK: Cell<isize> = const { Cell::new(0) };
        pub(super) static CALLS: Cell<usize> = const { Cell::new(0) };
    }
}
use counters::{CALLS, LIVE, PEAK};

// SAFETY: every call goes to the system's allocator unchanged; the counters beside it allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size() as isize);
        PEAK.set(PEAK.get().max(LIVE.get()));
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `dealloc`, and `alloc` is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that `run` held at a time, in bytes, and how often it allocated.
fn allocated<T>(run: impl FnOnce() -> T) -> (usize, usize) {
    let (live, calls) = (LIVE.get(), CALLS.get());
    PEAK.set(live);
    drop(black_box(run()));
    ((PEAK.get() - live).unsigned_abs(), CALLS.get() - calls)
}

/// Counts and lengths as large as each encoding can say them.
const CLAIMS: [&[u8]; 5] = [
    &20_000_000_i32.to_be_bytes(),
    &i32::MAX.to_be_bytes(),
    &[0x80, 0x80, 0x80, 0x0a],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff],
];

/// A request of `api` whose body is `zeros` zeros, then claims.
fn request(api: ApiKey, version: i16, zeros: usize, claim: &[u8]) -> Vec<u8> {
    let header = [&api.code().to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1, 0xff, 0xff, 0]];
    let mut frame = header.concat();
    frame.resize(frame.len() + zeros, 0);
    frame.extend(claim.iter().cycle().take(64));
    frame
}

/// What a frame of 130 bytes may take: its copy, first reserves of 64 elements at each of three levels, an error.
const PEAK_MAX: usize = 64 << 10;

#[test]
fn claims_never_become_memory() {
    // The counter sees an allocation.
    assert!(allocated(|| Bytes::from(vec![0; 1 << 20])).0 >= 1 << 20);
    for &api in ApiKey::ALL {
        for version in api.min_version()..=api.max_version() {
            for (claim, zeros) in CLAIMS.iter().flat_map(|claim| (0..40).map(move |zeros| (claim, zeros))) {
                let frame = request(api, version, zeros, claim);
                let (taken, _) = allocated(|| fuzzing::request(&frame));
                assert!(taken < PEAK_MAX, "{api} {version} request: {taken} bytes for {frame:?}");
                // A response has no header here: API and version, then the body.
                let body = [&frame[..4], &frame[11..]].concat();
                let (taken, _) = allocated(|| fuzzing::response(&body));
                assert!(taken < PEAK_MAX, "{api} {version} response: {taken} bytes for {body:?}");
            }
        }
    }
}

/// What `run` allocates at least: the harness may report another test meanwhile.
fn allocated_least<T>(mut run: impl FnMut() -> T) -> (usize, usize) {
    (0..20).map(|_| allocated(&mut run)).min().expect("there were 20")
}

#[test]
fn reading_a_produce_request_copies_no_records() {
    let costs = [100, 1 << 20].map(|len| {
        let records = Some(RecordSet::from(Bytes::from(vec![7; len])));
        let partition_data = vec![PartitionProduceData { index: 0, records }];
        let topic_data = vec![TopicProduceData { partition_data, ..Default::default() }];
        let request = ProduceRequest { topic_data, ..Default::default() };
        let frame = encode_request(&mut Writer::new(), 13, 0, Some(&"client".into()), &request).unwrap();
        let frame = Bytes::from(frame.concat()).slice(4..);
        allocated_least(|| parse_request(&frame).unwrap())
    });
    for (bytes, calls) in costs {
        // A list of topics and one of partitions.
        assert!(bytes < 1000 && calls == 2, "{bytes} bytes in {calls} pieces");
    }
}

#[test]
fn writing_a_fetch_response_copies_no_records() {
    let batches = (0..3).map(|n| Bytes::from(vec![n; 1 << 20])).collect::<RecordSet>();
    let partitions = vec![PartitionData { records: Some(batches), ..Default::default() }];
    let responses = vec![FetchableTopicResponse { partitions, ..Default::default() }];
    let response = Response::from(FetchResponse { responses, ..Default::default() });
    let mut writer = Writer::new();
    let (bytes, calls) = allocated_least(|| encode_response(&mut writer, 18, 0, &response).unwrap());
    assert!(bytes < 2000 && calls <= 3, "{bytes} bytes in {calls} pieces");
}
