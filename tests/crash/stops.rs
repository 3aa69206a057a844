//! SIGTERM in the middle of work: the end is clean, and nothing is left to be recovered.

use crate::{
    jobs::wait_for_rows,
    load::{Load, read},
    oracle::oracle,
    process::{Start, client, run},
};
use millrace::demo::{
    data::{FLIGHTS, Flights},
    feed::feed,
    job::{BOUND_MIN, JOB},
    replay::{Pace, Replay},
    topics::{FLIGHTS_PARTITIONS, create_topics},
};
use std::{path::Path, sync::Arc, sync::atomic::Ordering, thread, time::Duration};

/// How often the server is stopped.
const STOPS: u32 = 3;

/// Records that are acknowledged between two stops, at least.
const ACKNOWLEDGEMENTS: usize = 1_000;

/// Flights that the job is given meanwhile.
const FLIGHTS_SENT: usize = 12_000;

/// How long they take to be sent if nobody stops the server.
const PACE: Duration = Duration::from_secs(4);

fn server(directory: &Path, stop: u32) -> Start {
    Start::below(directory).shards([2, 1, 4][stop as usize % 3]).with_small_files()
}

/// What the last start has found of the ends before it.
fn found_clean(log: &str) -> Option<bool> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut recovered = lines.filter(|line| line["fields"]["message"] == "recovered");
    recovered.next_back()?["fields"]["is_clean"].as_bool()
}

#[test]
fn a_stop_in_the_middle_of_work_is_clean() {
    let directory = tempfile::tempdir().unwrap();
    let mut flights = Flights::load().unwrap();
    flights.keep(0..FLIGHTS_SENT);
    let expected = oracle(&flights).rows();
    let mut running = server(directory.path(), 0).run();
    let address = running.address;
    client(move || async move { create_topics(address).await.unwrap() });
    let (code, told, error) = run(&["job", "run", JOB, "--admin", &running.admin_address().to_string()]);
    assert_eq!(code, 0, "{told}{error}");
    let year = PACE.mul_f64(FLIGHTS as f64 / FLIGHTS_SENT as f64);
    let replay = Replay::new(flights, vec![Pace::Year(year)], FLIGHTS_PARTITIONS, BOUND_MIN as i32);
    let replay = Arc::new(replay);
    let feeding = {
        let replay = Arc::clone(&replay);
        thread::spawn(move || client(move || async move { feed(&replay, address).await.unwrap() }))
    };
    let load = Load::start(address);
    for stop in 1..=STOPS {
        load.go_on(ACKNOWLEDGEMENTS);
        let sent = replay.sent.load(Ordering::Acquire);
        assert_eq!(running.stop().code(), Some(0));
        running = server(directory.path(), stop).listen(address).run();
        assert_eq!(found_clean(&running.log()), Some(true), "{}", running.log());
        load.check(address);
        println!("stop {stop} behind {sent} flights and {} acknowledgements", load.acknowledgements());
    }
    load.stop().check(&read(address));
    feeding.join().unwrap();
    wait_for_rows(&running, &expected);
    let errors = running.warnings().into_iter().filter(|line| line["level"] == "ERROR").collect::<Vec<_>>();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(running.stop().code(), Some(0));
}
