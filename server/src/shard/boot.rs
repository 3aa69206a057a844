//! From data directories to a serving shard, and back.
//!
//! One shard recovers what is on disk, learns from the metadata log which topics there are, and gives every shard its part.
//! Each opens its store and its partitions; when all have, the journals of the last run are removed and all listen. A stop
//! goes the other way: first all shards finish what they were asked, since they ask each other, then each closes its store.

mod error;
mod plan;

pub use error::{MetadataError, ShardError};

use super::{CallMessage, Calls, Context, Partitions, ServerOptions, context::Parts};
use crate::{
    api::Service,
    cluster::{Image, MetadataRecord},
    config::Config,
    control::{COMMANDS_MAX, Command, Shards},
    coordinator::Coordinator,
    group::Timeouts,
    job::{Applied, Commits, DATAFLOW_RING, Dataflow, EPOCH_RING, EpochMessage, epochs::Epochs, recovery},
};
use futures_util::future::{Either, select};
use millrace_engine::{
    epoch::{CommitNumber, CoordinatorStart, EpochOptions},
    registry::Registry,
    worker::ShardMessage,
};
use millrace_net::{
    connection::ConnectionOptions,
    listener::{Acceptor, AcceptorOptions},
};
use millrace_runtime::{
    ListenOptions, Listener, Mailbox, MailboxSender, Mesh, Port, PortSharing, Shard, ShardId, mailbox,
    random_bytes,
};
use millrace_storage::{Opened, ShardPart, Store};
use plan::{Plan, plan, recovered_options, store_options};
use std::{
    fmt,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use uuid::Builder;

/// The shard that recovers and directs the start.
const FIRST: ShardId = ShardId(0);

/// This node's id.
pub const NODE_ID: i32 = 1;

/// What goes between the shards while they start and stop: a few messages for each, once.
enum Step {
    /// To a shard: open this.
    Open(Box<ShardPart>, Arc<Vec<MetadataRecord>>),
    /// From a shard: it is open, and takes commands here.
    Opened(Opened, MailboxSender<Command>),
    /// To a shard: listen on this address.
    Listen(SocketAddr),
    /// From a shard: it listens.
    Listening,
    /// From a shard: it has answered everything, or will not.
    Drained,
    /// To a shard: nobody asks you anything any more.
    Close,
    /// To a shard: the start has failed elsewhere.
    Abort,
}

/// Steps under way between two shards at most.
const STEPS_MAX: usize = 8;

/// A server that listens.
#[derive(Clone, Debug)]
pub struct Started {
    /// The address that clients reach.
    pub address: SocketAddr,
    /// The way to its shards.
    pub shards: Shards,
}

/// What every shard of a server is started with.
#[derive(Clone)]
pub struct Boot {
    config: Arc<Config>,
    calls: Mesh<CallMessage<Context>>,
    steps: Mesh<Step>,
    frames: Mesh<ShardMessage>,
    epochs: Mesh<EpochMessage>,
    /// The last commit that readers see: one word for all shards.
    published: Arc<AtomicU64>,
    registry: Registry,
    started: Arc<dyn Fn(Started) + Send + Sync>,
}

impl Boot {
    /// A server of `shards` shards. `started` is called once, when all listen.
    #[must_use]
    pub fn new(config: Config, shards: u16, started: impl Fn(Started) + Send + Sync + 'static) -> Self {
        Self {
            config: Arc::new(config),
            calls: Mesh::new(shards, CallMessage::<Context>::RING_CAPACITY),
            steps: Mesh::new(shards, STEPS_MAX),
            frames: Mesh::new(shards, DATAFLOW_RING),
            epochs: Mesh::new(shards, EPOCH_RING),
            published: Arc::default(),
            registry: Registry::new(),
            started: Arc::new(started),
        }
    }

    /// With these jobs linked in.
    #[must_use]
    pub fn with_jobs(self, registry: Registry) -> Self {
        Self { registry, ..self }
    }

    /// Runs a shard from start to stop.
    ///
    /// # Errors
    /// [`ShardError`]. The process must end then: other shards may wait for this one.
    pub async fn run(self, shard: Shard) -> Result<(), ShardError> {
        let steps = self.steps.join(&shard);
        let calls = Calls::new(shard.id, shard.count, self.calls.join(&shard));
        if shard.id == FIRST {
            let result = self.run_first(&shard, &steps, calls).await;
            if result.is_err() {
                (1..shard.count).for_each(|other| steps.send(ShardId(other), Step::Abort));
            }
            result
        } else {
            self.run_other(&shard, &steps, calls).await
        }
    }

    async fn run_first(
        &self,
        shard: &Shard,
        steps: &Port<Step>,
        calls: Rc<Calls<Context>>,
    ) -> Result<(), ShardError> {
        let Plan { mut parts, old, records, locks: _locks } = plan(&self.config, shard.count).await?;
        for other in (1..shard.count).rev() {
            let part = Box::new(parts.pop().expect("a part for each shard"));
            steps.send(ShardId(other), Step::Open(part, Arc::clone(&records)));
        }
        let own = parts.pop().expect("a part for each shard");
        let (context, opened) = self.open(shard, own, calls, &records).await?;
        let (commands, inbox) = mailbox(shard, COMMANDS_MAX);
        let mut proofs = vec![opened];
        let mut mailboxes = vec![(FIRST, commands)];
        while mailboxes.len() < usize::from(shard.count) {
            if let (from, Step::Opened(opened, commands)) = steps.recv().await {
                proofs.push(opened);
                mailboxes.push((from, commands));
            }
        }
        old.remove(&proofs).await?;
        context.name_cluster().await?;
        let jobs = recovery::recover_jobs(&context).await?;
        context.begin_jobs(&jobs, self.epoch_options()).await;
        let address = self.listen(&context, self.config.server.listen, shard.count).await?;
        (1..shard.count).for_each(|other| steps.send(ShardId(other), Step::Listen(address)));
        for _ in 1..shard.count {
            expect(steps, |step| matches!(step, Step::Listening)).await;
        }
        mailboxes.sort_by_key(|(shard, _)| *shard);
        let shards = Shards::new(mailboxes.into_iter().map(|(_, mailbox)| mailbox).collect());
        (self.started)(Started { address, shards });
        context.controller().resume_all(&context);
        serve(&context, inbox).await?;
        for _ in 1..shard.count {
            expect(steps, |step| matches!(step, Step::Drained)).await;
        }
        (1..shard.count).for_each(|other| steps.send(ShardId(other), Step::Close));
        Ok(context.partitions().close().await?)
    }

    async fn run_other(
        &self,
        shard: &Shard,
        steps: &Port<Step>,
        calls: Rc<Calls<Context>>,
    ) -> Result<(), ShardError> {
        let (_, Step::Open(part, records)) = steps.recv().await else { return Err(ShardError::Aborted) };
        let (context, opened) = self.open(shard, *part, calls, &records).await?;
        let (commands, inbox) = mailbox(shard, COMMANDS_MAX);
        steps.send(FIRST, Step::Opened(opened, commands));
        let (_, Step::Listen(address)) = steps.recv().await else { return Err(ShardError::Aborted) };
        self.listen(&context, address, shard.count).await?;
        steps.send(FIRST, Step::Listening);
        serve(&context, inbox).await?;
        steps.send(FIRST, Step::Drained);
        let (_, Step::Close) = steps.recv().await else { return Err(ShardError::Aborted) };
        Ok(context.partitions().close().await?)
    }

    /// Opens this shard's store, and its partitions as the metadata tells them.
    async fn open(
        &self,
        shard: &Shard,
        part: ShardPart,
        calls: Rc<Calls<Context>>,
        records: &[MetadataRecord],
    ) -> Result<(Context, Opened), ShardError> {
        let options = Arc::new(ServerOptions { config: Config::clone(&self.config), node_id: NODE_ID });
        let mut image = Image::default();
        records.iter().for_each(|record| image.apply(record));
        let options_of = |key| recovered_options(key, &image, &options);
        let (store, opened) = Store::open(store_options(&self.config), part, options_of).await?;
        let group = &self.config.group;
        let millis = |millis: i32| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        let timeouts = Timeouts {
            session_min: millis(group.session_timeout_ms_min),
            session_max: millis(group.session_timeout_ms_max),
            initial_rebalance_delay: millis(group.initial_rebalance_delay_ms),
        };
        let context = Context::new(Parts {
            id: shard.id,
            count: shard.count,
            options,
            calls: Rc::clone(&calls),
            partitions: Partitions::new(store, Commits::new(Arc::clone(&self.published))),
            coordinator: Coordinator::new(timeouts),
            registry: self.registry.clone(),
            dataflow: Dataflow::new(shard.id, shard.count, self.frames.join(shard), self.epochs.join(shard)),
        });
        // Calls of other shards are taken from here on; those that need a partition which is not open yet are refused.
        calls.serve(context.clone());
        context.load(records).await;
        Ok((context, opened))
    }

    fn epoch_options(&self) -> EpochOptions {
        let dataflow = &self.config.dataflow;
        EpochOptions {
            min: Duration::from_millis(dataflow.epoch_ms_min),
            interval: Duration::from_millis(dataflow.epoch_ms_max),
            ..EpochOptions::default()
        }
    }

    async fn listen(
        &self,
        context: &Context,
        address: SocketAddr,
        shards: u16,
    ) -> Result<SocketAddr, ShardError> {
        // The journals of the last run are gone: what they took is kept for a full disk first.
        context.partitions().restore_reserve().await?;
        let sharing = if context.id() == FIRST { PortSharing::First } else { PortSharing::Joins };
        let options = ListenOptions { sharing, ..ListenOptions::default() };
        let listener =
            Listener::bind(address, options).await.map_err(|cause| ShardError::Listen { address, cause })?;
        let address = listener.local_addr();
        let bytes = |size: crate::config::ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
        let server = &self.config.server;
        let options = AcceptorOptions {
            connections_max: (server.connections_max as usize).div_ceil(usize::from(shards)),
            in_flight_bytes_max: bytes(self.config.memory.connection_bytes),
            connection: ConnectionOptions {
                frame_bytes_max: bytes(server.request_bytes_max),
                ..ConnectionOptions::default()
            },
        };
        let shard = context.clone();
        let acceptor = Acceptor::start(listener, options, move |peer| Service::new(shard.clone(), peer));
        context.set_acceptor(acceptor);
        Ok(address)
    }
}

/// Serves until a stop is commanded, then answers what is under way.
async fn serve(context: &Context, inbox: Mailbox<Command>) -> Result<(), ShardError> {
    let mut failed = pin!(context.partitions().failed());
    loop {
        let command = pin!(inbox.recv());
        match select(command, failed.as_mut()).await {
            Either::Left((Command::Run(run), _)) => run(context.clone()),
            Either::Left((Command::Stop, _)) => break,
            Either::Right((error, _)) => return Err(error.into()),
        }
    }
    context.dataflow().stop();
    if context.id() == FIRST {
        context.epochs().stop();
    }
    if let Some(acceptor) = context.acceptor() {
        acceptor.drain().await;
    }
    Ok(())
}

/// Waits for a step of this kind. Others may come too early, and then come only once: they are none that a start waits for.
async fn expect(steps: &Port<Step>, wanted: impl Fn(&Step) -> bool) {
    while !wanted(&steps.recv().await.1) {}
}

impl Context {
    /// Applies what the metadata log held at the start, and opens what this shard owns.
    async fn load(&self, records: &[MetadataRecord]) {
        if self.id() == FIRST {
            self.host_own().await;
        }
        self.apply_loaded(records).await;
    }

    /// What was committed is spliced: shards go on from there.
    async fn begin_jobs(&self, start: &CoordinatorStart, options: EpochOptions) {
        self.set_epochs(Epochs::new(options, start, self.count()));
        let last_commit = start.last_commit;
        for shard in (0..self.count()).map(ShardId) {
            self.on(shard, move |there| async move { there.begin_dataflow(last_commit) }).await;
        }
        self.epochs().start(self);
    }

    fn begin_dataflow(&self, last_commit: CommitNumber) {
        let dataflow = self.dataflow().clone();
        let commits = self.partitions().commits().clone();
        let applied = move |applied: Applied<'_>| dataflow.applied(applied, &commits);
        self.partitions().commits().begin(last_commit, self.clone(), applied);
        self.dataflow().start(self);
    }

    /// The first start of all gives the cluster its id.
    async fn name_cluster(&self) -> Result<(), ShardError> {
        if self.image().cluster_id().is_empty() {
            let id = Builder::from_random_bytes(random_bytes()).into_uuid();
            self.record(MetadataRecord::Cluster { id }).await.map_err(ShardError::Name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boot")
    }
}
