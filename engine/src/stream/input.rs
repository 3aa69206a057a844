//! The beginnings of pipelines: records of an edge, without and with a key.

use super::chain::{Downstream, Pipeline, Tally};
use crate::{
    data::{Archived, access, access_trusted},
    epoch::Epoch,
    exchange::Row,
    failure::{Cause, fail},
    operator::KeyedOperator,
    table::Table,
    task::{Batch, Flow, OpenContext, OperatorCounters},
};
use std::{any::type_name, marker::PhantomData};

/// How many records ahead state is prefetched.
const PREFETCH_RECORDS: usize = 64;

/// The value of a row.
#[inline]
fn value<'a, A: Archived>(row: &Row<'a>, checked: bool) -> &'a A {
    if checked {
        // SAFETY: the values of a checked frame were archived for the type of its edge (see `exchange::frame`), and the
        // builder joins an edge's sending and receiving side with the same type.
        return unsafe { access_trusted(row.value) };
    }
    match access(row.value) {
        Ok(value) => value,
        Err(error) => {
            fail(Cause::InvalidValue { ty: type_name::<A>().to_owned(), reason: error.to_string() })
        }
    }
}

/// Records of an edge, read in place.
pub struct Rows<A>(PhantomData<fn() -> A>);

impl<A> Rows<A> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A: Archived> Pipeline for Rows<A> {
    type Out = A;

    fn open(&mut self, _: &mut OpenContext<'_>) {}

    #[inline]
    fn batch<D: Downstream<A>>(&mut self, batch: &mut Batch<'_>, out: &mut D) -> Flow {
        let Batch::Rows(rows) = batch else { unreachable!("the stage reads an edge") };
        let checked = rows.is_checked();
        while !rows.is_empty() {
            if out.full() {
                return Flow::More;
            }
            let Some(row) = rows.take() else { break };
            out.context().begin_record();
            out.push(row.timestamp, value::<A>(&row, checked));
        }
        out.batch_end()
    }

    fn watermark<D: Downstream<A>>(&mut self, watermark: i64, out: &mut D) -> Flow {
        out.watermark(watermark)
    }

    fn timer<D: Downstream<A>>(&mut self, now_ms: i64, out: &mut D) -> Flow {
        out.timer(now_ms)
    }

    fn end<D: Downstream<A>>(&mut self, out: &mut D) -> Flow {
        out.end()
    }

    fn restore<D: Downstream<A>>(&mut self, out: &mut D) -> Flow {
        out.restore()
    }

    fn barrier(&mut self, _: Epoch) {}

    fn tables(&mut self, _: &mut dyn FnMut(&mut dyn Table)) {}

    fn counters(&self, _: &mut dyn FnMut(OperatorCounters)) {}

    fn culprit(&self, _: &mut usize) -> Option<usize> {
        None
    }
}

/// Records of a keyed edge, given with their keys to an operator that keeps state by key.
pub(crate) struct Keyed<A, O> {
    operator: O,
    tally: Tally,
    archived: PhantomData<fn() -> A>,
}

impl<A, O> Keyed<A, O> {
    pub(crate) fn new(operator: O) -> Self {
        Self { operator, tally: Tally::default(), archived: PhantomData }
    }
}

impl<A: Archived, O: KeyedOperator<A>> Pipeline for Keyed<A, O> {
    type Out = O::Out;

    fn open(&mut self, cx: &mut OpenContext<'_>) {
        cx.enter();
        self.operator.open(cx);
    }

    #[inline]
    fn batch<D: Downstream<O::Out>>(&mut self, batch: &mut Batch<'_>, out: &mut D) -> Flow {
        let Batch::Rows(rows) = batch else { unreachable!("the stage reads an edge") };
        let Self { operator, tally, .. } = self;
        let checked = rows.is_checked();
        while !rows.is_empty() {
            if out.full() {
                return Flow::More;
            }
            for ahead in rows.rest().take(PREFETCH_RECORDS) {
                operator.prefetch(ahead.timestamp, ahead.hash);
            }
            for _ in 0..PREFETCH_RECORDS {
                if out.full() {
                    break;
                }
                let Some(row) = rows.take() else { break };
                out.context().begin_record();
                tally.records_in += 1;
                let value = value::<A>(&row, checked);
                tally.guard(|| operator.record(row.hashed_key(), row.timestamp, value, out));
            }
        }
        out.batch_end()
    }

    fn watermark<D: Downstream<O::Out>>(&mut self, watermark: i64, out: &mut D) -> Flow {
        let Self { operator, tally, .. } = self;
        tally.guard(|| operator.watermark(watermark, out)).then(|| out.watermark(watermark))
    }

    fn timer<D: Downstream<O::Out>>(&mut self, now_ms: i64, out: &mut D) -> Flow {
        let Self { operator, tally, .. } = self;
        tally.guard(|| operator.timer(now_ms, out)).then(|| out.timer(now_ms))
    }

    fn end<D: Downstream<O::Out>>(&mut self, out: &mut D) -> Flow {
        out.end()
    }

    fn restore<D: Downstream<O::Out>>(&mut self, out: &mut D) -> Flow {
        let Self { operator, tally, .. } = self;
        tally.guard(|| operator.restore(out)).then(|| out.restore())
    }

    fn barrier(&mut self, _: Epoch) {}

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn Table)) {
        self.operator.tables(visit);
    }

    fn counters(&self, visit: &mut dyn FnMut(OperatorCounters)) {
        let late_records = self.operator.late_records();
        visit(OperatorCounters { late_records, ..self.tally.counters() });
    }

    fn culprit(&self, at: &mut usize) -> Option<usize> {
        self.tally.culprit(at, None)
    }
}
