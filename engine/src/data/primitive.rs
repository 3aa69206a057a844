//! Scalars: they land as themselves or as their little-endian, unaligned counterpart.

use super::{ArchiveError, Data, Descriptor, Encode, Encoder, Primitive, Shape};
use rkyv::{Archive, Archived, Place, rend::unaligned, vec::ArchivedVec, vec::VecResolver};

macro_rules! encode_scalar {
    ($type:ty => $primitive:ident) => {
        impl Encode for $type {
            type Archived = Archived<$type>;
            type Resolver = ();
            const DESCRIPTOR: &'static Descriptor =
                &Descriptor::unnamed(size_of::<Self>(), Shape::Primitive(Primitive::$primitive));
            const FLAT: bool = true;

            #[inline]
            fn encode(&self, _: &mut Encoder<'_>) -> Result<(), ArchiveError> {
                Ok(())
            }

            #[inline]
            fn resolve(&self, (): (), out: Place<Self::Archived>) {
                Archive::resolve(self, (), out);
            }

            #[inline]
            fn encode_slice(values: &[Self], encoder: &mut Encoder<'_>) -> Result<VecResolver, ArchiveError> {
                ArchivedVec::<Self::Archived>::serialize_from_slice(values, encoder)
            }
        }
    };
}

/// Scalars that are their own archived form.
macro_rules! plain {
    ($($type:ty => $primitive:ident),* $(,)?) => {$(
        encode_scalar!($type => $primitive);

        impl Data for $type {
            #[inline]
            fn decode(archived: &Self) -> Self {
                *archived
            }
        }
    )*};
}

/// Scalars with a little-endian counterpart, which is `Data` too: `|b| (b.auction, b.price)` over a record read in
/// place makes a tuple of these.
macro_rules! little_endian {
    ($($type:ty, $archived:ident => $primitive:ident),* $(,)?) => {$(
        encode_scalar!($type => $primitive);

        impl Encode for unaligned::$archived {
            type Archived = Self;
            type Resolver = ();
            const DESCRIPTOR: &'static Descriptor = <$type as Encode>::DESCRIPTOR;
            const FLAT: bool = true;

            #[inline]
            fn encode(&self, _: &mut Encoder<'_>) -> Result<(), ArchiveError> {
                Ok(())
            }

            #[inline]
            fn resolve(&self, (): (), out: Place<Self>) {
                Archive::resolve(&self.to_native(), (), out);
            }
        }

        impl Data for $type {
            #[inline]
            fn decode(archived: &Self::Archived) -> Self {
                archived.to_native()
            }
        }

        impl Data for unaligned::$archived {
            #[inline]
            fn decode(archived: &Self) -> Self {
                *archived
            }
        }
    )*};
}

plain!(() => Unit, bool => Bool, u8 => U8, i8 => I8);
little_endian!(
    u16, u16_ule => U16,
    u32, u32_ule => U32,
    u64, u64_ule => U64,
    u128, u128_ule => U128,
    i16, i16_ule => I16,
    i32, i32_ule => I32,
    i64, i64_ule => I64,
    i128, i128_ule => I128,
    f32, f32_ule => F32,
    f64, f64_ule => F64,
    char, char_ule => Char,
);
