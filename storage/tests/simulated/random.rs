//! Random histories: lives that end in closes, kills and power cuts, on every device, with 1, 2 and 4 shards.

use crate::{
    acts::{advance_start, cut, produce, remove},
    drive::{Life, Setup, Shared, any_sample, append, below, data, kill, rest, stage},
    model::Known,
};
use millrace_record::Offset;
use millrace_runtime::{
    sim::{Crash, Device, DiskOptions, IoStep, NodeId, NodeOptions, World, WorldOptions, seeds},
    spawn, yield_now,
};
use millrace_storage::{Durability, FrameScope, Isolation, Log, LogKey, LogOptions, ReadRequest};
use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::Duration,
};

/// Which lives a world has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) lives: u32,
    /// Whether crashes keep what the operating system has.
    pub(crate) process_only: bool,
}

/// Runs a world and panics if it breaks a promise.
pub(crate) fn run(seed: u64, device: Device, setup: &Setup, plan: Plan) {
    let world = World::new(seed, WorldOptions::default());
    let node = world.add_node("node", NodeOptions { disk: DiskOptions { device, ..DiskOptions::default() } });
    let model = Shared::default();
    for _ in 0..plan.lives {
        live(&world, node, setup, &model, plan);
    }
    // After the last crash everything works again.
    let (shared, last) = (Rc::clone(&model), setup.clone());
    world.block_on(node, async move {
        let life = Life::open(&last, 2).await;
        life.check(&shared).await;
        life.recommit(&shared).await;
        let keys: Vec<_> = (0..last.partitions).map(|partition| current(&shared, partition)).collect();
        for key in &keys {
            let log = life.log(*key, &last).await;
            append(&log, &shared, &any_sample(&shared)).await.unwrap();
            log.durable().await.unwrap();
        }
        life.close().await;
        let life = Life::open(&last, 1).await;
        assert!(life.is_clean, "a closed store is clean");
        life.check(&shared).await;
        life.close().await;
    });
}

/// What a life has open, to be shown if it does not end.
type Shown = Rc<RefCell<Weak<Life>>>;

/// One process, from its start to its end.
fn live(world: &World, node: NodeId, setup: &Setup, model: &Shared, plan: Plan) {
    let stop = Rc::new(Cell::new(false));
    let shown = Shown::default();
    let running = {
        let (setup, model, stop, shown) =
            (setup.clone(), Rc::clone(model), Rc::clone(&stop), Rc::clone(&shown));
        world.launch(node, 1, move |_| {
            work(setup.clone(), Rc::clone(&model), Rc::clone(&stop), Rc::clone(&shown))
        })
    };
    let span = Duration::from_micros(100 << (world.random_u64() % 12));
    let crash = if plan.process_only { Crash::Process } else { Crash::PowerCut };
    match world.random_u64() % 4 {
        0 => {
            world.run_for(span);
            stop.set(true);
            world.run_for(Duration::from_secs(60));
            assert!(running.is_finished(), "a life does not end: {:#?}", shown.borrow().upgrade());
            // Nothing is lost by what comes after a clean stop.
            world.kill(node, crash);
        }
        1 => {
            let step = world.io_steps(node) + world.random_u64() % 150;
            let step = if step.is_multiple_of(2) { IoStep::Before(step) } else { IoStep::After(step) };
            world.crash_at_io(node, step, crash);
            world.run_for(Duration::from_secs(2));
            world.kill(node, crash);
        }
        _ => {
            world.run_for(span);
            if plan.process_only { world.kill(node, Crash::Process) } else { kill(world, node) }
        }
    }
}

