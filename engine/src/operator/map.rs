//! One result for each record: made, borrowed, or made with scratch space.

use super::{Operator, Push};
use crate::task::OpenContext;

/// The result is a new value.
pub(crate) struct Map<F>(pub(crate) F);

impl<T: ?Sized, O, F: Fn(&T) -> O + 'static> Operator<T> for Map<F>
where
    O: 'static,
{
    type Out = O;

    #[inline]
    fn record<P: Push<O>>(&mut self, timestamp: i64, item: &T, out: &mut P) {
        out.push(timestamp, &(self.0)(item));
    }
}

/// The result is a part of the record.
pub(crate) struct MapRef<F>(pub(crate) F);

impl<T: ?Sized, O: ?Sized + 'static, F: Fn(&T) -> &O + 'static> Operator<T> for MapRef<F> {
    type Out = O;

    #[inline]
    fn record<P: Push<O>>(&mut self, timestamp: i64, item: &T, out: &mut P) {
        out.push(timestamp, (self.0)(item));
    }
}

/// The result is made with scratch space that lives as long as the task, and may hold nothing that matters.
pub(crate) struct MapWith<N, S, F> {
    pub(crate) open: N,
    pub(crate) scratch: Option<S>,
    pub(crate) map: F,
}

impl<T, O, N, S, F> Operator<T> for MapWith<N, S, F>
where
    T: ?Sized,
    O: 'static,
    N: Fn() -> S + 'static,
    S: 'static,
    F: Fn(&mut S, &T) -> O + 'static,
{
    type Out = O;

    fn open(&mut self, _: &mut OpenContext<'_>) {
        self.scratch = Some((self.open)());
    }

    #[inline]
    fn record<P: Push<O>>(&mut self, timestamp: i64, item: &T, out: &mut P) {
        let scratch = self.scratch.get_or_insert_with(&self.open);
        out.push(timestamp, &(self.map)(scratch, item));
    }
}
