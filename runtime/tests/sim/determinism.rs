//! The seed decides all: the same seed in two processes gives the same trace, byte for byte.

use bytes::{Bytes, BytesMut};
use millrace_runtime::{
    AlignedBuf, File, HashMap, Instant, ListenOptions, Listener, Mesh, OpenOptions, PortSharing, Queue,
    Shard, ShardId, Stream, fs, random_u64,
    sim::{Crash, Fault, IoStep, NodeId, NodeOptions, World, WorldOptions},
    sleep, spawn, spawn_into, timeout, unix_millis, yield_now,
};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const SEED_VARIABLE: &str = "MILLRACE_TEST_SIM_SEED";
const BLOCK: usize = 4096;

/// A node's process: files, a mesh, timers, and a server that answers.
async fn serve(shard: Shard, mesh: Mesh<u64>, address: SocketAddr) -> io::Result<()> {
    let port = mesh.join(&shard);
    let receiver = port.clone();
    drop(spawn_into(Queue::Dataflow, async move {
        loop {
            let (from, number) = receiver.recv().await;
            if !number.is_multiple_of(3) {
                receiver.send(from, number / 2);
            }
        }
    }));
    drop(spawn(write_log(shard.id)));
    let listener =
        Listener::bind(address, ListenOptions { sharing: PortSharing::Joins, ..ListenOptions::default() })
            .await?;
    let mut seen: HashMap<u64, i64> = HashMap::default();
    loop {
        let stream = listener.accept().await?;
        seen.insert(random_u64() % 100, unix_millis());
        // The order of iteration depends on the seed, and all that follows on this order.
        for key in seen.keys() {
            port.send(ShardId((key % u64::from(shard.count)) as u16), *key);
        }
        drop(spawn(async move {
            while let Ok(received) = stream.recv().await
                && !received.is_empty()
            {
                let answer = Bytes::copy_from_slice(&received);
                if stream.send(vec![answer]).await.is_err() {
                    return;
                }
            }
        }));
    }
}

async fn write_log(shard: ShardId) -> io::Result<()> {
    let path = PathBuf::from(format!("/log-{shard}"));
    let file = File::open(&path, OpenOptions { create: true, ..OpenOptions::WRITE }).await?;
    for number in 0u64.. {
        let mut buffer = AlignedBuf::zeroed(BLOCK);
        buffer[..8].copy_from_slice(&number.to_le_bytes());
        let position = (number % 16) * BLOCK as u64;
        match number % 4 {
            0 => file.write_durable_at(position, buffer, BLOCK).await.0?,
            1 => file.sync_data().await?,
            2 => fs::write_atomically(Path::new("/meta"), &number.to_le_bytes()).await?,
            _ => file.write_at(position, buffer.freeze()).await?,
        }
        sleep(Duration::from_micros(random_u64() % 3000)).await;
    }
    Ok(())
}

async fn ask(address: SocketAddr) -> io::Result<u64> {
    let mut answered = 0;
    for _ in 0..200 {
        let Ok(Ok(stream)) = timeout(Duration::from_secs(2), Stream::connect(address)).await else {
            continue;
        };
        for len in [10usize, 5_000, 40_000] {
            let question = Bytes::from(vec![len as u8; len]);
            let asked = async {
                stream.send(vec![question]).await?;
                stream.recv_exact(BytesMut::with_capacity(len)).await
            };
            answered += u64::from(matches!(timeout(Duration::from_millis(200), asked).await, Ok(Ok(_))));
            yield_now().await;
        }
    }
    Ok(answered)
}

/// A world in which everything happens that can; its trace and the number of answers.
fn eventful(seed: u64) -> (String, u64, u64) {
    let world = World::new(seed, WorldOptions { trace: true, ..WorldOptions::default() });
    let nodes: Vec<NodeId> =
        ["a", "b", "c"].iter().map(|name| world.add_node(name, NodeOptions::default())).collect();
    let (server, other, client) = (nodes[0], nodes[1], nodes[2]);
    let start = |node| {
        let (mesh, address) = (Mesh::new(2, 100_000), SocketAddr::new(world.ip(node), 9092));
        world.launch(node, 2, move |shard| serve(shard, mesh.clone(), address))
    };
    let mut running = vec![start(server), start(other)];
    let address = SocketAddr::new(world.ip(server), 9092);
    let asking = world.launch(client, 1, move |_| ask(address));
    for round in 0..8 {
        world.run_for(Duration::from_millis(world.random_u64() % 200));
        match round % 4 {
            0 => world.cut(client, server),
            1 => {
                world.kill(server, if round == 1 { Crash::PowerCut } else { Crash::Process });
                running.push(start(server));
            }
            2 => world.heal(client, server),
            _ => {
                world.disk(other).inject(Fault::FailSync { path: "/log-0".into() });
                world.crash_at_io(other, IoStep::Before(world.io_steps(other) + 5), Crash::PowerCut);
            }
        }
    }
    let answers = world.join(asking).expect("nobody kills the client");
    let answered = answers.into_iter().map(|answer| answer.expect("it reports no error")).sum();
    (world.trace(), world.trace_hash(), answered)
}

/// Not a test of its own: the child process of [`two_processes_give_one_trace`].
#[test]
fn child() {
    if let Ok(seed) = std::env::var(SEED_VARIABLE) {
        let (trace, hash, answered) = eventful(seed.parse().expect("a number"));
        println!("{trace}\nhash {hash:#x} answered {answered}");
    }
}

#[test]
fn two_processes_give_one_trace() {
    let run = |seed: u64| {
        let mut child = Command::new(std::env::current_exe().expect("a path"));
        child.args(["--exact", "determinism::child", "--nocapture", "--test-threads=1"]);
        let output = child.env(SEED_VARIABLE, seed.to_string()).output().expect("the child starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        // The test harness ends with how long it took.
        let end = text.find(" answered ").expect("a whole trace") + 12;
        text[..end].to_owned()
    };
    let (first, second) = (run(11), run(11));
    assert!(first.lines().count() > 10_000, "only {} lines", first.lines().count());
    let differing = first.lines().zip(second.lines()).find(|(one, two)| one != two);
    assert!(first == second, "the runs part at {differing:?}");
    for what in ["poll", "timer", "bell", "disk-effect", "disk-lost", "segment", "kill", "cut"] {
        assert!(first.contains(&format!(" {what} ")), "nothing of kind {what} happened");
    }
}

#[test]
fn the_hash_tells_worlds_apart_and_needs_no_text() {
    let (trace, hash, answered) = eventful(1);
    assert!(answered > 0, "the world did no work");
    let (same_trace, same_hash, _) = eventful(1);
    assert!(trace == same_trace && hash == same_hash);
    let (other_trace, other_hash, _) = eventful(2);
    assert!(trace != other_trace && hash != other_hash);
    let quiet = |trace| {
        let world = World::new(5, WorldOptions { trace, ..WorldOptions::default() });
        let node = world.add_node("a", NodeOptions::default());
        let time = world.block_on(node, async {
            fs::write_atomically(Path::new("/a"), b"a").await.expect("a write");
            Instant::now()
        });
        (time, world.trace_hash(), world.trace().is_empty())
    };
    let ((time, hash, _), (same_time, same_hash, is_empty)) = (quiet(true), quiet(false));
    assert!(time == same_time && hash == same_hash && is_empty);
}
