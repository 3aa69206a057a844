//! Options: a tag byte, then the value or zeros.

use super::{ArchiveError, Archived, Data, Descriptor, Encode, Encoder, Node, Shape, encode::Landed};
use rkyv::{Archive, Place, Serialize, option::ArchivedOption};

impl<T: Encode> Encode for Option<T> {
    type Archived = ArchivedOption<T::Archived>;
    type Resolver = Option<T::Resolver>;
    const DESCRIPTOR: &'static Descriptor =
        &Descriptor::unnamed(size_of::<Self::Archived>(), Shape::Option(Node::Static(T::DESCRIPTOR)));
    const FLAT: bool = T::FLAT;

    #[inline]
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, ArchiveError> {
        self.as_ref().map(Landed).serialize(encoder)
    }

    #[inline]
    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        Archive::resolve(&self.as_ref().map(Landed), resolver, out);
    }
}

impl<A: Archived> Encode for ArchivedOption<A> {
    type Archived = Self;
    type Resolver = Option<A::Resolver>;
    const DESCRIPTOR: &'static Descriptor =
        &Descriptor::unnamed(size_of::<Self::Archived>(), Shape::Option(Node::Static(A::DESCRIPTOR)));
    const FLAT: bool = A::FLAT;

    #[inline]
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, ArchiveError> {
        self.as_ref().map(Landed).serialize(encoder)
    }

    #[inline]
    fn resolve(&self, resolver: Self::Resolver, out: Place<Self>) {
        Archive::resolve(&self.as_ref().map(Landed), resolver, out);
    }
}

impl<T: Data> Data for Option<T> {
    fn decode(archived: &Self::Archived) -> Self {
        match archived {
            ArchivedOption::None => None,
            ArchivedOption::Some(value) => Some(T::decode(value)),
        }
    }
}
