//! A shard's part in dataflow: its worker, and what goes in and out of it.
//!
//! One task steps the worker and carries off what it says; another takes the messages of `epochs`. Nothing here waits for
//! a disk or for another shard: what does is a task of its own, which delivers its answer to the worker and wakes it.

mod attempt;
mod epochs;
mod staging;

pub use attempt::{Known, Prepared, reader};

use super::{
    failure,
    message::{AttemptFailed, EpochMessage},
    source::{self, Places},
};
use crate::shard::{Alarm, Context};
use attempt::Running;
use epochs::Tick;
use futures_util::future::{Either, select};
use millrace_engine::{
    epoch::{Attempt, JobId, Participant},
    metrics::JobMetrics,
    source::Demand,
    table::UNRESOLVED_MAX,
    task::Watch,
    worker::{Inbound, Now, Outbound, Pace, ShardMessage, Worker},
};
use millrace_runtime::{Instant, Port, Queue, ShardId, spawn_into, yield_now};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    fmt,
    pin::pin,
    rc::Rc,
};
use tokio::sync::Notify;

/// The shard that coordinates epochs and jobs.
pub const CONTROLLER: ShardId = ShardId(0);

/// A shard's dataflow. Clones are the same.
#[derive(Clone)]
pub struct Dataflow(Rc<Inner>);

struct Inner {
    shard: ShardId,
    frames: Port<ShardMessage>,
    epochs: Port<EpochMessage>,
    worker: RefCell<Worker>,
    participant: RefCell<Participant>,
    prepared: RefCell<BTreeMap<JobId, Prepared>>,
    running: RefCell<BTreeMap<JobId, Running>>,
    /// Ticks that came while commits before them are being applied here.
    held_ticks: RefCell<VecDeque<Tick>>,
    /// For what sources read of other shards.
    places: Places,
    wake: Notify,
    alarm: Alarm,
    is_stopped: Cell<bool>,
}

impl Dataflow {
    /// A shard without jobs.
    #[must_use]
    pub fn new(shard: ShardId, shards: u16, frames: Port<ShardMessage>, epochs: Port<EpochMessage>) -> Self {
        Self(Rc::new(Inner {
            shard,
            frames,
            epochs,
            worker: RefCell::new(Worker::new(shard, Now::read(), Instant::now)),
            participant: RefCell::new(Participant::new(shard, UNRESOLVED_MAX)),
            prepared: RefCell::default(),
            running: RefCell::default(),
            held_ticks: RefCell::default(),
            places: Places::new(shards),
            wake: Notify::new(),
            alarm: Alarm::default(),
            is_stopped: Cell::new(false),
        }))
    }

    /// Starts to work and to listen, for the life of the shard.
    pub fn start(&self, shard: &Context) {
        drop(spawn_into(Queue::Dataflow, self.clone().work(shard.clone())));
        drop(spawn_into(Queue::Control, self.clone().listen(shard.clone())));
    }

    /// Works no more. What is not committed is made again after the next start.
    pub fn stop(&self) {
        self.0.is_stopped.set(true);
        for (_, mut running) in std::mem::take(&mut *self.0.running.borrow_mut()) {
            running.cancel();
        }
        self.0.wake.notify_one();
    }

