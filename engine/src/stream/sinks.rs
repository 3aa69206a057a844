//! Where streams end.

use super::{ChainTask, Pipeline, Stream};
use crate::{
    data::{Encode, Scratch, write},
    failure::{Cause, fail},
    sink::{CallSink, SinkOptions, TopicRecord, TopicSink},
};
use std::cell::RefCell;

impl<C: Pipeline> Stream<C> {
    /// Calls a function with each record and its timestamp. It has no part in epochs: after a failure records come again.
    pub fn sink<F: Fn(i64, &C::Out) + 'static>(mut self, call: F) {
        self.draft.operator("sink", false);
        self.draft.finish(Box::new(ChainTask::new(self.chain, CallSink(call))));
    }

    /// Writes each record to a topic, exactly once: the records of an epoch appear together, when it is committed.
    ///
    /// `write` fills in key, value and headers.
    pub fn to_topic<F: Fn(&C::Out, &mut TopicRecord) + 'static>(self, topic: &str, write: F) {
        self.to_topic_with(topic, SinkOptions::default(), write);
    }

    /// Like [`to_topic`](Self::to_topic), with options.
    pub fn to_topic_with<F>(mut self, topic: &str, options: SinkOptions, write: F)
    where
        F: Fn(&C::Out, &mut TopicRecord) + 'static,
    {
        let output = self.draft.topic(topic, options, None);
        self.draft.operator("to_topic", false);
        let sink = TopicSink { write, output, record: TopicRecord::default() };
        self.draft.finish(Box::new(ChainTask::new(self.chain, sink)));
    }

    /// Writes each record to a topic as an archived value, which other jobs read in place; `key` may fill in a key.
    pub fn to_archived_topic<F>(mut self, topic: &str, options: SinkOptions, key: F)
    where
        C::Out: Encode,
        F: Fn(&C::Out, &mut TopicRecord) + 'static,
    {
        let output = self.draft.topic(topic, options, Some(C::Out::DESCRIPTOR));
        self.draft.operator("to_archived_topic", false);
        let scratch = RefCell::new(Scratch::new());
        let write = move |item: &C::Out, record: &mut TopicRecord| {
            key(item, record);
            let value = record.value();
            value.clear();
            if let Err(error) = write(item, value, &mut scratch.borrow_mut()) {
                fail(Cause::NotArchivable(error.to_string()));
            }
        };
        let sink = TopicSink { write, output, record: TopicRecord::default() };
        self.draft.finish(Box::new(ChainTask::new(self.chain, sink)));
    }
}
