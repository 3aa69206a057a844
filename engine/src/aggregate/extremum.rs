//! The smallest and the largest.

use super::{Aggregate, Elements, ElementsView, Number};

/// The smallest number. A NaN counts only where nothing else is.
#[derive(Clone, Copy, Debug)]
pub struct Min<F>(pub F);

/// The largest number. A NaN counts only where nothing else is.
#[derive(Clone, Copy, Debug)]
pub struct Max<F>(pub F);

/// Whether `new` takes the place of `old`: it is beyond it, or the first that is a number at all.
#[inline]
fn replaces<N: PartialOrd>(old: &N, new: &N, beyond: impl FnOnce(&N, &N) -> bool) -> bool {
    let is_nan = |n: &N| n.partial_cmp(n).is_none();
    beyond(new, old) || (is_nan(old) && !is_nan(new))
}

macro_rules! extremum {
    ($name:ident, $beyond:expr) => {
        impl<T: ?Sized, N: Number, F: Fn(&T) -> N + 'static> Aggregate<T> for $name<F> {
            type State = Option<N::Native>;
            type Output = N::Native;

            fn create(&self) -> Self::State {
                None
            }

            #[inline]
            fn add(&self, state: &mut Self::State, item: &T, _: &mut Elements<'_>) {
                let new = (self.0)(item).native();
                if state.as_ref().is_none_or(|old| replaces(old, &new, $beyond)) {
                    *state = Some(new);
                }
            }

            fn merge(&self, state: &mut Self::State, other: &Self::State) {
                if let Some(new) = *other
                    && state.as_ref().is_none_or(|old| replaces(old, &new, $beyond))
                {
                    *state = Some(new);
                }
            }

            fn output(&self, state: &Self::State, _: ElementsView<'_>) -> N::Native {
                state.expect("a pane exists since its first record")
            }
        }
    };
}

extremum!(Min, |new, old| new < old);
extremum!(Max, |new, old| new > old);
