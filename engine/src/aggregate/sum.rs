//! Sums.

use super::{Aggregate, Elements, ElementsView, Number};
use crate::Data;
use rkyv::rend::unaligned;

/// A number that can be summed up: signed ones into `i64`, unsigned ones into `u64`, floats into `f64`.
pub trait Summand: Number {
    /// What the sum is.
    type Sum: Data + Copy + Default;

    /// Adds to a sum.
    ///
    /// # Panics
    /// If a whole number does not fit. A wrong sum would be worse than a failed job.
    fn add_to(self, sum: Self::Sum) -> Self::Sum;

    /// One sum added to another.
    ///
    /// # Panics
    /// As [`add_to`](Self::add_to).
    fn join(a: Self::Sum, b: Self::Sum) -> Self::Sum;

    /// The sum as a float.
    fn to_f64(sum: Self::Sum) -> f64;
}

macro_rules! summand {
    ($($sum:ident: $($type:ty),*);* $(;)?) => {$($(
        impl Summand for $type {
            type Sum = $sum;

            #[inline]
            fn add_to(self, sum: $sum) -> $sum {
                Self::join(sum, $sum::from(self.native()))
            }

            #[inline]
            fn join(a: $sum, b: $sum) -> $sum {
                a.checked_add(b).expect(concat!("a sum does not fit ", stringify!($sum)))
            }

            fn to_f64(sum: $sum) -> f64 {
                sum as f64
            }
        }
    )*)*};
}

summand!(
    i64: i8, i16, i32, i64, unaligned::i16_ule, unaligned::i32_ule, unaligned::i64_ule;
    u64: u8, u16, u32, u64, unaligned::u16_ule, unaligned::u32_ule, unaligned::u64_ule;
);

macro_rules! float {
    ($($type:ty),*) => {$(
        impl Summand for $type {
            type Sum = f64;

            #[inline]
            fn add_to(self, sum: f64) -> f64 {
                sum + f64::from(self.native())
            }

            #[inline]
            fn join(a: f64, b: f64) -> f64 {
                a + b
            }

            fn to_f64(sum: f64) -> f64 {
                sum
            }
        }
    )*};
}

float!(f32, f64, unaligned::f32_ule, unaligned::f64_ule);

/// The sum of a number. Sums of floats depend on the order of addition in their last bits.
#[derive(Clone, Copy, Debug)]
pub struct Sum<F>(pub F);

impl<T: ?Sized, N: Summand, F: Fn(&T) -> N + 'static> Aggregate<T> for Sum<F> {
    type State = N::Sum;
    type Output = N::Sum;

    fn create(&self) -> N::Sum {
        N::Sum::default()
    }

    #[inline]
    fn add(&self, sum: &mut N::Sum, item: &T, _: &mut Elements<'_>) {
        *sum = (self.0)(item).add_to(*sum);
    }

    fn merge(&self, sum: &mut N::Sum, other: &N::Sum) {
        *sum = N::join(*sum, *other);
    }

    fn output(&self, sum: &N::Sum, _: ElementsView<'_>) -> N::Sum {
        *sum
    }
}
