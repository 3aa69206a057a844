//! Starting, stopping, and what a panic does.

use crate::{options, run, run_all};
use millrace_runtime::{
    Instant, LaunchOptions, Queue, ShardId, launch, random_u64, sleep, spawn, spawn_into, yield_now,
};
use std::{
    cell::Cell,
    collections::BTreeSet,
    future::pending,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[test]
fn outputs_come_in_order_of_shard() {
    let outputs = run_all(4, async |shard| {
        // The last to start is the first to end.
        sleep(Duration::from_millis(u64::from(4 - shard.id.0))).await;
        (shard.id, shard.count, std::thread::current().name().map(str::to_owned))
    });
    let expected = (0..4).map(|n| (ShardId(n), 4, Some(format!("test-{n}")))).collect::<Vec<_>>();
    assert_eq!(outputs, expected);
}

#[test]
fn pinned_shards_have_a_core_each() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u16;
    let options = LaunchOptions { spin: Duration::ZERO, shards: cores, ..LaunchOptions::default() };
    let allowed = async |_| rustix::thread::sched_getaffinity(None).unwrap().count();
    let one_each = launch(&options, allowed).unwrap().join().unwrap();
    assert!(one_each.iter().all(|&cores| cores == 1), "{one_each:?}");
    // More shards than cores float.
    let options = LaunchOptions { shards: cores + 1, ..options };
    let floating = launch(&options, allowed).unwrap().join().unwrap();
    assert!(floating.iter().all(|&count| count >= u32::from(cores)), "{floating:?}");
}

#[test]
fn tasks_of_all_queues_run_and_are_joined() {
    let sum = run(async |_| {
        let queues = [Queue::Control, Queue::Serving, Queue::Dataflow, Queue::Background];
        let mut handles = Vec::new();
        for (n, queue) in queues.into_iter().cycle().take(1000).enumerate() {
            handles.push(spawn_into(queue, async move {
                yield_now().await;
                n
            }));
        }
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.expect("not cancelled");
        }
        sum
    });
    assert_eq!(sum, 999 * 1000 / 2);
}

/// A busy task of one queue keeps neither the other queues nor timers waiting for long.
#[test]
fn a_busy_queue_leaves_others_their_share() {
    let steps = run(async |_| {
        let stop = Rc::new(Cell::new(false));
        let seen = Rc::clone(&stop);
        let busy = spawn_into(Queue::Background, async move {
            let mut steps = 0u64;
            while !seen.get() {
                steps += 1;
                yield_now().await;
            }
            steps
        });
        for _ in 0..20 {
            sleep(Duration::from_millis(1)).await;
            spawn_into(Queue::Control, async {}).await.expect("not cancelled");
        }
        stop.set(true);
        busy.await.expect("not cancelled")
    });
    assert!(steps > 0);
}

#[test]
fn what_is_left_when_main_ends_is_dropped() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            // A destructor may spawn; the shard is stopping, so it comes to nothing.
            spawn(pending::<()>());
        }
    }

    let dropped = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dropped);
    run(move |_| {
        let counter = Arc::clone(&counter);
        async move {
            for n in 0..10 {
                let counted = Counted(Arc::clone(&counter));
                spawn(async move {
                    match n % 3 {
                        0 => pending().await,
                        1 => sleep(Duration::from_secs(1000)).await,
                        _ => loop {
                            yield_now().await;
                        },
                    }
                    drop(counted);
                });
            }
            // Some have been polled when main ends, some not.
            yield_now().await;
            let counted = Counted(Arc::clone(&counter));
            spawn(async move {
                pending::<()>().await;
                drop(counted);
            });
        }
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 11);
    assert_eq!(Arc::strong_count(&dropped), 1);
}

#[test]
fn a_panic_in_main_ends_the_join() {
    let launched = launch(&options(3), async |shard| {
        if shard.id == ShardId(1) {
            panic!("the main of shard {}", shard.id);
        }
        // The others never end.
        pending::<()>().await;
    });
    let panic = launched.unwrap().join().unwrap_err();
    assert_eq!((panic.shard, panic.message.as_str()), (ShardId(1), "the main of shard 1"));
}

#[test]
fn a_panic_in_a_detached_task_ends_the_join() {
    let start = Instant::now();
    let launched = launch(&options(2), async |shard| {
        if shard.id == ShardId(0) {
            drop(spawn_into(Queue::Background, async {
                sleep(Duration::from_millis(5)).await;
                panic!("nobody awaits this");
            }));
        }
        sleep(Duration::from_secs(1000)).await;
    });
    let panic = launched.unwrap().join().unwrap_err();
    assert_eq!((panic.shard, panic.message.as_str()), (ShardId(0), "nobody awaits this"));
    assert!(start.elapsed() < Duration::from_secs(500), "prompt, not when the others end");
}

#[test]
fn every_thread_draws_its_own_random_numbers() {
    let drawn: Vec<Vec<u64>> = run_all(4, async |_| (0..100).map(|_| random_u64()).collect());
    let distinct: BTreeSet<u64> = drawn.iter().flatten().copied().collect();
    assert_eq!(distinct.len(), 400);
}

#[test]
fn an_idle_shard_uses_next_to_no_cpu() {
    // With the spin on: it ends when traffic does.
    let options = LaunchOptions { spin: Duration::from_micros(50), ..options(1) };
    let launched = launch(&options, async |_| {
        sleep(Duration::from_millis(50)).await;
        let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let before = cpu();
        let start = Instant::now();
        sleep(Duration::from_millis(1500)).await;
        let after = cpu();
        let used = (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec);
        used as f64 / start.elapsed().as_nanos() as f64
    });
    let share = launched.unwrap().join().unwrap()[0];
    assert!(share < 0.003, "an idle shard used {:.3} % of a core", share * 100.0);
}
