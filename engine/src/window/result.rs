//! What a window gives: key, span and value.

use crate::data::{ArchiveError, Archived, Data, Descriptor, Encode, Encoder, Field, Node, Shape};
use rkyv::{Place, Portable, bytecheck::CheckBytes, munge::munge, primitive::ArchivedI64};

/// The result of a window for one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Windowed<K, V> {
    /// The key.
    pub key: K,
    /// The window's first millisecond.
    pub start: i64,
    /// One past its last.
    pub end: i64,
    /// The aggregate.
    pub value: V,
}

/// The archived form of [`Windowed`], read in place.
#[derive(Portable, CheckBytes, Debug)]
#[rkyv(crate = rkyv)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedWindowed<K, V> {
    /// The archived form of `key`.
    pub key: K,
    /// The archived form of `start`.
    pub start: ArchivedI64,
    /// The archived form of `end`.
    pub end: ArchivedI64,
    /// The archived form of `value`.
    pub value: V,
}

macro_rules! encode {
    ($type:ident, $bound:ident, $archived:ty, $k:ty, $v:ty) => {
        impl<K: $bound, V: $bound> Encode for $type<K, V> {
            type Archived = $archived;
            type Resolver = ($k, $v);
            const DESCRIPTOR: &'static Descriptor = &Descriptor::named(
                "Windowed",
                1,
                size_of::<Self::Archived>(),
                Shape::Struct(Node::Static(Windowed::<K, V>::FIELDS)),
            );
            const FLAT: bool = K::FLAT && V::FLAT;

            fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, ArchiveError> {
                Ok((self.key.encode(encoder)?, self.value.encode(encoder)?))
            }

            fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
                munge!(let ArchivedWindowed { key, start, end, value } = out);
                self.key.resolve(resolver.0, key);
                self.start.resolve((), start);
                self.end.resolve((), end);
                self.value.resolve(resolver.1, value);
            }
        }
    };
}

encode!(Windowed, Encode, ArchivedWindowed<K::Archived, V::Archived>, K::Resolver, V::Resolver);
encode!(ArchivedWindowed, Archived, Self, K::Resolver, V::Resolver);

impl<K: Encode, V: Encode> Windowed<K, V> {
    const FIELDS: &'static [Field] = &[
        Field::new(
            "key",
            std::mem::offset_of!(ArchivedWindowed<K::Archived, V::Archived>, key),
            K::DESCRIPTOR,
        ),
        Field::new(
            "start",
            std::mem::offset_of!(ArchivedWindowed<K::Archived, V::Archived>, start),
            i64::DESCRIPTOR,
        ),
        Field::new(
            "end",
            std::mem::offset_of!(ArchivedWindowed<K::Archived, V::Archived>, end),
            i64::DESCRIPTOR,
        ),
        Field::new(
            "value",
            std::mem::offset_of!(ArchivedWindowed<K::Archived, V::Archived>, value),
            V::DESCRIPTOR,
        ),
    ];
}

impl<K: Data, V: Data> Data for Windowed<K, V> {
    fn decode(archived: &Self::Archived) -> Self {
        Self {
            key: K::decode(&archived.key),
            start: archived.start.to_native(),
            end: archived.end.to_native(),
            value: V::decode(&archived.value),
        }
    }
}
