//! A task on this shard: its calls, one at a time, and what lies between them.

use super::{
    clocks::{CLOCK_TABLE, Clocks},
    message::Sealed,
};
use crate::{
    epoch::{Attempt, Changelog, Epoch, Mark as EpochMark, SourcePosition, TaskId},
    exchange::{Gate, Mark, Turn},
    failure::{Cause, Failure, cause_of, fail},
    metrics::{OperatorMetrics, TaskMetrics},
    plan::StageId,
    sink::StagedAppend,
    source::{SourceData, SourceReader, SourceTurn, SplitSpec},
    table::{DeltaError, RunHeader, Table},
    task::{Batch, Context, Flow, OperatorCounters, RowBatch, Task},
};
use bytes::Bytes;
use millrace_runtime::Instant;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Records that a held source adds to the open epoch at most. Like the next group of a group commit, that epoch fills while those
/// before it are being committed: it must hold what comes meanwhile, or a slow disk would make small epochs, which make a slow job.
pub(crate) const HELD_RECORDS_MAX: u32 = 1 << 14;

/// A call that is to be made, or to be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Restore,
    Rows { input: usize, channel: usize, to: usize },
    Source { split: usize },
    Watermark { input: usize, watermark: i64 },
    Timer { now_ms: i64 },
    End { input: usize },
}

/// A task and all that belongs to it.
pub(super) struct Instance {
    pub(super) stage: StageId,
    pub(super) id: TaskId,
    name: String,
    operators: Vec<String>,
    task: Box<dyn Task>,
    pub(super) cx: Context,
    pub(super) gate: Gate,
    source: Option<SourceReader>,
    clocks: Clocks,
    call: Option<Call>,
    /// The call being made, or made last.
    current: Option<Call>,
    /// Watermarks that were restored and are to be told again, last input first.
    retold: Vec<(usize, i64)>,
    /// Barriers that a source is to put behind what it has read: at most as many as epochs may be unresolved.
    barriers: VecDeque<Epoch>,
    /// Inputs that have ended.
    ended: usize,
    slot: u32,
    busy_ns: u64,
    blocked_ns: u64,
    blocked_since: Option<Instant>,
    batches: u64,
    /// Whether the task has asked to be woken: then processing time is a part of its state.
    uses_time: bool,
    /// Whether something was done that is to be committed.
    has_worked: bool,
    /// Records that the source has taken since the last barrier.
    open_records: u32,
}

/// What a task hands over at a barrier.
pub(super) struct Piece {
    pub(super) appends: Vec<StagedAppend>,
    pub(super) sealed: Sealed,
}

/// What an instance is made of.
pub(super) struct Parts {
    pub(super) stage: StageId,
    pub(super) id: TaskId,
    pub(super) name: String,
    pub(super) operators: Vec<String>,
    pub(super) task: Box<dyn Task>,
    pub(super) cx: Context,
    pub(super) gate: Gate,
    pub(super) source: Option<SourceReader>,
    pub(super) clocks: Clocks,
}

