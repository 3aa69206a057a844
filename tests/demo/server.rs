//! The job in a real server, over Kafka's protocol: producers, job, consumer, and every row.

use crate::{
    oracle::{QUARTER, assert_rows, oracle},
    records::{Records, read_all},
};
use millrace::{
    config::{Auto, Config, Pin},
    demo::{
        data::{Flights, Line},
        feed::feed,
        job::{BOUND, BOUND_MIN, DELAYS_TOPIC, JOB, LATE_TOPIC, delays},
        replay::{Pace, Replay},
        results::Results,
        topics::{DELAYS_PARTITIONS, FLIGHTS_PARTITIONS, create_topics},
        watch::watch,
    },
    embed::Server,
    job::Phase,
};
use millrace_engine::registry::Registry;
use millrace_runtime::{LaunchOptions, Pinning, Shard, launch};
use std::{collections::BTreeSet, net::SocketAddr, ops::Range, sync::Arc, time::Duration};

/// Runs something on threads of the runtime, and gives what it gives.
fn on_threads<T: Send + 'static, F: Future<Output = T> + 'static>(
    count: u16,
    main: impl Fn(Shard) -> F + Clone + Send + 'static,
) -> Vec<T> {
    let (pinning, spin) = (Pinning::Never, Duration::ZERO);
    let options = LaunchOptions { shards: count, pinning, spin, name: "test".to_owned() };
    launch(&options, main).unwrap().join().unwrap()
}

/// Sends the flights to a server of so many shards. Rows and late flights that come of it.
async fn run(flights: Flights, pace: Pace, shards: u16, bound_min: u32) -> (Records, Records) {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.server.admin_listen = config.server.listen;
    config.server.data_dirs = vec![data.path().to_owned()];
    config.server.shards = Auto::Given(shards);
    config.runtime.pin = Pin::Never;
    config.runtime.spin_us = 0;
    let mut jobs = Registry::new();
    jobs.add(JOB, delays);
    let server = Server::start(config, jobs).await.unwrap();
    let address = server.address();
    let create = tokio::task::spawn_blocking(move || on_threads(1, move |_| create_topics(address)));
    create.await.unwrap().into_iter().for_each(|created| created.unwrap());
    server.run_job(JOB, [(BOUND.to_owned(), bound_min.to_string())]).await.unwrap();
    let read = tokio::task::spawn_blocking(move || replay_and_read(flights, pace, address, bound_min));
    let read = read.await.unwrap();
    let status = server.jobs(Duration::ZERO).await.unwrap().remove(0);
    assert_eq!((status.state, status.failure), (Phase::Running, None));
    let late: u64 =
        status.tasks.iter().flat_map(|task| &task.operators).map(|operator| operator.late_records).sum();
    assert_eq!(late, read.1.len() as u64, "the job's own count");
    server.stop().await.unwrap();
    read
}

fn replay_and_read(flights: Flights, pace: Pace, address: SocketAddr, bound_min: u32) -> (Records, Records) {
    let hours: BTreeSet<_> = flights.lines().iter().filter(|line| !line.cancelled).map(hour).collect();
    let replay = Replay::new(flights, vec![pace], FLIGHTS_PARTITIONS, bound_min as i32);
    let (replay, results) = (Arc::new(replay), Arc::new(Results::new(1)));
    let (fed, seen) = (Arc::clone(&replay), Arc::clone(&results));
    on_threads(2, move |shard| {
        let (replay, results) = (Arc::clone(&fed), Arc::clone(&seen));
        async move {
            match shard.id.index() {
                0 => feed(&replay, address).await.unwrap(),
                _ => watch(&replay, &results, address).await.unwrap(),
            }
        }
    });
    let mut read = on_threads(1, move |_| async move {
        let rows = read_all(address, DELAYS_TOPIC, DELAYS_PARTITIONS).await;
        (rows, read_all(address, LATE_TOPIC, 1).await)
    });
    let measured = results.lock().passes[0].latency_us.len();
    assert_eq!(measured, hours.len() as u64, "it is known when each hour could close");
    read.remove(0)
}

fn hour(line: &Line) -> i32 {
    line.scheduled_min.div_euclid(60)
}

fn some(flights: Range<usize>) -> Flights {
    let mut all = Flights::load().unwrap();
    all.keep(flights);
    all
}

async fn every_row_is_exact(flights: Flights, shards: u16) {
    let expected = oracle(&flights).rows();
    let (rows, late) = run(flights, Pace::FlatOut, shards, BOUND_MIN).await;
    assert_rows(&rows, &expected);
    assert_eq!(late, []);
}

#[tokio::test]
async fn every_row_of_a_quarter_is_exact_on_one_shard() {
    every_row_is_exact(some(0..QUARTER), 1).await;
}

#[tokio::test]
async fn every_row_of_the_year_is_exact_on_two_shards() {
    every_row_is_exact(Flights::load().unwrap(), 2).await;
}

#[tokio::test]
async fn with_three_hours_on_time_and_late_are_all() {
    // Weeks of thunderstorms, in about the time that the demo gives them: flat out, partitions may run apart by more than the flights.
    let flights = some(120_000..120_000 + QUARTER);
    let pace = Pace::Year(Duration::from_secs(20));
    let mut expected = oracle(&flights);
    let (rows, late) = run(flights, pace, 2, 180).await;
    assert!(!late.is_empty(), "the data has flights that leave hours behind their schedule");
    for (_, flight) in &late {
        expected.remove(flight);
    }
    assert_rows(&rows, &expected.rows());
}
