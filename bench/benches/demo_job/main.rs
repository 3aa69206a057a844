//! The demo's job, "which airport and carrier run late", over several years of flights: events per second and core.
//!
//! `cargo bench -p millrace-bench --bench demo_job`. First the engine alone: workers on one shard and on two, with the rings of
//! the real runtime between them, read archived batches in memory; what they put out is counted and dropped. Then the whole
//! server: the flights are in the topic when the job begins, and the time ends when every row can be read, durable and committed.

#![expect(clippy::unwrap_used, reason = "an error ends the bench")]

mod engine;
mod input;
mod server;

use millrace::demo::data::Flights;
use millrace_bench::cpu;
use std::{path::Path, time::Duration};

/// As in the `millrace` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u32 = 4;
const ROUNDS: usize = 3;

/// What a run came to.
#[derive(Clone, Copy, Debug)]
struct Run {
    wall: Duration,
    cpu: Duration,
    rows: u64,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| words.iter().all(|word| name.contains(word));
    let flights = Flights::load().unwrap();
    let directory = Path::new(option_env!("BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR")));
    println!(
        "the job `delays` over {} years of flights, {} events in {PARTITIONS} partitions, {ROUNDS} rounds",
        input::YEARS,
        input::events(&flights)
    );
    let archived = input::archived(&flights);
    let kafka = input::kafka(&flights);
    let mut rows = None;
    for shards in [1, 2] {
        let name = format!("engine alone, {shards} shard(s)");
        if wanted(&name) {
            rounds(&name, &flights, shards, &mut rows, |_| engine::run(&archived, shards));
        }
    }
    let expected = rows.unwrap_or_else(|| engine::run(&archived, 1).rows);
    for shards in [1, 2] {
        let name = format!("whole server, {shards} shard(s)");
        if wanted(&name) {
            rounds(&name, &flights, shards, &mut Some(expected), |_| {
                server::run(directory, &kafka, shards, expected)
            });
        }
    }
}

/// Runs it some times; every run has to give as many rows as all others.
fn rounds(
    name: &str,
    flights: &Flights,
    shards: u16,
    rows: &mut Option<u64>,
    mut run: impl FnMut(usize) -> Run,
) {
    let events = input::events(flights) as f64;
    for round in 0..ROUNDS {
        let before = cpu::taken(std::process::id());
        let Run { wall, cpu, rows: found } = run(round);
        assert_eq!(*rows.get_or_insert(found), found, "every run gives the same rows");
        let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64());
        println!(
            "{name:<28} {:>8.0} k events/s {:>8.0} k per core {:>8.0} k per CPU second ({found} rows, {wall:.2} s, whole round {:.1} CPU s)",
            events / wall / 1e3,
            events / wall / f64::from(shards) / 1e3,
            events / cpu / 1e3,
            (cpu::taken(std::process::id()) - before).as_secs_f64(),
        );
    }
}