impl Instance {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { stage, id, name, operators, task, cx, gate, source, clocks } = parts;
        let slot = cx.watch.register(&name);
        Self {
            stage,
            id,
            name,
            operators,
            task,
            cx,
            gate,
            source,
            clocks,
            call: None,
            current: None,
            retold: Vec::new(),
            barriers: VecDeque::new(),
            ended: 0,
            slot,
            busy_ns: 0,
            blocked_ns: 0,
            blocked_since: None,
            batches: 0,
            uses_time: false,
            has_worked: false,
            open_records: 0,
        }
    }

    /// The tables hold committed state (or nothing): the first call is to rebuild what is derived from it. Returns the
    /// processing time that was saved.
    pub(super) fn begin(&mut self) -> i64 {
        let (watermarks, now_ms) = self.clocks.load();
        self.retold.clear();
        for (input, watermark) in watermarks.into_iter().enumerate() {
            self.gate.restore(input, watermark);
            if watermark > i64::MIN {
                self.retold.push((input, watermark));
            }
        }
        self.call = Some(Call::Restore);
        now_ms
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the task could do something. A task whose outputs have no room could not, whatever waits for it.
    pub(super) fn is_ready(&self, is_held: bool) -> bool {
        if self.cx.is_blocked() {
            return false;
        }
        self.call.is_some()
            || !self.retold.is_empty()
            || self.timer_is_due()
            || self.gate.is_ready()
            || !self.barriers.is_empty()
            || (self.may_read(is_held) && self.source.as_ref().is_some_and(SourceReader::is_ready))
    }

    /// Whether a source may take records: as many as it likes, unless too many epochs are unresolved.
    const fn may_read(&self, is_held: bool) -> bool {
        !is_held || self.open_records < HELD_RECORDS_MAX
    }

    fn timer_is_due(&self) -> bool {
        self.cx.wake_at_ms.is_some_and(|at_ms| at_ms <= self.cx.now_ms)
    }

    /// Makes calls until the budget is used up, the outputs have no room, or nothing is left to do. A source that is held
    /// takes a bounded number of records. Returns the barriers passed and what was left behind at each.
    pub(super) fn run(
        &mut self,
        budget: u32,
        is_held: bool,
        clock: fn() -> Instant,
    ) -> Result<Vec<Piece>, Box<Failure>> {
        self.cx.budget = budget;
        let started = clock();
        self.cx.watch.begin(self.slot, started.as_nanos());
        let mut sealed = Vec::new();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            while !self.cx.full() {
                let Some(call) = self.next_call(is_held, &mut sealed) else { break };
                self.current = Some(call);
                if self.make(call) == Flow::More {
                    self.call = Some(call);
                }
                self.note_work(call);
                self.cx.charge(1);
            }
        }));
        self.cx.watch.finish();
        self.busy_ns += (clock() - started).as_nanos() as u64;
        match ran {
            Ok(()) => Ok(sealed),
            Err(payload) => Err(Box::new(self.failure(cause_of(payload)))),
        }
    }

    fn failure(&self, cause: Cause) -> Failure {
        let operator = self.operators.get(self.task.culprit()).unwrap_or(&self.name).clone();
        let send = &self.cx.send;
        let at_record = matches!(self.current, Some(Call::Rows { .. } | Call::Source { .. }));
        let record = at_record.then(|| self.cx.place()).flatten();
        Failure { job: send.job, attempt: send.attempt, shard: send.shard, operator, record, cause }
    }

    /// What to do next: what was not finished, then what was restored, time, a barrier, and records.
    fn next_call(&mut self, is_held: bool, sealed: &mut Vec<Piece>) -> Option<Call> {
        loop {
            if let Some(call) = self.call.take() {
                return Some(call);
            }
            if let Some((input, watermark)) = self.retold.pop() {
                return Some(Call::Watermark { input, watermark });
            }
            if self.timer_is_due() {
                self.uses_time = true;
                self.cx.wake_at_ms = None;
                return Some(Call::Timer { now_ms: self.cx.now_ms });
            }
            if let Some(epoch) = self.barriers.pop_front() {
                sealed.push(self.seal(epoch));
                continue;
            }
            let may_read = self.may_read(is_held);
            if let Some(source) = self.source.as_mut().filter(|_| may_read) {
                return match source.turn()? {
                    SourceTurn::Batch(split) => Some(Call::Source { split }),
                    SourceTurn::End => Some(Call::End { input: 0 }),
                };
            }
            match self.gate.turn()? {
                Turn::Rows { input, channel, to } => return Some(Call::Rows { input, channel, to }),
                Turn::Watermark { input, watermark } => return Some(Call::Watermark { input, watermark }),
                Turn::End { input } => return Some(Call::End { input }),
                Turn::Idle(idle) => self.cx.emit_idle(idle),
                Turn::Barrier(epoch) => sealed.push(self.seal(epoch)),
            }
        }
    }

    fn make(&mut self, call: Call) -> Flow {
        let Self { task, cx, .. } = self;
        match call {
            Call::Restore => task.restore(cx),
            Call::Rows { input, channel, to } => self.take_rows(input, channel, to),
            Call::Source { split } => self.take_source(split),
            Call::Watermark { input, watermark } => task.watermark(input, watermark, cx),
            Call::Timer { now_ms } => task.timer(now_ms, cx),
            Call::End { input } => {
                // Whoever left this source out must wait for its last watermark again.
                cx.emit_idle(cx.idle && self.source.is_none());
                let flow = task.end(input, cx);
                if flow == Flow::Done {
                    self.end_input();
                }
                flow
            }
        }
    }

    fn take_rows(&mut self, input: usize, channel: usize, to: usize) -> Flow {
        let (frame, from) = self.gate.rows(input, channel);
        self.cx.offset = None;
        let mut batch = Batch::Rows(RowBatch::new(frame.rows(from, to)));
        let flow = self.task.batch(input, &mut batch, &mut self.cx);
        let Batch::Rows(rows) = batch else { unreachable!("a task leaves the kind of its batch") };
        assert!(flow == Flow::More || rows.is_empty(), "a task that is done has taken all records");
        let at = rows.at();
        match flow {
            Flow::Done => {
                self.batches += 1;
                self.gate.advance(input, channel, at);
            }
            // The frame stays, even if all of its records were taken: the call is made again.
            Flow::More => self.gate.keep(input, channel, at),
        }
        flow
    }

    fn take_source(&mut self, split: usize) -> Flow {
        let Some(source) = &mut self.source else { unreachable!("only a source has splits") };
        self.cx.split = split;
        self.cx.splits[split].waiting_since_ms = None;
        let records = source.records(split).unwrap_or_else(|cause| fail(cause));
        if let Some(records) = records {
            let mut batch = Batch::Source(records);
            let flow = self.task.batch(0, &mut batch, &mut self.cx);
            let Batch::Source(records) = batch else { unreachable!("a task leaves the kind of its batch") };
            let taken = records.taken();
            source.advance(split, taken);
            self.open_records = self.open_records.saturating_add(taken);
            if flow == Flow::More {
                return flow;
            }
            self.batches += 1;
        }
        let is_empty = source.finish(split);
        let status = &mut self.cx.splits[split];
        status.ended = source.is_ended(split);
        if is_empty && !status.ended {
            status.waiting_since_ms = Some(self.cx.now_ms);
        }
        Flow::Done
    }

    fn end_input(&mut self) {
        self.ended += 1;
        if self.is_ended() {
            self.cx.mark(Mark::End);
        }
    }

    /// Whether nothing can come out any more.
    pub(super) fn is_ended(&self) -> bool {
        let inputs = if self.source.is_some() { 1 } else { self.gate.inputs() };
        self.ended >= inputs
    }

    /// A call was made: whether anything is to be committed now. Being woken counts if it left something in a table.
    fn note_work(&mut self, call: Call) {
        self.has_worked |= match call {
            Call::Restore => false,
            Call::Rows { .. } | Call::Source { .. } | Call::Watermark { .. } | Call::End { .. } => true,
            Call::Timer { .. } => {
                let mut bytes = 0;
                self.task.tables(&mut |table| bytes += table.open_bytes());
                bytes > 0
            }
        };
    }

    /// Whether something was done since the last call that is to be committed.
    pub(super) const fn take_worked(&mut self) -> bool {
        std::mem::replace(&mut self.has_worked, false)
    }

    /// A barrier has come, on all inputs: everything before it belongs to `epoch`.
    fn seal(&mut self, epoch: Epoch) -> Piece {
        let Self { task, cx, clocks, gate, .. } = self;
        let mark = EpochMark { job: cx.send.job, attempt: cx.send.attempt, epoch, task: self.id };
        task.barrier(epoch, cx);
        let appends = cx.seal_topics(mark);
        let now_ms = self.uses_time.then_some(cx.now_ms);
        clocks.save((0..gate.inputs()).map(|input| gate.watermark(input)), now_ms);
        let mut deltas = Vec::new();
        task.tables(&mut |table| deltas.push(table.seal(epoch)));
        deltas.push(clocks.seal(epoch));
        let positions = self.source.as_mut().map_or_else(Vec::new, SourceReader::moved_positions);
        self.open_records = 0;
        cx.mark(Mark::Barrier(epoch));
        let changelog = Changelog::new(positions, deltas);
        let sealed = Sealed { mark, changelog, appends: appends.len() as u32, is_last: self.is_ended() };
        Piece { appends, sealed }
    }

    /// Has the source put a barrier behind what it has read.
    pub(super) fn request_barrier(&mut self, epoch: Epoch) {
        if self.source.is_some() {
            self.barriers.push_back(epoch);
        }
    }

    pub(super) fn add_split(&mut self, spec: &SplitSpec) {
        if let Some(source) = &mut self.source {
            let status = source.add(spec, self.cx.now_ms);
            self.cx.splits.push(status);
        }
    }

    pub(super) fn receive(&mut self, data: SourceData) {
        let Some(source) = &mut self.source else { return };
        let Some(split) = source.receive(data) else { return };
        let status = &mut self.cx.splits[split];
        status.ended = source.is_ended(split);
        if source.has_data(split) || status.ended {
            status.waiting_since_ms = None;
        }
    }

    /// Stops or starts the idleness clocks of a source's partitions: while the task can't take anything, a partition that
    /// has nothing is not idle but waiting for us. Also keeps account of the time.
    pub(super) fn note_blocked(&mut self, now: Instant, is_held: bool) {
        let is_blocked = self.cx.is_blocked() || !self.may_read(is_held);
        if is_blocked == self.blocked_since.is_some() {
            return;
        }
        match self.blocked_since.take() {
            Some(since) => self.blocked_ns += (now - since).as_nanos() as u64,
            None => self.blocked_since = Some(now),
        }
        let Some(source) = &self.source else { return };
        for (index, status) in self.cx.splits.iter_mut().enumerate() {
            let waits = !is_blocked && !status.ended && !source.has_data(index);
            status.waiting_since_ms = waits.then_some(self.cx.now_ms);
        }
    }

    pub(super) fn take_demands(&mut self) -> Vec<crate::source::Demand> {
        self.source.as_mut().map_or_else(Vec::new, |source| std::mem::take(&mut source.demands))
    }

    pub(super) fn apply(&mut self, run: &Bytes) -> Result<(), DeltaError> {
        let RunHeader { table, .. } = RunHeader::decode(run)?;
        if table == CLOCK_TABLE {
            return self.clocks.apply(run);
        }
        let mut applied = Ok(());
        self.task.tables(&mut |candidate: &mut dyn Table| {
            if candidate.spec().id == table {
                applied = candidate.apply(run);
            }
        });
        applied
    }

    pub(super) fn commit(&mut self, through: Epoch) {
        self.task.tables(&mut |table| table.commit(through));
        self.clocks.commit(through);
    }

    /// Goes back to a committed epoch in a new attempt: tables undo, everything on its way is dropped.
    pub(super) fn rollback(&mut self, attempt: Attempt, to: Epoch, positions: &[SourcePosition]) {
        self.task.tables(&mut |table| table.rollback(to));
        self.clocks.rollback(to);
        self.gate.reset();
        let Context { edges, send, .. } = &mut self.cx;
        send.attempt = attempt;
        send.sent.clear();
        for edge in edges {
            edge.reset(send);
        }
        self.cx.reset_topics();
        self.cx.watermark = i64::MIN;
        self.cx.idle = false;
        self.cx.wake_at_ms = None;
        self.barriers.clear();
        (self.ended, self.has_worked, self.open_records) = (0, false, 0);
        if let Some(source) = &mut self.source {
            source.reset(attempt, positions);
            for (index, status) in self.cx.splits.iter_mut().enumerate() {
                status.ended = source.is_ended(index);
                status.waiting_since_ms = (!status.ended).then_some(self.cx.now_ms);
            }
        }
        self.begin();
    }

    pub(super) fn metrics(&self, now: Instant) -> TaskMetrics {
        let mut counters: Vec<OperatorCounters> = Vec::new();
        self.task.operators(&mut |operator| counters.push(operator));
        let sent = self.cx.edges.iter().map(|edge| edge.records).sum::<u64>()
            + self.cx.topics.iter().map(|topic| topic.records).sum::<u64>();
        let operators = self.operators.iter().enumerate().map(|(index, name)| {
            let own = counters.get(index).copied().unwrap_or_default();
            let records_out = counters.get(index + 1).map_or(sent, |next| next.records_in);
            let OperatorCounters { records_in, late_records } = own;
            OperatorMetrics { name: name.clone(), records_in, records_out, late_records }
        });
        let blocked_now = self.blocked_since.map_or(0, |since| (now - since).as_nanos() as u64);
        let inputs = (0..self.gate.inputs()).map(|input| self.gate.watermark(input)).min();
        TaskMetrics {
            task: self.id,
            name: self.name.clone(),
            operators: operators.collect(),
            batches: self.batches,
            busy_ns: self.busy_ns,
            blocked_ns: self.blocked_ns + blocked_now,
            watermark: inputs.unwrap_or(self.cx.watermark),
            lag: self.source.as_ref().map(SourceReader::lag),
            queued_frames: self.gate.queued(),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.cx.watch.release(self.slot);
    }
}
