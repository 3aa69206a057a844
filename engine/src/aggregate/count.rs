//! Counting.

use super::{Aggregate, Elements, ElementsView};

/// How many records there are.
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl<T: ?Sized> Aggregate<T> for Count {
    type State = u64;
    type Output = u64;

    fn create(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, count: &mut u64, _: &T, _: &mut Elements<'_>) {
        *count += 1;
    }

    fn merge(&self, count: &mut u64, other: &u64) {
        *count += other;
    }

    fn output(&self, count: &u64, _: ElementsView<'_>) -> u64 {
        *count
    }
}
