//! The beginnings of streams: topics of a log.

use super::{Draft, Graph, Pipeline, Stream, chain::Downstream, chain::Tally};
use crate::{
    Data,
    data::{access, access_trusted},
    epoch::Epoch,
    failure::{Cause, fail},
    plan::SourceSpec,
    table::Table,
    task::{Batch, Flow, OpenContext, OperatorCounters},
};
use millrace_record::RecordView;
use std::{any::type_name, marker::PhantomData};

/// A topic that a stream begins with. How its records are read comes next.
#[must_use = "a source that is not read does nothing; the build refuses it"]
#[derive(Debug)]
pub struct Source {
    draft: Draft,
}

impl Source {
    pub(crate) fn new(graph: &Graph, topic: &str) -> Self {
        let mut draft = Draft::new(graph, &format!("the stream of topic `{topic}`"), false);
        draft.source = Some(SourceSpec { topic: topic.to_owned(), values: None });
        draft.operator("source", false);
        draft.name_last(topic);
        Self { draft }
    }

    /// Makes any number of values of each record of the topic: an `Option` where some records are skipped. Text formats
    /// are parsed here, borrowing from the record, and what is wanted of them is returned.
    pub fn parse<I, F>(self, parse: F) -> Stream<Parsed<F>>
    where
        I: IntoIterator<Item: 'static> + 'static,
        F: Fn(&RecordView<'_>) -> I + 'static,
    {
        Stream::new(self.draft, Parsed { parse, tally: Tally::default() })
    }

    /// Like [`parse`](Self::parse), with scratch space that `open` makes once per task, such as a parser's buffers. What is
    /// left in it from one record must not matter to the next.
    pub fn parse_with<S, I, N, F>(self, open: N, parse: F) -> Stream<ParsedWith<S, N, F>>
    where
        S: 'static,
        I: IntoIterator<Item: 'static> + 'static,
        N: Fn() -> S + 'static,
        F: Fn(&mut S, &RecordView<'_>) -> I + 'static,
    {
        Stream::new(self.draft, ParsedWith { open, scratch: None, parse, tally: Tally::default() })
    }

    /// Reads records whose values are archived `T`, in place. Values of a topic that is declared with this type were checked
    /// at its door; others are checked here, once. A value that is none fails the job; a tombstone is skipped.
    pub fn archived<T: Data>(mut self) -> Stream<Typed<T>> {
        if let Some(source) = &mut self.draft.source {
            source.values = Some(T::DESCRIPTOR.clone());
        }
        Stream::new(self.draft, Typed { tally: Tally::default(), of: PhantomData })
    }
}

/// Records of a topic, parsed by a closure.
#[derive(Debug)]
pub struct Parsed<F> {
    parse: F,
    tally: Tally,
}

/// Records of a topic, parsed by a closure with scratch space.
#[derive(Debug)]
pub struct ParsedWith<S, N, F> {
    open: N,
    scratch: Option<S>,
    parse: F,
    tally: Tally,
}

/// Records of a topic whose values are archived values, read in place.
#[derive(Debug)]
pub struct Typed<T> {
    tally: Tally,
    of: PhantomData<fn() -> T>,
}

/// What a beginning does with one record.
trait Begin {
    type Item: ?Sized;

    fn begin<D: Downstream<Self::Item>>(&mut self, record: &RecordView<'_>, checked: bool, out: &mut D);

    fn tally(&mut self) -> &mut Tally;
}

impl<I: IntoIterator, F: Fn(&RecordView<'_>) -> I> Begin for Parsed<F> {
    type Item = I::Item;

    #[inline]
    fn begin<D: Downstream<I::Item>>(&mut self, record: &RecordView<'_>, _: bool, out: &mut D) {
        self.tally.guard(|| {
            for item in (self.parse)(record) {
                out.push(record.timestamp, &item);
            }
        });
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl<S, I: IntoIterator, N: Fn() -> S, F: Fn(&mut S, &RecordView<'_>) -> I> Begin for ParsedWith<S, N, F> {
    type Item = I::Item;

    #[inline]
    fn begin<D: Downstream<I::Item>>(&mut self, record: &RecordView<'_>, _: bool, out: &mut D) {
        let Self { open, scratch, parse, tally } = self;
        tally.guard(|| {
            for item in parse(scratch.get_or_insert_with(open), record) {
                out.push(record.timestamp, &item);
            }
        });
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl<T: Data> Begin for Typed<T> {
    type Item = T::Archived;

    #[inline]
    fn begin<D: Downstream<T::Archived>>(&mut self, record: &RecordView<'_>, checked: bool, out: &mut D) {
        let Some(bytes) = record.value else { return };
        let value = if checked {
            // SAFETY: a source's batch is marked as checked only by `SourceBatch::assume_checked`, whose caller promises
            // that the values are valid archived values of the type that the source is declared with.
            unsafe { access_trusted::<T::Archived>(bytes) }
        } else {
            match access::<T::Archived>(bytes) {
                Ok(value) => value,
                Err(error) => {
                    let (ty, reason) = (type_name::<T>().to_owned(), error.to_string());
                    fail(Cause::InvalidValue { ty, reason })
                }
            }
        };
        self.tally.guard(|| out.push(record.timestamp, value));
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// Takes the records of a batch.
#[inline]
fn take<B: Begin, D: Downstream<B::Item>>(begin: &mut B, batch: &mut Batch<'_>, out: &mut D) -> Flow {
    let Batch::Source(records) = batch else { unreachable!("the stage reads a topic") };
    let checked = records.is_checked();
    while !records.is_empty() {
        if out.full() {
            return Flow::More;
        }
        let Some(record) = records.take() else { break };
        out.context().begin_source_record(record.offset);
        begin.tally().records_in += 1;
        begin.begin(&record, checked, out);
    }
    out.batch_end()
}

macro_rules! pipeline {
    ({$($generics:tt)*} $type:ty => $out:ty) => {
        impl<$($generics)*> Pipeline for $type {
            type Out = $out;

            fn open(&mut self, cx: &mut OpenContext<'_>) {
                cx.enter();
            }

            #[inline]
            fn batch<D: Downstream<$out>>(&mut self, batch: &mut Batch<'_>, out: &mut D) -> Flow {
                take(self, batch, out)
            }

            fn watermark<D: Downstream<$out>>(&mut self, watermark: i64, out: &mut D) -> Flow {
                out.watermark(watermark)
            }

            fn timer<D: Downstream<$out>>(&mut self, now_ms: i64, out: &mut D) -> Flow {
                out.timer(now_ms)
            }

            /// Nothing comes any more, so that every window may fire.
            fn end<D: Downstream<$out>>(&mut self, out: &mut D) -> Flow {
                out.watermark(i64::MAX).then(|| out.end())
            }

            fn restore<D: Downstream<$out>>(&mut self, out: &mut D) -> Flow {
                out.restore()
            }

            fn barrier(&mut self, _: Epoch) {}

            fn tables(&mut self, _: &mut dyn FnMut(&mut dyn Table)) {}

            fn counters(&self, visit: &mut dyn FnMut(OperatorCounters)) {
                visit(self.tally.counters());
            }

            fn culprit(&self, at: &mut usize) -> Option<usize> {
                self.tally.culprit(at, None)
            }
        }
    };
}

pipeline!({I: IntoIterator<Item: 'static> + 'static, F: Fn(&RecordView<'_>) -> I + 'static} Parsed<F> => I::Item);
pipeline!(
    {
        S: 'static,
        I: IntoIterator<Item: 'static> + 'static,
        N: Fn() -> S + 'static,
        F: Fn(&mut S, &RecordView<'_>) -> I + 'static
    } ParsedWith<S, N, F> => I::Item
);
pipeline!({T: Data} Typed<T> => T::Archived);
