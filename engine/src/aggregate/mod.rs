//! Aggregates: what a window makes of the records of a key.

mod average;
mod count;
mod elements;
mod extremum;
mod number;
mod percentile;
mod sum;
mod tuple;

pub use average::Average;
pub use count::Count;
pub use elements::{Elements, ElementsView};
pub use extremum::{Max, Min};
pub use number::Number;
pub use percentile::Percentile;
pub use sum::{Sum, Summand};

use crate::Data;
use std::marker::PhantomData;

/// What a window makes of the records of a key.
///
/// Its state has a fixed size and lies in the table's entry, changed in place. An aggregate that must keep the records'
/// values (an exact percentile) keeps them in [`Elements`], one table entry for each distinct value, so that a record
/// costs one entry's delta however many came before.
///
/// Aggregates see records in no particular order; `output` must not depend on it.
pub trait Aggregate<T: ?Sized>: 'static {
    /// What is remembered of the records so far. Must be flat: no strings and vectors.
    type State: Data;
    /// What comes out.
    type Output;
    /// How many sets of [`Elements`] it uses.
    const ELEMENTS: u8 = 0;

    /// The state before the first record.
    fn create(&self) -> Self::State;

    /// Adds a record.
    fn add(&self, state: &mut Self::State, item: &T, elements: &mut Elements<'_>);

    /// Adds the records of another pane, whose elements are joined to these already.
    fn merge(&self, state: &mut Self::State, other: &Self::State);

    /// The result.
    fn output(&self, state: &Self::State, elements: ElementsView<'_>) -> Self::Output;
}

/// Makes aggregates of a stream's records, so that closures need no annotation:
/// `.aggregate_with(|of| (of.count(), of.average(|flight| flight.delay)))`.
#[derive(Debug)]
pub struct AggregatesOf<T: ?Sized>(PhantomData<fn(&T)>);

impl<T: ?Sized + 'static> AggregatesOf<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }

    /// How many records there are.
    #[must_use]
    pub const fn count(&self) -> Count {
        Count
    }

    /// The sum of a number.
    pub fn sum<N: Summand, F: Fn(&T) -> N + 'static>(&self, number: F) -> Sum<F> {
        Sum(number)
    }

    /// The average of a number.
    pub fn average<N: Summand, F: Fn(&T) -> N + 'static>(&self, number: F) -> Average<F> {
        Average(number)
    }

    /// The smallest number.
    pub fn min<N: Number, F: Fn(&T) -> N + 'static>(&self, number: F) -> Min<F> {
        Min(number)
    }

    /// The largest number.
    pub fn max<N: Number, F: Fn(&T) -> N + 'static>(&self, number: F) -> Max<F> {
        Max(number)
    }

    /// The exact percentile of a number, by nearest rank: the smallest value that at least `percent` of a hundred values do
    /// not exceed.
    ///
    /// # Panics
    /// If `percent` is not above 0 and at most 100.
    pub fn percentile<N: Number, F: Fn(&T) -> N + 'static>(&self, percent: f64, number: F) -> Percentile<F> {
        Percentile::new(percent, number)
    }
}
