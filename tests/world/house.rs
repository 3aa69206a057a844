//! A simulated machine that runs a server, and one that runs clients.

use millrace::{
    config::{ByteSize, Config, Durability},
    control::Shards,
    shard::{Boot, ShardError, Started},
};
use millrace_engine::registry::Registry;
use millrace_net::client::{Cluster, ClusterOptions};
use millrace_runtime::sim::{
    Crash, Device, DiskHandle, DiskOptions, NodeId, NodeOptions, Running, World, WorldOptions,
};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

type Ends = Running<Result<(), ShardError>>;

/// What the server says when it listens.
type Told = Arc<Mutex<Option<Started>>>;

pub(crate) struct House {
    pub(crate) world: World,
    pub(crate) clients: NodeId,
    server: NodeId,
    jobs: RefCell<Registry>,
    durability: Cell<Durability>,
    running: RefCell<Option<(Ends, Told)>>,
}

impl House {
    pub(crate) fn new(seed: u64, device: Device) -> Self {
        Self::with_jobs(seed, device, Registry::new())
    }

    pub(crate) fn with_jobs(seed: u64, device: Device, jobs: Registry) -> Self {
        let options = WorldOptions { time_limit: Duration::from_secs(3600), ..WorldOptions::default() };
        let world = World::new(seed, options);
        let disk = DiskOptions { device, ..DiskOptions::default() };
        let server = world.add_node("server", NodeOptions { disk });
        let clients = world.add_node("clients", NodeOptions::default());
        Self {
            world,
            clients,
            server,
            jobs: RefCell::new(jobs),
            durability: Cell::new(Durability::Fsync),
            running: RefCell::new(None),
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::default();
        config.server.listen = self.address();
        config.server.data_dirs = vec!["/data".into()];
        config.journal.file_bytes = ByteSize(1 << 20);
        config.journal.files_max = 4;
        config.topic.segment_bytes = ByteSize(256 << 10);
        config.topic.durability = self.durability.get();
        // As many epochs under way as may be.
        config.dataflow.epoch_ms_min = 0;
        config.dataflow.epoch_ms_max = 0;
        config.group.initial_rebalance_delay_ms = 0;
        config.group.offsets_partitions = 3;
        config.group.offsets_retention_minutes = 5;
        config
    }

    /// From the next start on an acknowledgement means this.
    pub(crate) fn acknowledge(&self, durability: Durability) {
        self.durability.set(durability);
    }

    /// The next start is that of a binary with these jobs.
    pub(crate) fn install(&self, jobs: Registry) {
        self.jobs.replace(jobs);
    }

    /// Starts the server and returns when it listens.
    pub(crate) fn start(&self, shards: u16) {
        self.launch(shards);
        let running = self.running.borrow();
        let (running, started) = running.as_ref().unwrap();
        self.world.run_until(|| started.lock().unwrap().is_some() || running.is_finished());
        assert!(!running.is_finished(), "the server has ended");
    }

    /// Starts the server, and does not wait.
    pub(crate) fn launch(&self, shards: u16) {
        let started = Told::default();
        let told = Arc::clone(&started);
        let boot = Boot::new(self.config(), shards, move |now| *told.lock().unwrap() = Some(now));
        let boot = boot.with_jobs(self.jobs.borrow().clone());
        let running = self.world.launch(self.server, shards, move |shard| boot.clone().run(shard));
        *self.running.borrow_mut() = Some((running, started));
    }

    /// Stops the server cleanly.
    pub(crate) fn stop(&self) {
        let (running, started) = self.running.take().unwrap();
        started.lock().unwrap().as_ref().unwrap().shards.stop();
        for ended in self.world.join(running).unwrap() {
            ended.unwrap();
        }
    }

    /// The way to the shards of the server that runs.
    pub(crate) fn shards(&self) -> Shards {
        let running = self.running.borrow();
        let (_, started) = running.as_ref().unwrap();
        started.lock().unwrap().as_ref().unwrap().shards.clone()
    }

    pub(crate) fn crash(&self, crash: Crash) {
        self.world.kill(self.server, crash);
        drop(self.running.take());
    }

    pub(crate) fn disk(&self) -> DiskHandle {
        self.world.disk(self.server)
    }

    /// How many changes the server's disk has seen.
    pub(crate) fn io_steps(&self) -> u64 {
        self.world.io_steps(self.server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.world.ip(self.server), 9092)
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(vec![self.address()], ClusterOptions::default())
    }

    /// Runs a client to its end.
    pub(crate) fn client<F: Future>(&self, client: F) -> F::Output {
        self.world.block_on(self.clients, client)
    }
}
