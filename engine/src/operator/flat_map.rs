//! Any number of results for each record.

use super::{Operator, Push};

pub(crate) struct FlatMap<F>(pub(crate) F);

impl<T, I, F> Operator<T> for FlatMap<F>
where
    T: ?Sized,
    I: IntoIterator<Item: 'static>,
    F: Fn(&T) -> I + 'static,
{
    type Out = I::Item;

    #[inline]
    fn record<P: Push<I::Item>>(&mut self, timestamp: i64, item: &T, out: &mut P) {
        for result in (self.0)(item) {
            out.push(timestamp, &result);
        }
    }
}