async fn work(setup: Setup, model: Shared, stop: Rc<Cell<bool>>, shown: Shown) {
    let shards = [1, 2, 4][below(3) as usize];
    let life = Rc::new(Life::open(&setup, shards).await);
    *shown.borrow_mut() = Rc::downgrade(&life);
    life.check(&model).await;
    life.recommit(&model).await;
    let workers: Vec<_> = (0..setup.partitions)
        .map(|partition| {
            let (life, setup, model, stop) =
                (Rc::clone(&life), setup.clone(), Rc::clone(&model), Rc::clone(&stop));
            spawn(async move {
                while !stop.get() {
                    act(&life, &setup, &model, partition).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await;
    }
    Rc::into_inner(life).expect("the workers are gone").close().await;
}

/// Does something with a partition. What partitions are for: 0 is spliced onto, 1 is cut, 2 is removed now and then,
/// and 3 has an idempotent producer.
async fn act(life: &Life, setup: &Setup, model: &Shared, partition: i32) {
    let key = match partition {
        2 => current(model, partition),
        _ => data(partition),
    };
    let log = life.log(key, setup).await;
    model.borrow_mut().logs.entry(key).or_default();
    match (below(40), partition) {
        (0..4, _) => rest().await,
        (4..9, _) => look(&log, model).await,
        (9..11, _) => look_up(&log, model).await,
        (11, 0..=2) => log.durable().await.unwrap(),
        (12..20, 0) => stage(life, setup, model, key).await,
        (12, 1) => cut(&log, model).await,
        (13, 1 | 2) => advance_start(&log, model).await,
        (14, 2) if below(4) == 0 => remove(life, model, key).await,
        (12..30, 3) => produce(&log, model).await,
        _ => append(&log, model, &any_sample(model)).await.unwrap(),
    }
    yield_now().await;
}

/// The partition that has taken the place of a removed one: a topic that is made anew has another id.
fn current(model: &Shared, partition: i32) -> LogKey {
    let model = model.borrow();
    let is_gone = |key: &LogKey| model.logs.get(key).is_some_and(|log| log.removed);
    (0..).map(|round| data(partition + 4 * round)).find(|key| !is_gone(key)).unwrap()
}

/// Reads a few batches somewhere and holds them against the model.
async fn look(log: &Log, model: &Shared) {
    let (start, end) = (log.start_offset(), log.high_watermark());
    let offset = start + below((end - start) as u64 + 1) as Offset;
    let max_bytes = 1 + below(50_000) as usize;
    let request =
        ReadRequest { offset, max_bytes, at_least_one: true, isolation: Isolation::ReadUncommitted };
    let read = log.read(&request).await.unwrap();
    assert!(read.high_watermark >= end);
    assert_eq!(read.batches.is_empty(), offset == read.high_watermark, "{log:?} at {offset}: {read:?}");
    let model = model.borrow();
    let known = &model.logs[&log.key()].batches;
    let first = known.partition_point(|batch| batch.next_offset <= offset);
    for (at, batch) in read.batches.iter().enumerate() {
        batch.as_batch().check().unwrap();
        assert_eq!(
            known.get(first + at),
            Some(&Known::of(batch.header(), batch.header().base_offset)),
            "{log:?}"
        );
    }
}

/// Looks a timestamp up.
async fn look_up(log: &Log, model: &Shared) {
    let end = log.high_watermark();
    let timestamp = 999_990 + below(1020) as i64;
    let found = log.offset_for_timestamp(timestamp, Isolation::ReadUncommitted).await.unwrap();
    let start = log.start_offset();
    let model = model.borrow();
    let known = model.logs[&log.key()].batches.iter().filter(|batch| batch.next_offset <= end);
    // Records of a batch become older one by one, so its first one has its largest timestamp.
    let record_of = |batch: &Known| {
        let first_visible = batch.offset.max(start);
        let timestamp_there = batch.max_timestamp - (first_visible - batch.offset);
        (first_visible < batch.next_offset && timestamp_there >= timestamp).then_some(first_visible)
    };
    let expected = known.filter(|batch| !batch.is_control).find_map(record_of);
    if let Some(expected) = expected {
        assert_eq!(found.map(|found| found.offset), Some(expected), "{log:?} at {timestamp}");
    } else {
        // The log may have grown meanwhile.
        assert!(found.is_none_or(|found| found.offset >= end), "{log:?} at {timestamp}: {found:?}");
    }
}

const DEVICES: [Device; 3] = [Device::NoCache, Device::Fua, Device::FlushOnly];

/// Runs `count` worlds on the device that each seed stands for, or as many as the environment asks for.
fn worlds(device: usize, count: u64, setup: &Setup, plan: Plan) {
    #[expect(clippy::disallowed_methods, reason = "whoever soaks says how long")]
    let asked = std::env::var("MILLRACE_STORAGE_WORLDS").ok().and_then(|count| count.parse().ok());
    let of_device = |seed: &u64| (*seed % 3) as usize == device;
    for seed in seeds(3 * asked.unwrap_or(count)).filter(of_device) {
        run(seed, DEVICES[device], setup, plan);
    }
}

const ALL_CRASHES: Plan = Plan { lives: 6, process_only: false };

#[test]
fn nothing_acknowledged_is_lost_without_a_cache() {
    worlds(0, 10, &Setup::small(), ALL_CRASHES);
}

#[test]
fn nothing_acknowledged_is_lost_with_fua() {
    worlds(1, 10, &Setup::small(), ALL_CRASHES);
}

#[test]
fn nothing_acknowledged_is_lost_with_a_cache_to_be_flushed() {
    worlds(2, 10, &Setup::small(), ALL_CRASHES);
}

/// Nobody may rely on a frame being there wholly or not at all.
#[test]
fn nothing_relies_on_frames_of_several_logs() {
    let mut setup = Setup::small();
    setup.options.frame_scope = FrameScope::Log;
    (0..3).for_each(|device| worlds(device, 2, &setup, ALL_CRASHES));
}

/// What is only handed to the operating system survives the process.
#[test]
fn weak_durability_survives_kill_9() {
    let setup = Setup::small();
    let setup = Setup { log: LogOptions { durability: Durability::Os, ..setup.log }, ..setup };
    (0..3).for_each(|device| worlds(device, 2, &setup, Plan { lives: 6, process_only: true }));
}

/// The same seed gives the same history, whatever it is.
#[test]
fn a_seed_is_a_history() {
    let hash = |seed| {
        let world = World::new(seed, WorldOptions::default());
        let node = world.add_node("node", NodeOptions::default());
        let model = Shared::default();
        for _ in 0..3 {
            live(&world, node, &Setup::small(), &model, Plan { lives: 3, process_only: false });
        }
        world.trace_hash()
    };
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}
