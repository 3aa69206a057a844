//! Requests in flight, in their order.

use super::Answer;
use crate::kafka::{Request, Response};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

/// What is held until a response is sent.
pub(super) trait Held {
    /// The answer is known.
    fn answered(&mut self, answer: &Answer);
}

/// Requests in flight. `C` starts the work on one, `F` is the work, `G` what is held until the response is sent.
pub(super) struct Pipeline<C, F, G> {
    start: C,
    entries: VecDeque<Entry<F, G>>,
}

struct Entry<F, G> {
    version: i16,
    correlation_id: i32,
    held: G,
    work: Work<F>,
}

enum Work<F> {
    Running(Pin<Box<F>>),
    Done(Answer),
}

/// A request whose turn to be answered has come.
pub(super) struct Finished<G> {
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) answer: Answer,
    _held: G,
}

impl<C, F, G> Pipeline<C, F, G>
where
    C: Fn(Request) -> F,
    F: Future<Output = Answer>,
    G: Held,
{
    pub(super) fn new(start: C) -> Self {
        Self { start, entries: VecDeque::new() }
    }

    /// Starts the work on a request.
    pub(super) fn start(&mut self, request: Request, held: G) {
        let (version, correlation_id) = (request.header.version, request.header.correlation_id);
        let work = Work::Running(Box::pin((self.start)(request)));
        self.entries.push_back(Entry { version, correlation_id, held, work });
    }

    /// Queues an answer that needs no work, in version 0.
    pub(super) fn answer(&mut self, correlation_id: i32, response: Response, held: G) {
        let work = Work::Done(Answer::Response(response));
        self.entries.push_back(Entry { version: 0, correlation_id, held, work });
    }

    /// Goes on with all work, in the order of the requests.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        for entry in &mut self.entries {
            if let Work::Running(work) = &mut entry.work
                && let Poll::Ready(answer) = work.as_mut().poll(cx)
            {
                entry.held.answered(&answer);
                entry.work = Work::Done(answer);
            }
        }
    }

    /// Takes out the requests at the front whose work is done.
    pub(super) fn take_finished(&mut self) -> Vec<Finished<G>> {
        let done = self.entries.iter().take_while(|entry| matches!(entry.work, Work::Done(_))).count();
        let done = self.entries.drain(..done);
        done.filter_map(|Entry { version, correlation_id, held, work }| match work {
            Work::Done(answer) => Some(Finished { version, correlation_id, answer, _held: held }),
            Work::Running(_) => None,
        })
        .collect()
    }
}
