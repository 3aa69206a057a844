//! The native backend through the crate's public face.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]

mod native {
    mod cancel;
    mod directories;
    mod executor;
    mod files;
    mod mailbox;
    mod mesh;
    mod net;
    mod timers;
}

use millrace_runtime::{LaunchOptions, Pinning, Shard, launch};
use std::{future::Future, path::PathBuf, time::Duration};
use tempfile::TempDir;

/// Shards that share the machine with other tests: not pinned, not spinning.
fn options(shards: u16) -> LaunchOptions {
    LaunchOptions { shards, pinning: Pinning::Never, spin: Duration::ZERO, name: "test".to_owned() }
}

/// Runs `main` on `shards` shards and gives their outputs.
fn run_all<T, M, F>(shards: u16, main: M) -> Vec<T>
where
    T: Send + 'static,
    M: Fn(Shard) -> F + Clone + Send + 'static,
    F: Future<Output = T> + 'static,
{
    launch(&options(shards), main).expect("the machine can run shards").join().expect("no shard panicked")
}

/// Runs `main` on one shard and gives its output.
fn run<T, M, F>(main: M) -> T
where
    T: Send + 'static,
    M: Fn(Shard) -> F + Clone + Send + 'static,
    F: Future<Output = T> + 'static,
{
    run_all(1, main).pop().expect("one shard, one output")
}

/// Runs `main` on one shard, with the path of `directory`.
fn run_in<T, M, F>(directory: &TempDir, main: M) -> T
where
    T: Send + 'static,
    M: Fn(PathBuf) -> F + Clone + Send + 'static,
    F: Future<Output = T> + 'static,
{
    let path = directory.path().to_owned();
    run(move |_| main(path.clone()))
}
