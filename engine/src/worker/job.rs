//! A job on this shard: its tasks, and the carrying of frames and credits between them.

use super::{
    Deployment, Now, StartError,
    clocks::Clocks,
    instance::{Instance, Parts, Piece},
    message::{Credit, Outbound, Passed, Rollback, ShardMessage},
};
use crate::{
    epoch::{Attempt, Epoch, JobId, SourceId, TaskId},
    exchange::{EdgeId, EdgeOutput, Frame, Gate, Partitioning, SendState},
    failure::{Cause, Failure, cause_of},
    key::Placement,
    metrics::JobMetrics,
    plan::{EdgeSpec, Plan, Stage, StageId},
    sink::TopicOutput,
    source::SourceReader,
    table::UNRESOLVED_MAX,
    task::{Context, OpenContext, Watch},
};
use bytes::Bytes;
use millrace_runtime::{Instant, ShardId};
use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// A task is left for the next one after so many records.
const SLICE_RECORDS: u32 = 1024;

/// A job on this shard.
pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) attempt: Attempt,
    name: String,
    shard: ShardId,
    tasks: Vec<Instance>,
    /// The task that reads each edge, and the task and output that write it.
    readers: Vec<Option<usize>>,
    writers: Vec<(usize, usize)>,
    is_restoring: bool,
    /// When the running step began.
    now: Instant,
    /// The task to look at first.
    next: usize,
    /// For each epoch that some task has passed: how many did, and whether all of these had ended before.
    passed: BTreeMap<Epoch, (usize, bool)>,
    /// Epochs that all tasks have passed and that are not committed.
    unresolved: VecDeque<Epoch>,
    /// Whether the open epoch's work was told.
    has_told_work: bool,
}

impl Job {
    pub(super) fn start(
        shard: ShardId,
        plan: Plan,
        deployment: Deployment,
        watch: &Watch,
        now: Now,
    ) -> Result<Self, StartError> {
        let Some(range) = deployment.placement.range_of(shard) else {
            return Err(StartError::NotPlaced { shard });
        };
        if deployment.placement.groups() != plan.groups {
            return Err(StartError::KeyGroups {
                plan: plan.groups.count(),
                placement: deployment.placement.groups().count(),
            });
        }
        let placement = Arc::new(deployment.placement.clone());
        let mut job = Self {
            id: deployment.job,
            attempt: deployment.attempt,
            name: plan.name,
            shard,
            tasks: Vec::new(),
            readers: vec![None; plan.edges.len()],
            writers: vec![(usize::MAX, usize::MAX); plan.edges.len()],
            is_restoring: deployment.is_restored,
            now: now.monotonic,
            next: 0,
            passed: BTreeMap::new(),
            unresolved: VecDeque::new(),
            has_told_work: false,
        };
        for stage in plan.stages {
            let send = SendState::new(job.id, job.attempt, shard, plan.exchange);
            let mut cx = Context::new(send, watch.clone());
            cx.now_ms = now.unix_ms;
            let mut parts = job.assemble(stage, &plan.edges, &placement, &deployment, cx)?;
            let mut tables = Vec::new();
            let mut open = OpenContext::new(shard, &placement, range, &parts.operators, &mut tables);
            catch_unwind(AssertUnwindSafe(|| parts.task.open(&mut open))).map_err(|payload| {
                StartError::Open { task: parts.name.clone(), shard, cause: cause_of(payload) }
            })?;
            let mut instance = Instance::new(parts);
            let source = instance.stage.source();
            for split in deployment.splits.iter().filter(|split| split.source == source) {
                instance.add_split(split);
            }
            job.tasks.push(instance);
        }
        if !job.is_restoring {
            job.begin();
        }
        Ok(job)
    }

