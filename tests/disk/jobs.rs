//! A job whose disk gets full while it commits.

use crate::{
    device::Device,
    full::{fill, server},
    oracle::{assert_rows, oracle},
    process::{Server, client, run},
    records::read_all,
};
use millrace::demo::{
    data::Flights,
    feed::feed,
    job::{BOUND_MIN, DELAYS_TOPIC, JOB},
    replay::{Pace, Replay},
    topics::{DELAYS_PARTITIONS, FLIGHTS_PARTITIONS, create_topics},
};
use std::{
    fs,
    net::SocketAddr,
    thread::sleep,
    time::{Duration, Instant},
};

const MEBIBYTES: u64 = 96;
const FLIGHTS: usize = 40_000;

/// How long the last rows may take once there is room.
const PATIENCE: Duration = Duration::from_secs(120);

/// The rows that there are, each of them one of the oracle's, and none twice.
fn rows(address: SocketAddr, expected: &[(String, String)]) -> Vec<(String, String)> {
    let rows = client(move || read_all(address, DELAYS_TOPIC, DELAYS_PARTITIONS));
    let mut left = expected.to_vec();
    left.sort();
    for row in &rows {
        let at = left
            .binary_search(row)
            .unwrap_or_else(|_| panic!("{row:?} is none of the oracle's, or there twice"));
        left.remove(at);
    }
    rows
}

fn wait_for_all(running: &Server, expected: &[(String, String)]) {
    let end = Instant::now() + PATIENCE;
    loop {
        let rows = rows(running.address, expected);
        if rows.len() == expected.len() {
            return assert_rows(&rows, expected);
        }
        assert!(Instant::now() < end, "{} rows of {}\n{}", rows.len(), expected.len(), running.log());
        sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_job_waits_for_room_and_its_rows_are_read() {
    let Some(device) = Device::new(MEBIBYTES) else { return };
    let ballast = device.path().join("ballast");
    let mut flights = Flights::load().unwrap();
    flights.keep(0..FLIGHTS);
    let expected = oracle(&flights).rows();
    let replay = Replay::new(flights, vec![Pace::FlatOut], FLIGHTS_PARTITIONS, BOUND_MIN as i32);
    let mut running = server(&device, "1 MiB").run();
    let address = running.address;
    client(move || async move { create_topics(address).await.unwrap() });
    let replay = std::sync::Arc::new(replay);
    client(move || async move { feed(&replay, address).await.unwrap() });
    let admin = running.admin_address().to_string();
    let (code, told, error) = run(&["job", "run", JOB, "--admin", &admin]);
    assert_eq!(code, 0, "{told}{error}");

    // The job is about to write its rows, and finds less room with every one.
    fill(&ballast);
    let before = rows(address, &expected).len();
    running.kill();
    running = server(&device, "1 MiB").listen(address).run();
    let after = rows(address, &expected).len();
    println!("{before} rows of {} on the full disk, {after} after a start on it", expected.len());
    assert!(after >= before, "what was read is there");

    fs::remove_file(&ballast).unwrap();
    wait_for_all(&running, &expected);
    let log = running.log();
    assert_eq!(running.stop().code(), Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
