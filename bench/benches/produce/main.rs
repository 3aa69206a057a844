//! Produce against the real server: one core for the server, the other for a raw driver that costs the server what any
//! client does and itself as little as it can.
//!
//! `cargo bench -p millrace-bench --bench produce` runs all cases, with words behind it (`-- tmpfs "1 KiB"`) those that have all of
//! the words in their names. Data lies below the target directory or `BENCH_DIR`, and in memory in `/dev/shm`.
//!
//! Every case has a new server: half a second to get warm, then two seconds as fast as it goes, then 1.5 at half of that. "Synced" is
//! the default; "not synced" is `topic.durability = "os"`, which writes past the page cache all the same; tmpfs shows what it
//! costs without a device.

#![expect(clippy::disallowed_types, reason = "the driver is no part of any simulated world")]

mod driver;
mod load;

use driver::{Driver, Outcome, Pace, connected};
use load::Shape;
use millrace_bench::{
    cpu,
    process::{Server, as_millrace},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// As in the `millrace` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The default of `topic.durability`.
const FSYNC: &str = "fsync";
const TOPIC: &str = "bench";
const PARTITIONS: i32 = 16;
const CONNECTIONS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(500);
const FULL: Duration = Duration::from_secs(2);
const HALF: Duration = Duration::from_millis(1500);

const KIB: usize = 1 << 10;

/// Records of 1 KiB or 100 B, in batches and requests as named, and what Apache Kafka 4.2 does on the same kind of machine, under
/// a driver of the same kind: CPU seconds of the broker per million records, without syncs (acks=all), and with a sync per
/// append (flush.messages=1), its better figure of several runs.
const SHAPES: &[(&str, Shape, Option<f64>, Option<f64>)] = &[
    ("1 KiB, 16 KiB x 16", shape(1024, 16 * KIB, 16), Some(1.52), None),
    ("1 KiB, 16 KiB x 1", shape(1024, 16 * KIB, 1), Some(3.64), Some(10.0)),
    ("1 KiB, 64 KiB x 1", shape(1024, 64 * KIB, 1), Some(1.51), None),
    ("1 KiB, 1 MiB x 1", shape(1024, 1024 * KIB, 1), Some(1.54), None),
    ("100 B, 16 KiB x 16", shape(100, 16 * KIB, 16), Some(0.20), None),
    ("100 B, 16 KiB x 1", shape(100, 16 * KIB, 1), Some(0.42), Some(1.0)),
    ("100 B, 1 MiB x 1", shape(100, 1024 * KIB, 1), Some(0.175), None),
];

const fn shape(record_bytes: usize, batch_bytes: usize, batches: usize) -> Shape {
    Shape { record_bytes, batch_bytes, batches }
}

fn main() -> ExitCode {
    if let Some(exit) = as_millrace() {
        return exit;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| words.iter().all(|word| name.contains(word));
    let cores = cpu::cores();
    assert!(cores.len() >= 2, "the server and the driver need a core each");
    let disk = PathBuf::from(option_env!("BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR")));
    println!(
        "acks=all, {PARTITIONS} partitions, {CONNECTIONS} connections with 5 requests in flight, 1 shard on core {}, driver on core {}",
        cores[0], cores[1]
    );
    println!(
        "kafka: Apache Kafka 4.2 on the same kind of machine, in records per CPU second of the broker\n"
    );
    head();
    cpu::pin(&cores[1..2]);
    for (medium, directory, durability) in [
        ("synced", disk.as_path(), FSYNC),
        ("not synced", disk.as_path(), "os"),
        ("tmpfs", Path::new("/dev/shm"), "os"),
    ] {
        for (name, shape, kafka, kafka_synced) in SHAPES {
            let kafka = if durability == FSYNC { kafka_synced } else { kafka };
            let name = format!("{medium}, {name}");
            if wanted(&name) {
                print(&name, &one_shard(directory, *shape, cores[0], durability), *kafka);
            }
        }
    }
    println!("\n2 shards, one of them on the driver's core: what crossing to the partition's owner costs");
    cpu::pin(&cores[..2]);
    for (name, shape, ..) in [&SHAPES[0], &SHAPES[1], &SHAPES[5]] {
        for (side, own) in [("own shard", true), ("other shard", false)] {
            let name = format!("tmpfs, {name}, {side}");
            if wanted(&name) {
                print(&name, &two_shards(Path::new("/dev/shm"), *shape, own, &cores[..2]), None);
            }
        }
    }
    ExitCode::SUCCESS
}

/// What a case came to.
struct Figures {
    full: Outcome,
    cpu: Duration,
    half: Outcome,
}

fn one_shard(directory: &Path, shape: Shape, core: usize, durability: &str) -> Figures {
    let server = Server::start(directory, 1, &[core], durability);
    server.create_topic(TOPIC, PARTITIONS);
    let partitions: Vec<i32> = (0..PARTITIONS).collect();
    let mut driver = Driver::new(true);
    for connection in 0..CONNECTIONS {
        let mut requests = load::requests(TOPIC, &partitions, shape);
        let turn = connection * 2 % requests.len();
        requests.rotate_left(turn);
        driver.connect(server.address(), requests);
    }
    measure(&server, &mut driver)
}

/// Each connection sends to partitions of one shard only: the one that has taken the connection, or the other.
fn two_shards(directory: &Path, shape: Shape, own: bool, cores: &[usize]) -> Figures {
    let server = Server::start(directory, 2, cores, FSYNC);
    server.create_topic(TOPIC, 2 * PARTITIONS);
    // Partitions go round the shards. Who has the first is seen when something is appended to it.
    let probe = Shape { batches: 1, ..shape };
    let mut first = Driver::new(false);
    first.connect(server.address(), load::requests(TOPIC, &[0], probe));
    let before = server.per_shard("journal_bytes_total");
    first.run(Pace::Full, Duration::from_millis(1));
    drop(first);
    let after = server.per_shard("journal_bytes_total").into_iter();
    let owner_of_first = after.max_by_key(|(shard, bytes)| bytes - before[shard]);
    let (owner_of_first, _) = owner_of_first.expect("there are two shards");
    let mut driver = Driver::new(false);
    // Not those that are open: the end of an earlier one, at some later time, would hide that another has come.
    let mut accepted = server.per_shard("connections_accepted_total");
    for _ in 0..CONNECTIONS {
        let stream = connected(server.address());
        let shard = loop {
            let now = server.per_shard("connections_accepted_total");
            let more = now.iter().find(|(shard, count)| **count > accepted[shard]).map(|(shard, _)| *shard);
            accepted = now;
            if let Some(shard) = more {
                break shard;
            }
        };
        let odd = i32::from((shard == owner_of_first) != own);
        let partitions: Vec<i32> = (0..PARTITIONS).map(|turn| 2 * turn + odd).collect();
        driver.add(stream, load::requests(TOPIC, &partitions, shape));
    }
    measure(&server, &mut driver)
}

fn measure(server: &Server, driver: &mut Driver) -> Figures {
    driver.run(Pace::Full, WARM_UP);
    let before = cpu::taken(server.id());
    let full = driver.run(Pace::Full, FULL);
    let cpu = cpu::taken(server.id()) - before;
    let interval = 2 * full.span.as_nanos() as u64 / full.requests;
    let half = driver.run(Pace::Every(interval), HALF);
    Figures { full, cpu, half }
}

fn head() {
    println!(
        "{:<40} {:>8} {:>6} {:>6} {:>10} {:>8} {:>8}   {:>17}   {:>17}",
        "",
        "k rec/s",
        "MB/s",
        "cpu",
        "k rec/cpu-s",
        "s/M rec",
        "x kafka",
        "full p50/p99 ms",
        "half p50/p99 ms"
    );
}

fn print(name: &str, figures: &Figures, kafka: Option<f64>) {
    let Figures { full, cpu, half } = figures;
    let (span, cpu) = (full.span.as_secs_f64(), cpu.as_secs_f64());
    let records = full.records as f64;
    let cost = cpu * 1e6 / records;
    let ratio = kafka.map_or_else(String::new, |kafka| format!("{:.2}", kafka / cost));
    let latency = |outcome: &Outcome| {
        let at = |share| outcome.latency_ns.value_at_quantile(share) as f64 / 1e6;
        format!("{:.2} / {:.2}", at(0.5), at(0.99))
    };
    println!(
        "{name:<40} {:>8.0} {:>6.0} {:>5.0}% {:>11.0} {cost:>8.3} {ratio:>8}   {:>17}   {:>17}",
        records / span / 1e3,
        full.value_bytes as f64 / span / 1e6,
        100.0 * cpu / span,
        records / cpu / 1e3,
        latency(full),
        latency(half),
    );
}
