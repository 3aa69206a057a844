//! Scheduling, time, wake-ups between shards, and the end of processes.

use crate::one_node;
use millrace_runtime::{
    Elapsed, File, HashMap, Instant, MailboxClosed, Mesh, OpenOptions, Shard, ShardId, mailbox, random_u64,
    sim::{Crash, Device, NodeOptions, World, WorldOptions},
    sleep, spawn, timeout, unix_millis, yield_now,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    future::pending,
    path::Path,
    rc::Rc,
    time::Duration,
};

fn world(seed: u64) -> (World, millrace_runtime::sim::NodeId) {
    one_node(seed, Device::Fua)
}

#[test]
fn time_is_virtual_and_timers_fire_in_order() {
    let (world, node) = world(1);
    let order = Rc::new(RefCell::new(Vec::new()));
    world.block_on(node, async {
        let start = Instant::now();
        let sleepers: Vec<_> = [50u64, 10, 30]
            .into_iter()
            .map(|seconds| {
                let order = Rc::clone(&order);
                spawn(async move {
                    sleep(Duration::from_secs(seconds)).await;
                    order.borrow_mut().push(seconds);
                    Instant::now()
                })
            })
            .collect();
        for (sleeper, seconds) in sleepers.into_iter().zip([50, 10, 30]) {
            let woken = sleeper.await.expect("nobody cancels it");
            assert!(woken - start >= Duration::from_secs(seconds));
            assert!(woken - start < Duration::from_secs(seconds) + Duration::from_millis(10));
        }
    });
    assert_eq!(*order.borrow(), [10, 30, 50]);
}

#[test]
fn a_timeout_drops_its_future_and_a_cancelled_timer_leaves_nothing() {
    let (world, node) = world(2);
    world.block_on(node, async {
        assert_eq!(timeout(Duration::from_millis(5), pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout(Duration::from_secs(500), yield_now()).await, Ok(()));
    });
    world.run_until_idle();
    assert!(world.now().as_nanos() < Duration::from_secs(1).as_nanos() as u64);
}

#[test]
fn a_spinning_task_lets_time_pass() {
    let (world, node) = world(3);
    world.block_on(node, async {
        let done = Rc::new(Cell::new(false));
        let stop = Rc::clone(&done);
        let spinner = spawn(async move {
            while !stop.get() {
                yield_now().await;
            }
        });
        sleep(Duration::from_millis(1)).await;
        done.set(true);
        spinner.await
    });
}

#[test]
fn ready_tasks_run_in_an_order_of_the_seeds() {
    let orders: BTreeSet<Vec<u32>> = (0..50)
        .map(|seed| {
            let (world, node) = world(seed);
            let order = Rc::new(RefCell::new(Vec::new()));
            world.block_on(node, async {
                for task in 0..4 {
                    let order = Rc::clone(&order);
                    drop(spawn(async move { order.borrow_mut().push(task) }));
                }
            });
            world.run_until_idle();
            order.take()
        })
        .collect();
    assert!(orders.len() > 10, "only {} orders of 24 in 50 worlds", orders.len());
}

#[test]
fn cancelling_drops_the_future_and_tells_the_joiner() {
    let (world, node) = world(4);
    world.block_on(node, async {
        let owned = Rc::new(());
        let held = Rc::clone(&owned);
        let task = spawn(async move {
            let _held = held;
            pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.await, None);
        assert_eq!(Rc::strong_count(&owned), 1);
    });
}

#[test]
fn shards_talk_over_a_mesh_in_order() {
    for seed in 0..20 {
        let (world, node) = world(seed);
        let mesh: Mesh<u32> = Mesh::new(3, 100);
        let running = world.launch(node, 3, move |shard: Shard| {
            let mesh = mesh.clone();
            async move {
                let port = mesh.join(&shard);
                for message in 0..100 {
                    for to in 0..shard.count {
                        port.send(ShardId(to), message);
                    }
                    if random_u64().is_multiple_of(4) {
                        yield_now().await;
                    }
                }
                let mut next = [0; 3];
                for _ in 0..300 {
                    let (from, message) = port.recv().await;
                    assert_eq!(message, next[from.index()]);
                    next[from.index()] += 1;
                }
                shard.id.0
            }
        });
        assert_eq!(world.join(running), Ok(vec![0, 1, 2]));
    }
}

#[test]
fn a_mailbox_is_bounded_and_closes_with_its_shard() {
    let (world, node) = world(5);
    let sender = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&sender);
    let running = world.launch(node, 1, move |shard| {
        let keep = Rc::clone(&keep);
        async move {
            let (sender, receiver) = mailbox::<u32>(&shard, 2);
            *keep.borrow_mut() = Some(sender);
            receiver.recv().await + receiver.recv().await
        }
    });
    world.run_until_idle();
    let sender = sender.take().expect("the shard has started");
    sender.send(1).expect("there is room for two");
    sender.send(2).expect("there is room for two");
    assert!(matches!(sender.send(3), Err(MailboxClosed::Full(3))));
    assert_eq!(world.join(running), Ok(vec![3]));
    assert!(matches!(sender.send(4), Err(MailboxClosed::Closed(4))));
}

#[test]
fn a_shard_ends_with_its_main_future() {
    let (world, node) = world(6);
    let owned = Rc::new(());
    let held = Rc::clone(&owned);
    let running = world.launch(node, 1, move |_| {
        let held = Rc::clone(&held);
        async move {
            drop(spawn(async move {
                let _held = held;
                pending::<()>().await;
            }));
        }
    });
    world.join(running).expect("nobody kills it");
    world.run_until_idle();
    assert_eq!(Rc::strong_count(&owned), 1, "what it left behind is dropped, and the closure");
}

/// Does in its drop all that a drop must not achieve.
struct Mischief(Rc<RefCell<Vec<u32>>>, u32);

impl Drop for Mischief {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
        drop(spawn(async {
            let opened = File::open(Path::new("/ghost"), OpenOptions::CREATE_NEW).await;
            panic!("a dead shard ran a task: {opened:?}");
        }));
        assert!(random_u64() != random_u64());
        drop(HashMap::<u32, u32>::default());
    }
}

