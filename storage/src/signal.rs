//! Waiting on a shard: one task tells others that something has changed.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Wakes everybody who waits. Who waits looks again at what it waits for.
#[derive(Default)]
pub(crate) struct Signal {
    rung: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// Lets everybody who waits look again.
    pub(crate) fn notify(&self) {
        self.rung.set(self.rung.get() + 1);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Ready at the first [`Signal::notify`] after this call.
    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait { signal: self, rung: self.rung.get() }
    }
}

/// See [`Signal::wait`].
pub(crate) struct Wait<'a> {
    signal: &'a Signal,
    rung: u64,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.signal.rung.get() != self.rung {
            return Poll::Ready(());
        }
        let mut waiting = self.signal.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Something that happens once.
#[derive(Default)]
pub(crate) struct Done {
    done: Cell<bool>,
    signal: Signal,
}

impl Done {
    pub(crate) fn finish(&self) {
        self.done.set(true);
        self.signal.notify();
    }

    pub(crate) async fn wait(&self) {
        while !self.done.get() {
            self.signal.wait().await;
        }
    }
}

/// A door that one may hold at a time; the others go in in the order in which they came.
#[derive(Default)]
pub(crate) struct Turnstile {
    held: Cell<bool>,
    queue: RefCell<VecDeque<Rc<Waiting>>>,
}

#[derive(Default)]
struct Waiting {
    admitted: Cell<bool>,
    gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Turnstile {
    /// Goes in if nobody is there and nobody waits.
    pub(crate) fn try_enter(&self) -> Option<Inside<'_>> {
        if self.held.replace(true) { None } else { Some(Inside(self)) }
    }

    /// Goes in when all who came before have left.
    pub(crate) fn enter(&self) -> Entering<'_> {
        if let Some(inside) = self.try_enter() {
            return Entering { door: self, place: None, inside: Some(inside) };
        }
        let place = Rc::new(Waiting::default());
        self.queue.borrow_mut().push_back(Rc::clone(&place));
        Entering { door: self, place: Some(place), inside: None }
    }

    /// Lets the next one in.
    fn pass_on(&self) {
        loop {
            let Some(next) = self.queue.borrow_mut().pop_front() else {
                self.held.set(false);
                return;
            };
            if !next.gone.get() {
                next.admitted.set(true);
                if let Some(waker) = next.waker.take() {
                    waker.wake();
                }
                return;
            }
        }
    }
}

impl fmt::Debug for Turnstile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turnstile({}, {} wait)", self.held.get(), self.queue.borrow().len())
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Done({})", self.done.get())
    }
}

/// Holds a [`Turnstile`] until it is dropped.
pub(crate) struct Inside<'a>(&'a Turnstile);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

/// See [`Turnstile::enter`]. Whoever drops it gives up the place.
pub(crate) struct Entering<'a> {
    door: &'a Turnstile,
    place: Option<Rc<Waiting>>,
    inside: Option<Inside<'a>>,
}

impl<'a> Future for Entering<'a> {
    type Output = Inside<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Inside<'a>> {
        if let Some(inside) = self.inside.take() {
            return Poll::Ready(inside);
        }
        let Some(place) = &self.place else { return Poll::Pending };
        if place.admitted.get() {
            self.place = None;
            return Poll::Ready(Inside(self.door));
        }
        *place.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            place.gone.set(true);
            if place.admitted.get() {
                self.door.pass_on();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_signal_counts_from_the_call_not_from_the_poll() {
        let signal = Signal::default();
        signal.notify();
        let mut early = pin!(signal.wait());
        assert!(poll(early.as_mut()).is_pending());
        let mut late = pin!(signal.wait());
        signal.notify();
        assert!(poll(early).is_ready());
        assert!(poll(late.as_mut()).is_ready());
    }

    #[test]
    fn a_turnstile_keeps_the_order() {
        let door = Turnstile::default();
        let first = door.try_enter().unwrap();
        assert!(door.try_enter().is_none());
        let mut second = pin!(door.enter());
        let mut third = pin!(door.enter());
        assert!(poll(third.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        drop(first);
        assert!(poll(third.as_mut()).is_pending());
        assert!(door.try_enter().is_none(), "a newcomer does not pass those who wait");
        let Poll::Ready(inside) = poll(second) else { panic!("admitted") };
        drop(inside);
        assert!(poll(third).is_ready());
    }

    #[test]
    fn who_gives_up_its_place_lets_the_next_in() {
        let door = Turnstile::default();
        let first = door.try_enter().unwrap();
        let waiting = door.enter();
        let admitted = door.enter();
        let mut last = pin!(door.enter());
        drop(waiting);
        drop(first);
        assert!(poll(last.as_mut()).is_pending());
        drop(admitted);
        assert!(poll(last).is_ready());
        assert!(door.try_enter().is_some());
    }
}
