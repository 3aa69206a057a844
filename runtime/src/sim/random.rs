//! The world's one source of randomness.

use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{Rng, SeedableRng},
};
use std::{cell::RefCell, ops::RangeInclusive, time::Duration};

/// Every choice of a world comes from here, in the order in which the choices are made: the seed decides all.
#[derive(Debug)]
pub(crate) struct Random(RefCell<Xoshiro256PlusPlus>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(RefCell::new(Xoshiro256PlusPlus::seed_from_u64(seed)))
    }

    pub(crate) fn next_u64(&self) -> u64 {
        self.0.borrow_mut().next_u64()
    }

    /// A number below `bound`, which is not zero. The bias of the multiplication (Lemire 2019, without the rejection)
    /// is below 2^-32 for the bounds used here.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        debug_assert!(bound > 0);
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// As [`Random::below`], for an index.
    pub(crate) fn index(&self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// True in `percent` of 100 cases. Draws even when the answer is certain, so that a changed percentage does not
    /// shift the choices that follow.
    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A delay out of `range`, in nanoseconds: mostly out of its lowest eighth, else out of the whole, since rare long
    /// delays are what reorders things that usually come in order.
    pub(crate) fn delay_ns(&self, range: &RangeInclusive<Duration>) -> u64 {
        let low = as_nanos(*range.start());
        let width = as_nanos(*range.end()).saturating_sub(low);
        let draw = self.next_u64();
        let width = if draw & 7 == 0 { width } else { width / 8 };
        low + ((u128::from(draw) * u128::from(width.saturating_add(1))) >> 64) as u64
    }
}

/// A span in nanoseconds, saturating at 584 years.
pub(crate) fn as_nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