#[test]
fn a_kill_drops_all_in_the_order_of_spawning_and_what_a_drop_does_is_in_vain() {
    let (world, node) = world(7);
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    let running = world.launch(node, 2, move |shard| {
        let log = Rc::clone(&log);
        async move {
            let mischief = Mischief(Rc::clone(&log), 0);
            for number in 1..4 {
                let mischief = Mischief(Rc::clone(&log), number);
                drop(spawn(async move {
                    let _mischief = mischief;
                    pending::<()>().await;
                }));
                // One after the other, so that the second shard's come later.
                sleep(Duration::from_millis(10 + u64::from(shard.id.0))).await;
            }
            pending::<()>().await;
            drop(mischief);
        }
    });
    world.run_for(Duration::from_secs(1));
    world.kill(node, Crash::PowerCut);
    assert!(running.is_killed());
    assert_eq!(*order.borrow(), [0, 0, 1, 1, 2, 2, 3, 3]);
    world.run_until_idle();
    assert!(world.disk(node).files().is_empty());
}

#[test]
fn dropping_a_world_drops_its_tasks_in_their_shards() {
    let (world, node) = world(8);
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    let _running = world.launch(node, 1, move |_| {
        let mischief = Mischief(Rc::clone(&log), 9);
        async move {
            let _mischief = mischief;
            pending::<()>().await;
        }
    });
    world.run_until_idle();
    drop(world);
    assert_eq!(*order.borrow(), [9]);
}

#[test]
fn a_panic_in_a_task_comes_out_of_the_run_and_drops_the_task_in_its_shard() {
    let (world, node) = world(9);
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    let _running = world.launch(node, 1, move |_| {
        let mischief = Mischief(Rc::clone(&log), 1);
        async move {
            let _mischief = mischief;
            yield_now().await;
            panic!("on purpose");
        }
    });
    let run = std::panic::AssertUnwindSafe(|| world.run_until_idle());
    let panic = std::panic::catch_unwind(run).expect_err("the task panics");
    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    assert_eq!(*order.borrow(), [1]);
}

#[test]
fn a_world_at_rest_and_one_out_of_time_panic_with_the_seed() {
    let message = |options: WorldOptions, forever: bool| {
        let world = World::new(0xfeed, options);
        let node = world.add_node("a", NodeOptions::default());
        let run = std::panic::AssertUnwindSafe(|| {
            world.block_on(node, async {
                if forever {
                    loop {
                        sleep(Duration::from_secs(60)).await;
                    }
                }
                pending::<()>().await;
            });
        });
        let panic = std::panic::catch_unwind(run).expect_err("it can't finish");
        panic.downcast_ref::<String>().expect("a formatted message").clone()
    };
    let rest = message(WorldOptions::default(), false);
    assert!(rest.contains("at rest") && rest.contains("0x000000000000feed"), "{rest}");
    let limit = message(WorldOptions::default(), true);
    assert!(limit.contains("virtual time") && limit.contains("0x000000000000feed"), "{limit}");
    let spin = message(WorldOptions { polls_max: 10, ..WorldOptions::default() }, true);
    assert!(spin.contains("polled") && spin.contains("0x000000000000feed"), "{spin}");
}

#[test]
fn each_node_has_its_own_wall_clock() {
    let world = World::new(1, WorldOptions::default());
    let (a, b) = (world.add_node("a", NodeOptions::default()), world.add_node("b", NodeOptions::default()));
    world.set_clock_offset(b, -5_000);
    let (at_a, at_b) =
        (world.block_on(a, async { unix_millis() }), world.block_on(b, async { unix_millis() }));
    assert!((4_990..=5_000).contains(&(at_a - at_b)), "{at_a} and {at_b}");
}
