//! Ping-pong of 128 bytes over loopback, server and client on a core each: our streams, which spin a moment before they
//! sleep, against tokio's. Rounds of both alternate, so that what else the machine does meets both.
//!
//! `cargo bench -p millrace-bench --bench echo`

#![expect(clippy::unwrap_used, reason = "an error ends the bench")]

use bytes::Bytes;
use millrace_bench::table::Row;
use millrace_runtime::{Instant, LaunchOptions, ListenOptions, Listener, Mesh, ShardId, Stream, launch};
use std::{future::Future, net::SocketAddr, thread};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MESSAGE: usize = 128;
const PINGS: u32 = 30_000;
const WARM_UP: u32 = 2_000;
const ROUNDS: usize = 7;

fn main() {
    let mut rows = [Row::new("tokio current_thread"), Row::new("millrace, spinning")];
    for _ in 0..ROUNDS {
        rows[0].add(&rival());
        rows[1].add(&ours());
    }
    println!("128 B ping-pong, {ROUNDS} rounds of {PINGS}; median (least .. most)");
    millrace_bench::table::print("pings/s", &rows);
    println!("goal: at least 3.5 times");
}

/// Nanoseconds of each ping between two shards of ours: shard 0 answers, shard 1 asks.
fn ours() -> Vec<u64> {
    let addresses: Mesh<SocketAddr> = Mesh::new(2, 1);
    let options = LaunchOptions { shards: 2, ..LaunchOptions::default() };
    let launched = launch(&options, move |shard| {
        let port = addresses.join(&shard);
        async move {
            if shard.id == ShardId(0) {
                let any = "127.0.0.1:0".parse().unwrap();
                let listener = Listener::bind(any, ListenOptions::default()).await.unwrap();
                port.send(ShardId(1), listener.local_addr());
                answer(&listener.accept().await.unwrap()).await;
                Vec::new()
            } else {
                let (_, address) = port.recv().await;
                ask(&Stream::connect(address).await.unwrap()).await
            }
        }
    });
    launched.unwrap().join().unwrap().pop().unwrap()
}

async fn answer(stream: &Stream) {
    loop {
        let received = stream.recv().await.unwrap();
        if received.is_empty() {
            return;
        }
        stream.send(vec![Bytes::copy_from_slice(&received)]).await.unwrap();
    }
}

async fn ask(stream: &Stream) -> Vec<u64> {
    let message = Bytes::from_static(&[7; MESSAGE]);
    let mut nanos = Vec::with_capacity(PINGS as usize);
    for ping in 0..WARM_UP + PINGS {
        let start = Instant::now();
        stream.send(vec![message.clone()]).await.unwrap();
        let mut missing = MESSAGE;
        while missing > 0 {
            let received = stream.recv().await.unwrap();
            assert!(!received.is_empty(), "the server hung up");
            missing -= received.len();
        }
        if ping >= WARM_UP {
            nanos.push(start.elapsed().as_nanos() as u64);
        }
    }
    nanos
}

/// The same between two threads of tokio's.
fn rival() -> Vec<u64> {
    let (send, receive) = std::sync::mpsc::channel();
    let server = thread::Builder::new().spawn(move || {
        on_core(0, async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send(listener.local_addr().unwrap()).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = [0; MESSAGE];
            while stream.read_exact(&mut buffer).await.is_ok() {
                stream.write_all(&buffer).await.unwrap();
            }
        });
    });
    let address = receive.recv().unwrap();
    let client = thread::Builder::new().spawn(move || {
        on_core(1, async move {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = [7; MESSAGE];
            let mut nanos = Vec::with_capacity(PINGS as usize);
            for ping in 0..WARM_UP + PINGS {
                let start = Instant::now();
                stream.write_all(&buffer).await.unwrap();
                stream.read_exact(&mut buffer).await.unwrap();
                if ping >= WARM_UP {
                    nanos.push(start.elapsed().as_nanos() as u64);
                }
            }
            nanos
        })
    });
    let nanos = client.unwrap().join().unwrap();
    server.unwrap().join().unwrap();
    nanos
}

fn on_core<T>(core: usize, work: impl Future<Output = T>) -> T {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