    /// What a watchdog may look at from another thread.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.0.worker.borrow().watch()
    }

    /// Figures of the jobs on this shard.
    #[must_use]
    pub fn metrics(&self) -> Vec<JobMetrics> {
        self.0.worker.borrow().metrics()
    }

    /// Keeps what an attempt is to begin with.
    pub fn prepare(&self, job: JobId, prepared: Prepared) {
        self.0.prepared.borrow_mut().insert(job, prepared);
    }

    /// Sends a message to a shard. The coordinator's own go through [`Dataflow::try_send`].
    fn send(&self, to: ShardId, message: EpochMessage) {
        self.0.epochs.send(to, message);
    }

    /// Sends a message, or gives it back if the ring is full: the receiver is far behind.
    ///
    /// # Errors
    /// The message.
    pub fn try_send(&self, to: ShardId, message: EpochMessage) -> Result<(), EpochMessage> {
        self.0.epochs.try_send(to, message)
    }

    fn deliver(&self, message: Inbound) {
        self.0.worker.borrow_mut().deliver(message);
        self.0.wake.notify_one();
    }

    async fn work(self, shard: Context) {
        let (mut outbox, mut pace) = (Vec::new(), Pace::default());
        while !self.0.is_stopped.get() {
            while let Some((_, message)) = self.0.frames.try_recv() {
                self.0.worker.borrow_mut().deliver(Inbound::Shard(message));
            }
            self.carry(&shard, &mut outbox);
            let now = Now::read();
            let outcome = self.0.worker.borrow_mut().step(pace.budget(), now);
            pace.note(outcome.records, now.monotonic.elapsed());
            self.carry(&shard, &mut outbox);
            if outcome.more {
                yield_now().await;
                continue;
            }
            self.0.alarm.set(outcome.next_deadline);
            let (wake, alarm) = (pin!(self.0.wake.notified()), pin!(self.0.alarm.ring()));
            let frame = pin!(self.0.frames.recv());
            if let Either::Left(((_, message), _)) = select(frame, select(wake, alarm)).await {
                self.0.worker.borrow_mut().deliver(Inbound::Shard(message));
            }
        }
    }

    /// Carries off what the worker has to say, and what it says to the answers.
    fn carry(&self, shard: &Context, outbox: &mut Vec<Outbound>) {
        loop {
            outbox.extend(self.0.worker.borrow_mut().drain_outbox());
            if outbox.is_empty() {
                return;
            }
            for message in outbox.drain(..) {
                match message {
                    Outbound::Shard { to, message } => self.0.frames.send(to, message),
                    Outbound::Demand(demand) => self.demand(shard, demand),
                    Outbound::Worked { job, .. } => {
                        let mut actions = Vec::new();
                        self.0.participant.borrow_mut().worked(job, &mut actions);
                        self.perform(actions);
                    }
                    Outbound::Append(append) => {
                        if let Some(running) = self.0.running.borrow_mut().get_mut(&append.mark.job) {
                            running.appends.entry(append.mark).or_default().push(append);
                        }
                    }
                    Outbound::Sealed(sealed) => self.sealed(shard, sealed),
                    Outbound::Passed(passed) => self.passed(passed),
                    Outbound::Failed(failure) => {
                        let reason = failure::reason(&failure, &shard.image());
                        self.fail(failure.job, failure.attempt, reason);
                    }
                }
            }
        }
    }

    /// Answers a demand: now, if the records are in memory, else when they are there.
    fn demand(&self, shard: &Context, demand: Demand) {
        if self.of(&mut self.0.running.borrow_mut(), demand.job, demand.attempt).is_none() {
            return;
        }
        match source::answer_now(shard, &demand) {
            Ok(Some(data)) => return self.0.worker.borrow_mut().deliver(Inbound::Source(data)),
            Ok(None) => {}
            Err(error) => return self.fail(demand.job, demand.attempt, unreadable(shard, &demand, &error)),
        }
        let (dataflow, there) = (self.clone(), shard.clone());
        let waiting = spawn_into(Queue::Dataflow, async move {
            match source::answer(&there, &dataflow.0.places, demand).await {
                Ok(data) => dataflow.deliver(Inbound::Source(data)),
                Err(error) => dataflow.fail(demand.job, demand.attempt, unreadable(&there, &demand, &error)),
            }
        });
        if let Some(running) = self.of(&mut self.0.running.borrow_mut(), demand.job, demand.attempt) {
            running.demands.insert((demand.source, demand.topic, demand.partition), waiting);
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: the job's, on this shard")]
    fn of<'a>(
        &self,
        running: &'a mut BTreeMap<JobId, Running>,
        job: JobId,
        attempt: Attempt,
    ) -> Option<&'a mut Running> {
        running.get_mut(&job).filter(|running| running.attempt == attempt)
    }

    /// Takes an attempt out; another one of the job stays.
    fn take(&self, job: JobId, attempt: Attempt) -> Option<Running> {
        let mut running = self.0.running.borrow_mut();
        self.of(&mut running, job, attempt)?;
        running.remove(&job)
    }

    /// Has the coordinator end an attempt. Said once: what follows from it is no news.
    fn fail(&self, job: JobId, attempt: Attempt, reason: String) {
        if self.0.is_stopped.get() {
            return;
        }
        if let Some(running) = self.of(&mut self.0.running.borrow_mut(), job, attempt) {
            if std::mem::replace(&mut running.has_failed, true) {
                return;
            }
            let reason = failure::bounded(reason);
            self.send(CONTROLLER, EpochMessage::Failed(AttemptFailed { job, attempt, reason }));
        }
    }
}

fn unreadable(shard: &Context, demand: &Demand, error: &dyn fmt::Display) -> String {
    let Demand { topic, partition, from, .. } = demand;
    let topic = failure::name_of(*topic, &shard.image());
    format!("partition {partition} of topic {topic} can't be read at offset {from}: {error}")
}

impl fmt::Debug for Dataflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dataflow of shard {}", self.0.shard)
    }
}
