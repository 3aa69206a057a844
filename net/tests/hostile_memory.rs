//! Hostile frames under a counting allocator: what a peer declares never becomes memory.

use bytes::Bytes;
use millrace_net::{fuzzing, kafka::ApiKey};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counters beside it allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and `alloc` is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that `run` held at a time, in bytes.
fn peak(run: impl FnOnce()) -> usize {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    run();
    PEAK.load(Relaxed) - before
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

/// One test, so that nothing else allocates meanwhile.
#[test]
fn claims_never_become_memory() {
    // The counter sees an allocation.
    assert!(peak(|| drop(std::hint::black_box(Bytes::from(vec![0; 1 << 20])))) >= 1 << 20);
    for &api in ApiKey::ALL {
        for version in api.min_version()..=api.max_version() {
            for (claim, zeros) in CLAIMS.iter().flat_map(|claim| (0..40).map(move |zeros| (claim, zeros))) {
                let frame = request(api, version, zeros, claim);
                let taken = peak(|| fuzzing::request(&frame));
                assert!(taken < PEAK_MAX, "{api} {version} request: {taken} bytes for {frame:?}");
                // A response has no header here: API and version, then the body.
                let body = [&frame[..4], &frame[11..]].concat();
                let taken = peak(|| fuzzing::response(&body));
                assert!(taken < PEAK_MAX, "{api} {version} response: {taken} bytes for {body:?}");
            }
        }
    }
}
