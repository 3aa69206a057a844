//! Keeps the records that a predicate holds for.

use super::{Operator, Push};

pub(crate) struct Filter<F>(pub(crate) F);

impl<T: ?Sized, F: Fn(&T) -> bool + 'static> Operator<T> for Filter<F> {
    type Out = T;

    #[inline]
    fn record<P: Push<T>>(&mut self, timestamp: i64, item: &T, out: &mut P) {
        if (self.0)(item) {
            out.push(timestamp, item);
        }
    }
}
