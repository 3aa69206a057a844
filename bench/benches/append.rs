//! Durable appends of 4 KiB to a prewritten file, one at a time: [`File::write_durable_at`] against write and fdatasync of
//! the standard library. Rounds of both alternate, on one core after the other: a device with fewer queues than the machine has
//! cores interrupts some of them only, and it matters whether the shard is on such a core.
//!
//! `cargo bench -p millrace-bench --bench append`; the file lies in the target directory, or in `BENCH_DIR`.

#![expect(clippy::disallowed_types, clippy::unwrap_used, reason = "the rival is the standard library")]

use millrace_bench::{cpu, table::Row};
use millrace_runtime::{AlignedBuf, BLOCK_SIZE, File, Instant, LaunchOptions, OpenOptions, launch};
use std::{
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const APPENDS: u64 = 500;
const ROUNDS: usize = 21;
const BLOCK: u64 = BLOCK_SIZE as u64;

fn main() {
    let directory = option_env!("BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR"));
    let path = Path::new(directory).join("append.bench");
    println!(
        "durable appends of 4 KiB to {}, {ROUNDS} rounds of {APPENDS}; median (least .. most)",
        path.display()
    );
    for core in cpu::cores() {
        println!("\non core {core}");
        cpu::pin(&[core]);
        let mut rows = [Row::new("write + fdatasync"), Row::new("millrace, write_durable_at")];
        for _ in 0..ROUNDS {
            prewrite(&path);
            rows[0].add(&rival(&path));
            prewrite(&path);
            rows[1].add(&ours(path.clone()));
        }
        millrace_bench::table::print("appends/s", &rows);
    }
    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    println!("\ngoal: at least 1.03 times");
}

/// Zeros on written blocks, all durable, and none of them in the page cache: a direct write gives way to cached pages, and the
/// journal's files never had any.
fn prewrite(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let zeros = vec![0; BLOCK_SIZE];
    for _ in 0..APPENDS {
        file.write_all(&zeros).unwrap();
    }
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// Nanoseconds of each append of ours.
fn ours(path: PathBuf) -> Vec<u64> {
    let launched = launch(&LaunchOptions::default(), move |_| {
        let path = path.clone();
        async move {
            let file = File::open(&path, OpenOptions::WRITE).await.unwrap();
            let mut buffer = AlignedBuf::registered(BLOCK_SIZE);
            buffer.fill(7);
            let mut nanos = Vec::with_capacity(APPENDS as usize);
            for n in 0..APPENDS {
                let start = Instant::now();
                let (written, back) = file.write_durable_at(n * BLOCK, buffer, BLOCK_SIZE).await;
                written.unwrap();
                nanos.push(start.elapsed().as_nanos() as u64);
                buffer = back;
            }
            nanos
        }
    });
    launched.unwrap().join().unwrap().pop().unwrap()
}

/// Nanoseconds of each append of the standard library's.
fn rival(path: &Path) -> Vec<u64> {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let block = [7; BLOCK_SIZE];
    let append = |n| {
        let start = Instant::now();
        file.write_all_at(&block, n * BLOCK).unwrap();
        file.sync_data().unwrap();
        start.elapsed().as_nanos() as u64
    };
    (0..APPENDS).map(append).collect()
}
