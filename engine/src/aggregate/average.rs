//! Averages.

use super::{Aggregate, Elements, ElementsView, Summand};

/// The average of a number: exact sum by count, divided once.
#[derive(Clone, Copy, Debug)]
pub struct Average<F>(pub F);

impl<T: ?Sized, N: Summand, F: Fn(&T) -> N + 'static> Aggregate<T> for Average<F> {
    type State = (N::Sum, u64);
    type Output = f64;

    fn create(&self) -> Self::State {
        (N::Sum::default(), 0)
    }

    #[inline]
    fn add(&self, (sum, count): &mut Self::State, item: &T, _: &mut Elements<'_>) {
        *sum = (self.0)(item).add_to(*sum);
        *count += 1;
    }

    fn merge(&self, (sum, count): &mut Self::State, other: &Self::State) {
        *sum = N::join(*sum, other.0);
        *count += other.1;
    }

    fn output(&self, (sum, count): &Self::State, _: ElementsView<'_>) -> f64 {
        N::to_f64(*sum) / *count as f64
    }
}
