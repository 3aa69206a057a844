//! Sinks made of closures.

use super::{Sink, TopicRecord};
use crate::task::Context;

/// Calls a closure for each record: at least once, and not undone when an epoch is aborted.
pub(crate) struct CallSink<F>(pub(crate) F);

impl<T: ?Sized, F: Fn(i64, &T) + 'static> Sink<T> for CallSink<F> {
    #[inline]
    fn push(&mut self, timestamp: i64, item: &T, _: &mut Context) {
        (self.0)(timestamp, item);
    }
}

/// Has a closure write each record for a topic.
pub(crate) struct TopicSink<F> {
    pub(crate) write: F,
    pub(crate) output: usize,
    pub(crate) record: TopicRecord,
}

impl<T: ?Sized, F: Fn(&T, &mut TopicRecord) + 'static> Sink<T> for TopicSink<F> {
    #[inline]
    fn push(&mut self, timestamp: i64, item: &T, cx: &mut Context) {
        self.record.begin(timestamp);
        (self.write)(item, &mut self.record);
        cx.append(self.output, &self.record);
    }
}
