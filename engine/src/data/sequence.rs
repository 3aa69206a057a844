//! Vectors, whose elements lie before the root, and arrays, whose elements lie in it.

use super::{ArchiveError, Archived, Data, Descriptor, Encode, Encoder, Node, Shape, encode::Landed};
use rkyv::{
    Archive, Place, Serialize,
    vec::{ArchivedVec, VecResolver},
};

macro_rules! encode_sequence {
    ($({$($generics:tt)*} $type:ty => $item:ty),* $(,)?) => {$(
        impl<$($generics)*> Encode for $type {
            type Archived = ArchivedVec<<$item as Encode>::Archived>;
            type Resolver = VecResolver;
            const DESCRIPTOR: &'static Descriptor = &Descriptor::unnamed(
                size_of::<Self::Archived>(),
                Shape::Vec(Node::Static(<$item as Encode>::DESCRIPTOR)),
            );
            const FLAT: bool = false;

            #[inline]
            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, ArchiveError> {
                <$item as Encode>::encode_slice(self, encoder)
            }

            #[inline]
            fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
                ArchivedVec::resolve_from_len(self.len(), resolver, out);
            }
        }
    )*};
}

encode_sequence!(
    {T: Encode} Vec<T> => T,
    {T: Encode} [T] => T,
    {A: Archived} ArchivedVec<A> => A,
);

impl<T: Data> Data for Vec<T> {
    fn decode(archived: &Self::Archived) -> Self {
        archived.iter().map(T::decode).collect()
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    type Archived = [T::Archived; N];
    type Resolver = [T::Resolver; N];
    const DESCRIPTOR: &'static Descriptor = &Descriptor::unnamed(
        size_of::<[T::Archived; N]>(),
        Shape::Array(Node::Static(T::DESCRIPTOR), N as u32),
    );
    const FLAT: bool = T::FLAT;

    #[inline]
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, ArchiveError> {
        self.each_ref().map(Landed).serialize(encoder)
    }

    #[inline]
    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        Archive::resolve(&self.each_ref().map(Landed), resolver, out);
    }
}

impl<T: Data, const N: usize> Data for [T; N] {
    fn decode(archived: &Self::Archived) -> Self {
        archived.each_ref().map(T::decode)
    }
}
