//! Event time of a source's stage: timestamps from the records, watermarks per partition, idleness.

use super::Push;
use crate::{
    Data,
    data::{Encode, Scratch, access, write},
    epoch::Epoch,
    failure::{Cause, fail},
    key::{EncodeKey, HashedKey},
    stream::{Downstream, Pipeline, Tally},
    table::{Namespace, PointTable, Table},
    task::{Batch, Context, Flow, OpenContext, OperatorCounters, SplitStatus},
    watermark::{WatermarkStrategy, Watermarks},
};
use millrace_record::{PartitionIndex, TopicId};

/// What is saved of a partition's clock: the strategy's memory, the watermark, whether the partition is idle.
type Saved<S> = (S, i64, bool);

/// Gives records their event time, and makes watermarks of it.
pub(crate) struct EventTime<C, F, S: WatermarkStrategy> {
    before: C,
    clocks: Clocks<F, S>,
}

struct Clocks<F, S: WatermarkStrategy> {
    timestamp: F,
    watermarks: Watermarks<S>,
    /// One for each partition that the task reads, as in [`Context::splits`].
    clocks: Vec<Clock<S::State>>,
    table: Option<PointTable>,
    scratch: Scratch,
    tally: Tally,
}

struct Clock<S> {
    topic: TopicId,
    partition: PartitionIndex,
    state: S,
    watermark: i64,
    idle: bool,
    /// Whether it differs from what is in the table.
    dirty: bool,
}

impl<C, F, S: WatermarkStrategy> EventTime<C, F, S> {
    pub(crate) fn new(before: C, timestamp: F, watermarks: Watermarks<S>) -> Self {
        let clocks = Clocks {
            timestamp,
            watermarks,
            clocks: Vec::new(),
            table: None,
            scratch: Scratch::new(),
            tally: Tally::default(),
        };
        Self { before, clocks }
    }
}

fn key_of(topic: TopicId, partition: PartitionIndex) -> Vec<u8> {
    (*topic.as_bytes(), partition).to_key_bytes()
}

impl<F, S: WatermarkStrategy> Clocks<F, S> {
    /// Makes a clock for each partition that has none yet, from what was saved of it.
    fn sync(&mut self, splits: &[SplitStatus]) {
        for split in &splits[self.clocks.len()..] {
            let clock = self.saved(split).unwrap_or_else(|| Clock {
                topic: split.topic,
                partition: split.partition,
                state: self.watermarks.strategy.start(),
                watermark: i64::MIN,
                idle: false,
                dirty: false,
            });
            self.clocks.push(clock);
        }
    }

    fn saved(&self, split: &SplitStatus) -> Option<Clock<S::State>> {
        let key = key_of(split.topic, split.partition);
        let bytes = self.table.as_ref()?.get(Namespace::NONE, HashedKey::new(&key))?;
        let archived = access::<<Saved<S::State> as Encode>::Archived>(bytes)
            .unwrap_or_else(|error| fail(Cause::Restore(format!("clock of a partition: {error}"))));
        let (state, watermark, idle) = Saved::<S::State>::decode(archived);
        let SplitStatus { topic, partition, .. } = *split;
        Some(Clock { topic, partition, state, watermark, idle, dirty: false })
    }

    fn save(&mut self) {
        let Some(table) = &mut self.table else { return };
        for clock in self.clocks.iter_mut().filter(|clock| clock.dirty) {
            let mut bytes = Vec::new();
            let saved = (Borrowed(&clock.state), clock.watermark, clock.idle);
            if let Err(error) = write(&saved, &mut bytes, &mut self.scratch) {
                fail(Cause::NotArchivable(error.to_string()));
            }
            let key = key_of(clock.topic, clock.partition);
            table.put(Namespace::NONE, HashedKey::new(&key), &bytes);
            clock.dirty = false;
        }
    }

    /// Brings the clock of the current partition up to date after a batch of it.
    fn advance(&mut self, split: usize) {
        let Some(clock) = self.clocks.get_mut(split) else { return };
        let watermark = self.watermarks.strategy.watermark(&clock.state);
        if watermark > clock.watermark {
            clock.watermark = watermark;
        }
    }

    /// The smallest watermark of the partitions that have one to wait for, or nothing if there is none.
    fn combined(&self, splits: &[SplitStatus]) -> Option<i64> {
        let waited_for = self.clocks.iter().zip(splits).filter(|(clock, split)| !clock.idle && !split.ended);
        waited_for.map(|(clock, _)| clock.watermark).min()
    }

    /// Lets partitions become idle that had nothing to read for long enough, and asks to be called for the next.
    fn look_for_idle(&mut self, cx: &mut Context) {
        let Some(idle_after_ms) = self.watermarks.idle_after_ms else { return };
        let now_ms = cx.now_ms();
        let mut wake_at_ms = None::<i64>;
        for (clock, split) in self.clocks.iter_mut().zip(cx.splits()) {
            if clock.idle || split.ended {
                continue;
            }
            let since_ms = split.waiting_since_ms.unwrap_or(now_ms);
            let due_ms = since_ms.saturating_add(idle_after_ms);
            if split.waiting_since_ms.is_some() && due_ms <= now_ms {
                (clock.idle, clock.dirty) = (true, true);
            } else {
                wake_at_ms = Some(wake_at_ms.map_or(due_ms, |before| before.min(due_ms)));
            }
        }
        if let Some(due_ms) = wake_at_ms {
            cx.wake_at(due_ms);
        }
    }

