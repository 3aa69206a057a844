//! The memory of requests, shared by all connections of a shard, so that a few peers cannot use it up.
//!
//! What a peer announces costs next to nothing: a large request is charged for piece by piece, as it comes. Small requests
//! have a share of their own, which large ones cannot take. Half-received requests could hold all there is and each wait for
//! more; then one of them at a time may overdraw, so that it is completed, answered and gone.

use crate::budget::{Budget, Charge};
use std::{future::poll_fn, pin::pin, task::Poll};

/// Small requests have one part in this many of all memory.
const SMALL_PART: usize = 4;

/// What a large request is charged when it is announced, and the least that it is received at a time, in bytes.
pub(super) const PIECE_MIN: usize = 64 << 10;

/// Memory for the requests in flight of many connections.
#[derive(Debug)]
pub(crate) struct Memory {
    small: Budget,
    large: Budget,
    /// The right to receive one large request beyond the budget.
    overdraft: Budget,
}

/// The bytes of a request in flight, held against its connection's budget and the common memory.
#[derive(Debug)]
pub(super) struct Charges {
    _own: Charge,
    common: Charge,
    overdraft: Option<Charge>,
}

impl Memory {
    pub(crate) fn new(capacity: usize) -> Self {
        let small = capacity / SMALL_PART;
        Self { small: Budget::new(small), large: Budget::new(capacity - small), overdraft: Budget::new(1) }
    }

    /// Bytes in use, an overdraft left out.
    pub(crate) fn in_use(&self) -> usize {
        self.small.in_use() + self.large.in_use()
    }

    /// Takes what a small request needs.
    pub(super) async fn charge_small(&self, own: &Budget, len: usize) -> Charges {
        // The connection's own comes first everywhere, so that nobody holds common memory while waiting for it.
        let own = own.charge(len).await;
        let common = match self.small.try_charge(len).or_else(|| self.large.try_charge(len)) {
            Some(common) => common,
            None => self.small.charge(len).await,
        };
        Charges { _own: own, common, overdraft: None }
    }

    /// Takes what a large request of `len` bytes begins with, if nobody has to be waited for.
    pub(super) fn try_begin_large(&self, own: &Budget, len: usize) -> Option<Charges> {
        let (own, common) = own.try_charge(len).zip(self.large.try_charge(PIECE_MIN))?;
        Some(Charges { _own: own, common, overdraft: None })
    }

    /// Takes what a large request of `len` bytes begins with.
    pub(super) async fn begin_large(&self, own: &Budget, len: usize) -> Charges {
        let own = own.charge(len).await;
        let (common, overdraft) = self.charge_or_overdraw(PIECE_MIN).await;
        Charges { _own: own, common, overdraft }
    }

    /// Takes what a large request needs to have `len` bytes.
    pub(super) async fn grow(&self, charges: &mut Charges, len: usize) {
        let missing = len.saturating_sub(charges.common.bytes());
        if charges.overdraft.is_none() && missing > 0 {
            let (more, overdraft) = self.charge_or_overdraw(missing).await;
            charges.common.merge(more);
            charges.overdraft = overdraft;
        }
    }

    async fn charge_or_overdraw(&self, len: usize) -> (Charge, Option<Charge>) {
        let mut charge = pin!(self.large.charge(len));
        let mut overdraw = pin!(self.overdraft.charge(1));
        poll_fn(|cx| {
            if let Poll::Ready(charge) = charge.as_mut().poll(cx) {
                return Poll::Ready((charge, None));
            }
            overdraw.as_mut().poll(cx).map(|overdraft| (self.large.nothing(), Some(overdraft)))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    fn ready<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Three pieces of large requests, and one for small ones.
    fn memory() -> (Memory, Budget) {
        (Memory::new(4 * PIECE_MIN), Budget::new(1 << 30))
    }

    #[test]
    fn an_announcement_costs_a_piece_and_leaves_room_for_small_requests() {
        let (memory, own) = memory();
        let held: Vec<_> = (0..).map_while(|_| memory.try_begin_large(&own, 100 << 20)).collect();
        assert_eq!(held.len(), 3);
        let small = ready(memory.charge_small(&own, PIECE_MIN)).unwrap();
        assert_eq!(memory.in_use(), 4 * PIECE_MIN);
        assert!(ready(memory.charge_small(&own, 1)).is_none());
        drop(held);
        assert!(ready(memory.charge_small(&own, 1)).is_some(), "small ones may have what nobody else needs");
        drop(small);
        assert_eq!(memory.in_use(), 0);
    }

    #[test]
    fn one_of_those_that_wait_for_each_other_may_overdraw() {
        let (memory, own) = memory();
        let mut held: Vec<_> = (0..).map_while(|_| memory.try_begin_large(&own, 100 << 20)).collect();
        ready(memory.grow(&mut held[0], PIECE_MIN)).expect("that much it has already");
        ready(memory.grow(&mut held[0], 2 * PIECE_MIN)).expect("it is the first");
        ready(memory.grow(&mut held[0], 90 << 20)).expect("it goes on until it is complete");
        assert!(ready(memory.grow(&mut held[1], 2 * PIECE_MIN)).is_none());
        assert!(ready(memory.begin_large(&own, 1 << 20)).is_none());
        held.remove(0);
        ready(memory.grow(&mut held[0], 2 * PIECE_MIN)).expect("the first has left its piece");
        ready(memory.grow(&mut held[1], 2 * PIECE_MIN)).expect("and its right");
        drop(held);
        assert_eq!(memory.in_use(), 0);
    }
}
