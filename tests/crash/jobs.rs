//! kill -9 while a job runs: every row that it should write is there, once, and none that it should not.

use crate::{
    chance::Chance,
    oracle::{assert_rows, oracle},
    process::{Server, Start, client, run},
    records::read_all,
};
use millrace::demo::{
    data::{FLIGHTS, Flights},
    feed::feed,
    job::{BOUND_MIN, DELAYS_TOPIC, JOB, LATE_TOPIC},
    replay::{Pace, Replay},
    topics::{DELAYS_PARTITIONS, FLIGHTS_PARTITIONS, create_topics},
};
use std::{
    path::Path,
    sync::Arc,
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// The variable that says how often the server is killed; `cargo xtask soak jobs` sets it.
const TIMES: &str = "MILLRACE_SOAK_JOBS";

/// Kills in a plain test run.
const TIMES_DEFAULT: u32 = 4;

/// Flights that are sent for each kill, as long as there are any.
const FLIGHTS_PER_KILL: usize = 7_000;

/// How long the flights of a kill take to be sent: about as long as a server lives.
const PACE: Duration = Duration::from_millis(900);

/// The longest that a server lives once it listens.
const LIFE: Duration = Duration::from_millis(1_200);

/// The longest that a server which is killed at its start lives.
const SHORT_LIFE: Duration = Duration::from_millis(150);

/// How long the last rows may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn server(directory: &Path, kill: u32) -> Start {
    Start::below(directory).shards([1, 2, 4][kill as usize % 3]).with_small_files()
}

/// Waits until a server has all rows, each once.
pub(crate) fn wait_for_rows(running: &Server, expected: &[(String, String)]) {
    let (address, end) = (running.address, Instant::now() + PATIENCE);
    loop {
        let rows = client(move || read_all(address, DELAYS_TOPIC, DELAYS_PARTITIONS));
        assert!(rows.len() <= expected.len(), "{} rows, not {}", rows.len(), expected.len());
        if rows.len() == expected.len() {
            return assert_rows(&rows, expected);
        }
        assert!(Instant::now() < end, "{} rows of {}\n{}", rows.len(), expected.len(), running.log());
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn every_row_is_written_once_whatever_is_killed() {
    let times = std::env::var(TIMES).map_or(TIMES_DEFAULT, |text| text.parse().unwrap());
    let mut chance = Chance::new();
    let directory = tempfile::tempdir().unwrap();
    let mut flights = Flights::load().unwrap();
    let count = FLIGHTS.min(FLIGHTS_PER_KILL * times as usize);
    flights.keep(0..count);
    let expected = oracle(&flights).rows();
    let mut running = server(directory.path(), 0).run();
    let address = running.address;
    client(move || async move { create_topics(address).await.unwrap() });
    let (code, told, error) = run(&["job", "run", JOB, "--admin", &running.admin_address().to_string()]);
    assert_eq!(code, 0, "{told}{error}");

    let year = PACE.mul_f64(f64::from(times) * FLIGHTS as f64 / count as f64);
    let replay = Replay::new(flights, vec![Pace::Year(year)], FLIGHTS_PARTITIONS, BOUND_MIN as i32);
    let replay = Arc::new(replay);
    let feeding = {
        let replay = Arc::clone(&replay);
        thread::spawn(move || client(move || async move { feed(&replay, address).await.unwrap() }))
    };
    for kill in 1..=times {
        sleep(chance.moment(LIFE));
        running.kill();
        // Now and then the next is killed too, while it recovers.
        let while_recovering = chance.below(4) == 0;
        if while_recovering {
            let starting = server(directory.path(), kill + 1).listen(address).spawn();
            sleep(chance.moment(SHORT_LIFE));
            starting.kill();
        }
        running = server(directory.path(), kill).listen(address).run();
        println!("kill {kill}, fed: {}, once more: {while_recovering}", feeding.is_finished());
    }
    feeding.join().unwrap();
    wait_for_rows(&running, &expected);
    assert_eq!(client(move || read_all(address, LATE_TOPIC, 1)), [], "none is late with this bound");
    println!("{times} kills, {count} flights, {} rows, each once", expected.len());
    // A stop is clean, and what it leaves is the same again.
    assert_eq!(running.stop().code(), Some(0));
    let running = server(directory.path(), 2).listen(address).run();
    let again = client(move || read_all(address, DELAYS_TOPIC, DELAYS_PARTITIONS));
    assert_rows(&again, &expected);
    running.kill();
}
