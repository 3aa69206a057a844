//! Rings between shards: order, wake-ups, fairness.

use crate::{options, run_all};
use millrace_runtime::{Instant, LaunchOptions, Mesh, ShardId, launch, random_u64, sleep, spawn, yield_now};
use std::time::Duration;

/// Every shard sends to every shard, itself included, at its own pace; all arrives, in order per pair.
#[test]
fn all_pairs_in_order() {
    const SHARDS: u16 = 4;
    const EACH: u64 = 2000;
    let mesh: Mesh<u64> = Mesh::new(SHARDS, EACH as usize);
    run_all(SHARDS, move |shard| {
        let port = mesh.join(&shard);
        async move {
            let sender = port.clone();
            let sending = spawn(async move {
                for n in 0..EACH {
                    for to in 0..SHARDS {
                        sender.send(ShardId(to), n);
                    }
                    match random_u64() % 64 {
                        0 => sleep(Duration::from_micros(200)).await,
                        1..8 => yield_now().await,
                        _ => {}
                    }
                }
            });
            let mut next = vec![0; usize::from(SHARDS)];
            for _ in 0..EACH * u64::from(SHARDS) {
                let (from, n) = port.recv().await;
                assert_eq!(n, next[from.index()], "from {from}");
                next[from.index()] += 1;
            }
            assert!(port.try_recv().is_none());
            sending.await.expect("not cancelled");
        }
    });
}

/// A token goes round and round: at any time all shards but one are parked or about to be. One lost wake-up ends it.
fn relay(shards: u16, rounds: u64, spin: Duration) {
    let mesh: Mesh<u64> = Mesh::new(shards, 1);
    let options = LaunchOptions { spin, ..options(shards) };
    let launched = launch(&options, move |shard| {
        let port = mesh.join(&shard);
        async move {
            let next = ShardId((shard.id.0 + 1) % shard.count);
            if shard.id == ShardId(0) {
                port.send(next, 0);
            }
            loop {
                let (_, hops) = port.recv().await;
                // Of different lengths, to meet the receiver at every point of its way to sleep.
                for _ in 0..random_u64() % 300 {
                    std::hint::spin_loop();
                }
                if random_u64().is_multiple_of(500) {
                    sleep(Duration::from_micros(random_u64() % 100)).await;
                }
                port.send(next, hops + 1);
                if hops + u64::from(shard.count) >= rounds {
                    return hops;
                }
            }
        }
    });
    let hops = launched.unwrap().join().unwrap();
    assert!(hops.iter().all(|&hops| hops + u64::from(shards) >= rounds), "{hops:?}");
}

#[test]
fn no_wake_up_is_lost_when_shards_park_at_once() {
    relay(2, 40_000, Duration::ZERO);
    relay(3, 20_000, Duration::ZERO);
}

#[test]
fn no_wake_up_is_lost_between_spinning_and_parking() {
    for spin in [1, 5, 20] {
        relay(2, 20_000, Duration::from_micros(spin));
    }
}

/// Answers to a burst of requests: many senders ring one parked shard at the same time.
#[test]
fn many_ring_one() {
    const SHARDS: u16 = 5;
    const ROUNDS: u32 = 3000;
    let mesh: Mesh<u32> = Mesh::new(SHARDS, 2);
    run_all(SHARDS, move |shard| {
        let port = mesh.join(&shard);
        async move {
            if shard.id != ShardId(0) {
                for _ in 0..ROUNDS {
                    let (from, round) = port.recv().await;
                    port.send(from, round);
                }
                return;
            }
            for round in 0..ROUNDS {
                for to in 1..SHARDS {
                    port.send(ShardId(to), round);
                }
                for _ in 1..SHARDS {
                    assert_eq!(port.recv().await.1, round);
                }
            }
        }
    });
}

#[test]
fn senders_take_turns() {
    let mesh: Mesh<u8> = Mesh::new(3, 100);
    let orders = run_all(3, move |shard| {
        let port = mesh.join(&shard);
        async move {
            if shard.id != ShardId(0) {
                for n in 0..100 {
                    port.send(ShardId(0), n);
                }
                return Vec::new();
            }
            let deadline = Instant::now() + Duration::from_secs(60);
            let mut order = vec![port.recv().await.0];
            while order.len() < 200 {
                assert!(Instant::now() < deadline, "messages are missing");
                match port.try_recv() {
                    Some((from, _)) => order.push(from),
                    None => yield_now().await,
                }
            }
            order
        }
    });
    let first = orders[0].iter().filter(|&&from| from == ShardId(1)).count();
    assert_eq!(first, 100);
}

#[test]
#[should_panic(expected = "without a credit")]
fn a_full_ring_asserts() {
    let mesh: Mesh<u8> = Mesh::new(1, 2);
    let launched = launch(&options(1), move |shard| {
        let port = mesh.join(&shard);
        async move {
            for n in 0..3 {
                port.send(ShardId(0), n);
            }
        }
    });
    let panic = launched.unwrap().join().unwrap_err();
    panic!("{panic}");
}