    /// Tells what follows how far event time has come.
    fn tell<T: ?Sized, D: Downstream<T>>(&mut self, out: &mut D) -> Flow {
        let cx = out.context();
        self.look_for_idle(cx);
        let combined = self.combined(cx.splits());
        let ended = !cx.splits().is_empty() && cx.splits().iter().all(|split| split.ended);
        cx.emit_idle(combined.is_none() && !ended);
        match combined {
            Some(watermark) if watermark > cx.watermark => out.watermark(watermark),
            _ => Flow::Done,
        }
    }
}

/// A value that lands as the type it borrows.
struct Borrowed<'a, T>(&'a T);

impl<T: Encode> Encode for Borrowed<'_, T> {
    type Archived = T::Archived;
    type Resolver = T::Resolver;
    const DESCRIPTOR: &'static crate::data::Descriptor = T::DESCRIPTOR;
    const FLAT: bool = T::FLAT;

    fn encode(
        &self,
        encoder: &mut crate::data::Encoder<'_>,
    ) -> Result<Self::Resolver, crate::data::ArchiveError> {
        self.0.encode(encoder)
    }

    fn resolve(&self, resolver: Self::Resolver, out: rkyv::Place<Self::Archived>) {
        self.0.resolve(resolver, out);
    }
}

struct Observe<'a, F, S: WatermarkStrategy, D> {
    clocks: &'a mut Clocks<F, S>,
    out: &'a mut D,
}

impl<T, F, S, D> Push<T> for Observe<'_, F, S, D>
where
    T: ?Sized,
    F: Fn(i64, &T) -> i64,
    S: WatermarkStrategy,
    D: Downstream<T>,
{
    #[inline]
    fn push(&mut self, timestamp: i64, item: &T) {
        let Clocks { timestamp: of, watermarks, clocks, tally, .. } = &mut *self.clocks;
        tally.records_in += 1;
        let timestamp = tally.guard(|| of(timestamp, item));
        let cx = self.out.context();
        if let Some(clock) = clocks.get_mut(cx.split()) {
            tally.guard(|| watermarks.strategy.observe(&mut clock.state, timestamp));
            clock.dirty = true;
            if clock.idle {
                clock.idle = false;
                cx.emit_idle(false);
            }
        }
        self.out.push(timestamp, item);
    }

    #[inline]
    fn full(&self) -> bool {
        self.out.full()
    }

    #[inline]
    fn context(&mut self) -> &mut Context {
        self.out.context()
    }
}

impl<T, F, S, D> Downstream<T> for Observe<'_, F, S, D>
where
    T: ?Sized,
    F: Fn(i64, &T) -> i64,
    S: WatermarkStrategy,
    D: Downstream<T>,
{
    fn batch_end(&mut self) -> Flow {
        let split = self.out.context().split();
        self.out.batch_end().then(|| {
            self.clocks.advance(split);
            self.clocks.tell(self.out)
        })
    }

    fn watermark(&mut self, watermark: i64) -> Flow {
        // A source has no watermark of its own, except that it ends.
        if watermark == i64::MAX { self.out.watermark(watermark) } else { Flow::Done }
    }

    fn timer(&mut self, now_ms: i64) -> Flow {
        self.clocks.tell(self.out).then(|| self.out.timer(now_ms))
    }

    fn end(&mut self) -> Flow {
        self.out.end()
    }

    fn restore(&mut self) -> Flow {
        self.out.restore().then(|| self.clocks.tell(self.out))
    }
}

impl<C, F, S> Pipeline for EventTime<C, F, S>
where
    C: Pipeline,
    F: Fn(i64, &C::Out) -> i64 + 'static,
    S: WatermarkStrategy,
{
    type Out = C::Out;

    fn open(&mut self, cx: &mut OpenContext<'_>) {
        self.before.open(cx);
        cx.enter();
        self.clocks.table = Some(cx.shared_table::<Saved<S::State>>("clocks"));
    }

    #[inline]
    fn batch<D: Downstream<C::Out>>(&mut self, batch: &mut Batch<'_>, out: &mut D) -> Flow {
        self.clocks.sync(out.context().splits());
        self.before.batch(batch, &mut Observe { clocks: &mut self.clocks, out })
    }

    fn watermark<D: Downstream<C::Out>>(&mut self, watermark: i64, out: &mut D) -> Flow {
        self.before.watermark(watermark, &mut Observe { clocks: &mut self.clocks, out })
    }

    fn timer<D: Downstream<C::Out>>(&mut self, now_ms: i64, out: &mut D) -> Flow {
        self.clocks.sync(out.context().splits());
        self.before.timer(now_ms, &mut Observe { clocks: &mut self.clocks, out })
    }

    fn end<D: Downstream<C::Out>>(&mut self, out: &mut D) -> Flow {
        self.before.end(&mut Observe { clocks: &mut self.clocks, out })
    }

    fn restore<D: Downstream<C::Out>>(&mut self, out: &mut D) -> Flow {
        self.clocks.clocks.clear();
        self.clocks.sync(out.context().splits());
        self.before.restore(&mut Observe { clocks: &mut self.clocks, out })
    }

    fn barrier(&mut self, epoch: Epoch) {
        self.before.barrier(epoch);
        self.clocks.save();
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table)) {
        self.before.tables(visit);
        if let Some(table) = &mut self.clocks.table {
            visit(table);
        }
    }

    fn counters(&self, visit: &mut dyn FnMut(OperatorCounters)) {
        self.before.counters(visit);
        visit(self.clocks.tally.counters());
    }

    fn culprit(&self, at: &mut usize) -> Option<usize> {
        let before = self.before.culprit(at);
        self.clocks.tally.culprit(at, before)
    }
}