    /// Joins a stage's inputs and outputs with the rest of the graph.
    fn assemble(
        &mut self,
        stage: Stage,
        edges: &[EdgeSpec],
        placement: &Arc<Placement>,
        deployment: &Deployment,
        mut cx: Context,
    ) -> Result<Parts, StartError> {
        let index = self.tasks.len();
        let mut gate = Gate::default();
        for input in &stage.inputs {
            let channels = input.iter().flat_map(|edge| {
                let senders = match edges[edge.0 as usize].partitioning {
                    Partitioning::Keyed => placement.shards(),
                    Partitioning::Local => std::slice::from_ref(&self.shard),
                };
                senders.iter().map(|from| (*edge, *from))
            });
            gate.add(channels);
            for edge in input {
                self.readers[edge.0 as usize] = Some(index);
            }
        }
        for (output, edge) in stage.outputs.iter().enumerate() {
            let partitioning = edges[edge.0 as usize].partitioning;
            cx.edges.push(EdgeOutput::new(*edge, partitioning, placement, &cx.send));
            self.writers[edge.0 as usize] = (index, output);
        }
        for (output, spec) in stage.topics.into_iter().enumerate() {
            let info = deployment.topics.get(&spec.topic).cloned();
            let info = info.ok_or_else(|| StartError::UnknownTopic { topic: spec.topic.clone() })?;
            cx.topics.push(TopicOutput::new(output as u32, spec.topic, info, spec.options));
        }
        let is_keyed = |input: &Vec<EdgeId>| {
            input.iter().all(|edge| edges[edge.0 as usize].partitioning == Partitioning::Keyed)
        };
        let keyed = stage.inputs.iter().map(is_keyed).collect();
        let reader = SourceReader::new(self.id, self.attempt, stage.id.source(), deployment.is_bounded);
        let operators = stage.operators.into_iter().map(|operator| operator.name).collect();
        Ok(Parts {
            stage: stage.id,
            id: stage.id.task_on(self.shard),
            name: stage.name,
            operators,
            task: stage.task,
            clocks: Clocks::new(self.shard, placement, keyed, &deployment.splits),
            cx,
            gate,
            source: stage.source.map(|_| reader),
        })
    }

    /// The tables are as they should be: tasks may run. Processing time does not fall behind what was saved.
    pub(super) fn begin(&mut self) {
        self.is_restoring = false;
        for task in &mut self.tasks {
            let saved_ms = task.begin();
            task.cx.now_ms = task.cx.now_ms.max(saved_ms);
        }
    }

    fn task(&mut self, id: TaskId) -> Option<&mut Instance> {
        self.tasks.iter_mut().find(|task| task.id == id)
    }

    pub(super) fn source_mut(&mut self, id: SourceId) -> Option<&mut Instance> {
        self.tasks.iter_mut().find(|task| task.stage.source() == id)
    }

    /// As many epochs are unresolved as may be: no barrier comes, and what sources may add to the open epoch is bounded.
    fn is_held(&self) -> bool {
        self.unresolved.len() + self.passed.len() >= UNRESOLVED_MAX
    }

