//! Exact percentiles.

use super::{Aggregate, Elements, ElementsView, Number};

/// The exact percentile of a number, by nearest rank: of n values in ascending order, that at rank ceil(percent / 100 * n).
#[derive(Clone, Copy, Debug)]
pub struct Percentile<F> {
    percent: f64,
    number: F,
}

impl<F> Percentile<F> {
    /// The percentile of what `number` gives of each record.
    ///
    /// # Panics
    /// If `percent` is not above 0 and at most 100.
    pub fn new(percent: f64, number: F) -> Self {
        assert!(percent > 0.0 && percent <= 100.0, "a percentile is above 0 and at most 100, not {percent}");
        Self { percent, number }
    }
}

/// The rank, from 1, of a percentile among `count` values.
fn rank(percent: f64, count: u64) -> u64 {
    // `percent * count` is exact for counts below 2^53 and percentages of few digits, where dividing first is not:
    // 0.95 * 20 is 19.000000000000000x, and its ceiling 20.
    let rank = (percent * count as f64 / 100.0).ceil() as u64;
    rank.clamp(1, count)
}

impl<T: ?Sized, N: Number, F: Fn(&T) -> N + 'static> Aggregate<T> for Percentile<F> {
    /// How many values there are.
    type State = u64;
    type Output = N::Native;
    const ELEMENTS: u8 = 1;

    fn create(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, count: &mut u64, item: &T, elements: &mut Elements<'_>) {
        *count += 1;
        elements.add(&(self.number)(item).native());
    }

    fn merge(&self, count: &mut u64, other: &u64) {
        *count += other;
    }

    fn output(&self, count: &u64, elements: ElementsView<'_>) -> N::Native {
        let mut left = rank(self.percent, *count);
        for (value, times) in elements.iter::<N::Native>() {
            if left <= times {
                return value;
            }
            left -= times;
        }
        unreachable!("the elements are as many as were counted")
    }
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn ranks_are_the_nearest() {
        for (percent, count, expected) in [
            (95.0, 1, 1),
            (95.0, 19, 19),
            (95.0, 20, 19),
            (95.0, 21, 20),
            (95.0, 100, 95),
            (50.0, 4, 2),
            (50.0, 5, 3),
            (100.0, 7, 7),
            (0.1, 999, 1),
            (0.1, 1001, 2),
            (99.9, 1000, 999),
        ] {
            assert_eq!(rank(percent, count), expected, "p{percent} of {count}");
        }
    }
}
