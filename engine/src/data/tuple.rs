//! Tuples of up to eight.

use super::{ArchiveError, Archived, Data, Descriptor, Encode, Encoder, Field, Node, Shape, encode::Landed};
use rkyv::{Archive, Place, Serialize, tuple::*};

macro_rules! tuple {
    ($archived:ident, $($t:ident $a:ident $index:tt),+) => {
        impl<$($t: Encode),+> Encode for ($($t,)+) {
            type Archived = $archived<$($t::Archived),+>;
            type Resolver = ($($t::Resolver,)+);
            const DESCRIPTOR: &'static Descriptor = &Descriptor::unnamed(
                size_of::<Self::Archived>(),
                Shape::Tuple(Node::Static(<($($t,)+) as Fields>::FIELDS)),
            );
            const FLAT: bool = true $(&& $t::FLAT)+;

            #[inline]
            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, ArchiveError> {
                ($(Landed(&self.$index),)+).serialize(encoder)
            }

            #[inline]
            fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
                Archive::resolve(&($(Landed(&self.$index),)+), resolver, out);
            }
        }

        impl<$($a: Archived),+> Encode for $archived<$($a),+> {
            type Archived = Self;
            type Resolver = ($($a::Resolver,)+);
            const DESCRIPTOR: &'static Descriptor = &Descriptor::unnamed(
                size_of::<Self::Archived>(),
                Shape::Tuple(Node::Static(<($($a,)+) as Fields>::FIELDS)),
            );
            const FLAT: bool = true $(&& $a::FLAT)+;

            #[inline]
            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, ArchiveError> {
                ($(Landed(&self.$index),)+).serialize(encoder)
            }

            #[inline]
            fn resolve(&self, resolver: Self::Resolver, out: Place<Self>) {
                Archive::resolve(&($(Landed(&self.$index),)+), resolver, out);
            }
        }

        impl<$($t: Encode),+> Fields for ($($t,)+) {
            const FIELDS: &'static [Field] = &[$(Field::new(
                stringify!($index),
                std::mem::offset_of!(<Self as Encode>::Archived, $index),
                $t::DESCRIPTOR,
            )),+];
        }

        impl<$($t: Data),+> Data for ($($t,)+) {
            fn decode(archived: &Self::Archived) -> Self {
                ($($t::decode(&archived.$index),)+)
            }
        }
    };
}

/// A place for a static slice that depends on type parameters.
trait Fields {
    const FIELDS: &'static [Field];
}

tuple!(ArchivedTuple1, A X 0);
tuple!(ArchivedTuple2, A X 0, B Y 1);
tuple!(ArchivedTuple3, A X 0, B Y 1, C Z 2);
tuple!(ArchivedTuple4, A X 0, B Y 1, C Z 2, D W 3);
tuple!(ArchivedTuple5, A X 0, B Y 1, C Z 2, D W 3, E V 4);
tuple!(ArchivedTuple6, A X 0, B Y 1, C Z 2, D W 3, E V 4, F U 5);
tuple!(ArchivedTuple7, A X 0, B Y 1, C Z 2, D W 3, E V 4, F U 5, G T 6);
tuple!(ArchivedTuple8, A X 0, B Y 1, C Z 2, D W 3, E V 4, F U 5, G T 6, H S 7);