    /// Sets processing time for this step.
    pub(super) fn set_now(&mut self, now: Now) {
        self.now = now.monotonic;
        let is_held = self.is_held();
        for task in &mut self.tasks {
            task.cx.now_ms = task.cx.now_ms.max(now.unix_ms);
            task.note_blocked(now.monotonic, is_held);
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.is_restoring && self.tasks.iter().any(|task| task.is_ready(self.is_held()))
    }

    /// When a task asked to be woken, the earliest.
    pub(super) fn wake_at_ms(&self) -> Option<i64> {
        self.tasks.iter().filter_map(|task| task.cx.wake_at_ms).min()
    }

    /// Gives each task that is ready a slice of the budget. Returns whether one was.
    pub(super) fn run(
        &mut self,
        budget: &mut u32,
        clock: fn() -> Instant,
        outbox: &mut VecDeque<Outbound>,
    ) -> Result<bool, Box<Failure>> {
        let mut ran = false;
        if self.is_restoring {
            return Ok(false);
        }
        for _ in 0..self.tasks.len() {
            let index = self.next % self.tasks.len();
            self.next = index + 1;
            let is_held = self.is_held();
            if *budget == 0 || !self.tasks[index].is_ready(is_held) {
                continue;
            }
            ran = true;
            let slice = SLICE_RECORDS.min(*budget);
            let pieces = self.tasks[index].run(slice, is_held, clock)?;
            let left = self.tasks[index].cx.budget;
            *budget -= (slice - left).max(1).min(*budget);
            self.after_run(index, pieces, outbox);
            let is_held = self.is_held();
            self.tasks[index].note_blocked(self.now, is_held);
        }
        Ok(ran)
    }

    /// Carries off what a task has made.
    fn after_run(&mut self, index: usize, pieces: Vec<Piece>, outbox: &mut VecDeque<Outbound>) {
        let is_held = self.is_held();
        let task = &mut self.tasks[index];
        if !task.is_ready(is_held) {
            task.cx.flush();
        }
        outbox.extend(task.take_demands().into_iter().map(Outbound::Demand));
        let has_worked = task.take_worked();
        let consumed = std::mem::take(&mut task.gate.consumed);
        self.carry(index, outbox);
        for frame in consumed {
            self.release(frame, outbox);
        }
        for Piece { appends, sealed } in pieces {
            let passed = self.passed.entry(sealed.mark.epoch).or_insert((0, true));
            passed.0 += 1;
            passed.1 &= sealed.is_last;
            self.has_told_work = false;
            outbox.extend(appends.into_iter().map(Outbound::Append));
            outbox.push_back(Outbound::Sealed(sealed));
        }
        if has_worked && !std::mem::replace(&mut self.has_told_work, true) {
            outbox.push_back(Outbound::Worked { job: self.id, attempt: self.attempt });
        }
        self.tell_passed(outbox);
    }

    /// Tells of epochs that all tasks have passed, in order.
    fn tell_passed(&mut self, outbox: &mut VecDeque<Outbound>) {
        while let Some(first) = self.passed.first_entry()
            && first.get().0 == self.tasks.len()
        {
            let (epoch, (_, is_drained)) = first.remove_entry();
            self.unresolved.push_back(epoch);
            let (job, attempt) = (self.id, self.attempt);
            outbox.push_back(Outbound::Passed(Passed { job, attempt, epoch, is_drained }));
        }
    }

    /// Brings the frames that a task has sent to their readers.
    fn carry(&mut self, index: usize, outbox: &mut VecDeque<Outbound>) {
        let sent = std::mem::take(&mut self.tasks[index].cx.send.sent);
        for frame in sent {
            if frame.route.to == self.shard {
                self.receive(frame);
            } else {
                let to = frame.route.to;
                outbox.push_back(Outbound::Shard { to, message: ShardMessage::Frame(frame) });
            }
        }
    }

    /// Returns the credit of a consumed frame.
    fn release(&mut self, frame: Frame, outbox: &mut VecDeque<Outbound>) {
        let route = frame.route;
        let credit = Credit { route, buffer: frame.into_buffer() };
        if route.from == self.shard {
            self.credit(credit, outbox);
        } else {
            outbox.push_back(Outbound::Shard { to: route.from, message: ShardMessage::Credit(credit) });
        }
    }

    /// Takes in a frame of this attempt.
    pub(super) fn receive(&mut self, frame: Frame) {
        let reader = self.readers.get(frame.route.edge.0 as usize).copied().flatten();
        if let Some(reader) = reader {
            self.tasks[reader].gate.receive(frame);
        }
    }

    /// Takes back a credit of this attempt, which may send a frame.
    pub(super) fn credit(&mut self, credit: Credit, outbox: &mut VecDeque<Outbound>) {
        let (task, output) = self.writers[credit.route.edge.0 as usize];
        let Context { edges, send, .. } = &mut self.tasks[task].cx;
        edges[output].credit(credit.route.to, credit.buffer, send);
        self.carry(task, outbox);
    }

    /// Takes back credits of a sink.
    pub(super) fn credit_topic(&mut self, task: TaskId, output: u32, batches: u32) {
        if let Some(task) = self.task(task) {
            task.cx.credit_topic(output as usize, batches);
        }
    }

    pub(super) fn barrier(&mut self, epoch: Epoch) {
        for task in &mut self.tasks {
            task.request_barrier(epoch);
        }
    }

    pub(super) fn commit(&mut self, through: Epoch) {
        while self.unresolved.pop_front_if(|epoch| *epoch <= through).is_some() {}
        for task in &mut self.tasks {
            task.commit(through);
        }
    }

    /// Applies a run of a committed changelog while the job is restored. It may be of another shard's task.
    pub(super) fn restore(&mut self, task: TaskId, run: &Bytes) -> Result<(), Box<Failure>> {
        let (job, attempt, shard) = (self.id, self.attempt, self.shard);
        let stage = StageId::of_task(task);
        let Some(instance) = self.tasks.iter_mut().find(|task| task.stage == stage) else { return Ok(()) };
        instance.apply(run).map_err(|error| {
            let (operator, cause) = (instance.name().to_owned(), Cause::Restore(error.to_string()));
            Box::new(Failure { job, attempt, shard, operator, record: None, cause })
        })
    }

    pub(super) fn rollback(&mut self, rollback: &Rollback) {
        self.attempt = rollback.attempt;
        self.passed.clear();
        self.unresolved.clear();
        self.has_told_work = false;
        for task in &mut self.tasks {
            task.rollback(rollback.attempt, rollback.to, &rollback.positions);
        }
    }

    pub(super) fn metrics(&self, now: Instant) -> JobMetrics {
        JobMetrics {
            job: self.id,
            name: self.name.clone(),
            attempt: self.attempt,
            tasks: self.tasks.iter().map(|task| task.metrics(now)).collect(),
        }
    }

    /// Demands made while the job was started.
    pub(super) fn take_demands(&mut self, outbox: &mut VecDeque<Outbound>) {
        for task in &mut self.tasks {
            outbox.extend(task.take_demands().into_iter().map(Outbound::Demand));
        }
    }
}
