//! Several aggregates at once: a tuple of aggregates gives a tuple of results.

use super::{Aggregate, Elements, ElementsView};

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        impl<T: ?Sized, $($name: Aggregate<T>),+> Aggregate<T> for ($($name,)+) {
            type State = ($($name::State,)+);
            type Output = ($($name::Output,)+);
            const ELEMENTS: u8 = 0 $(+ $name::ELEMENTS)+;

            fn create(&self) -> Self::State {
                ($(self.$index.create(),)+)
            }

            #[inline]
            fn add(&self, state: &mut Self::State, item: &T, elements: &mut Elements<'_>) {
                let mut sets = 0;
                $(
                    self.$index.add(&mut state.$index, item, &mut elements.behind(sets));
                    sets += $name::ELEMENTS;
                )+
                debug_assert_eq!(sets, Self::ELEMENTS);
            }

            fn merge(&self, state: &mut Self::State, other: &Self::State) {
                $(self.$index.merge(&mut state.$index, &other.$index);)+
            }

            fn output(&self, state: &Self::State, elements: ElementsView<'_>) -> Self::Output {
                let mut sets = 0;
                let output = ($({
                    let mine = elements.behind(sets);
                    sets += $name::ELEMENTS;
                    self.$index.output(&state.$index, mine)
                },)+);
                debug_assert_eq!(sets, Self::ELEMENTS);
                output
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
