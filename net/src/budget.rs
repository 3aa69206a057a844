//! Memory that may be in use at a time, handed out in order of asking.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

/// A number of bytes that the holders of [`Charge`]s share. Clones are the same budget.
#[derive(Clone, Debug)]
pub struct Budget(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: usize,
    free: Cell<usize>,
    /// Whoever waits, in order, so that a large wish is not passed over by small ones for ever.
    waiting: RefCell<VecDeque<Waiting>>,
    next_ticket: Cell<u64>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    waker: Waker,
}

/// Bytes taken out of a [`Budget`]; they go back when this drops.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A budget of `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Rc::new(Shared {
            capacity,
            free: Cell::new(capacity),
            waiting: RefCell::new(VecDeque::new()),
            next_ticket: Cell::new(0),
        }))
    }

    /// Bytes in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.0.capacity - self.0.free.get()
    }

    /// Takes `bytes` if they are free and nobody waits. More than the whole budget counts as the whole budget, so that
    /// one thing of any size can be had alone.
    #[must_use]
    pub fn try_charge(&self, bytes: usize) -> Option<Charge> {
        if self.0.waiting.borrow().is_empty() { self.take(bytes) } else { None }
    }

    /// Takes `bytes`, waiting for them behind whoever waits already.
    pub async fn charge(&self, bytes: usize) -> Charge {
        if let Some(charge) = self.try_charge(bytes) {
            return charge;
        }
        let place = Place { budget: self, ticket: self.0.next_ticket.get() };
        self.0.next_ticket.set(place.ticket + 1);
        poll_fn(|cx| {
            if place.is_first()
                && let Some(charge) = self.take(bytes)
            {
                return Poll::Ready(charge);
            }
            place.wait(cx.waker());
            Poll::Pending
        })
        .await
    }

    fn take(&self, bytes: usize) -> Option<Charge> {
        let bytes = bytes.min(self.0.capacity);
        self.0.free.set(self.0.free.get().checked_sub(bytes)?);
        Some(Charge { budget: self.clone(), bytes })
    }

    /// A charge of no bytes, which is to be had at any time.
    #[must_use]
    pub fn nothing(&self) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    fn wake_first(&self) {
        let first = self.0.waiting.borrow().front().map(|waiting| waiting.waker.clone());
        if let Some(waker) = first {
            waker.wake();
        }
    }
}

impl Charge {
    /// How many bytes it is.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes one of two charges of the same budget.
    ///
    /// # Panics
    /// If they are of different budgets.
    pub fn merge(&mut self, mut other: Self) {
        assert!(Rc::ptr_eq(&self.budget.0, &other.budget.0), "charges of one budget are merged");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Charge {
    /// Gives back what is above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(excess) = self.bytes.checked_sub(bytes).filter(|excess| *excess > 0) {
            self.bytes = bytes;
            let free = &self.budget.0.free;
            free.set(free.get() + excess);
            self.budget.wake_first();
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let free = &self.budget.0.free;
        free.set(free.get() + self.bytes);
        self.budget.wake_first();
    }
}

/// A place in the queue, given up when this drops.
struct Place<'a> {
    budget: &'a Budget,
    ticket: u64,
}

impl Place<'_> {
    fn is_first(&self) -> bool {
        self.budget.0.waiting.borrow().front().is_none_or(|first| first.ticket >= self.ticket)
    }

    fn wait(&self, waker: &Waker) {
        let mut queue = self.budget.0.waiting.borrow_mut();
        match queue.iter_mut().find(|waiting| waiting.ticket == self.ticket) {
            Some(waiting) => waiting.waker.clone_from(waker),
            None => queue.push_back(Waiting { ticket: self.ticket, waker: waker.clone() }),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.budget.0.waiting.borrow_mut().retain(|waiting| waiting.ticket != self.ticket);
        self.budget.wake_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, task::Context};

    #[test]
    fn charges_are_given_in_order_and_come_back() {
        let budget = Budget::new(100);
        let cx = &mut Context::from_waker(Waker::noop());
        let first = budget.try_charge(60).unwrap();
        let mut large = pin!(budget.charge(1000));
        let mut small = pin!(budget.charge(10));
        assert!(large.as_mut().poll(cx).is_pending());
        assert!(small.as_mut().poll(cx).is_pending(), "there is room, but another waits before it");
        assert!(budget.try_charge(1).is_none());
        drop(first);
        assert!(small.as_mut().poll(cx).is_pending());
        let Poll::Ready(whole) = large.as_mut().poll(cx) else { panic!("the budget is free") };
        assert_eq!(budget.in_use(), 100);
        assert!(small.as_mut().poll(cx).is_pending());
        drop(whole);
        assert!(small.as_mut().poll(cx).is_ready());
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn who_gives_up_waiting_holds_nobody_up() {
        let budget = Budget::new(10);
        let cx = &mut Context::from_waker(Waker::noop());
        let all = budget.try_charge(10).unwrap();
        let mut second = pin!(budget.charge(1));
        {
            let mut first = pin!(budget.charge(10));
            assert!(first.as_mut().poll(cx).is_pending());
            assert!(second.as_mut().poll(cx).is_pending());
        }
        drop(all);
        assert!(second.as_mut().poll(cx).is_ready());
    }
}
