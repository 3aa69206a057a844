//! What may cross a stage, rest in a table or lie in a typed topic: a type with an archived form and a descriptor.
//!
//! [`derive(Data)`](crate::Data) gives a struct or enum both. The archived form is rkyv's, little-endian and
//! unaligned, so that a record is read where it lies: a field of `Bid` is a field of `ArchivedBid` at the same name,
//! integers become [`rend`](crate::rkyv::rend) types that compare and compute in place, `String` and `Vec` become
//! slices behind a relative pointer. The [`Descriptor`] says the same as data: fields, types, archived offsets and a
//! version. It travels with every changelog and typed topic; its [hash](Descriptor::hash) decides whether bytes may
//! be read in place, [`compatibility`](Descriptor::compatibility) whether they can be migrated.
//!
//! Two traits: [`Encode`] is what *lands* as an archived value, which owned values do and archived values do too (as
//! themselves, so that a record read in place crosses an exchange without being rebuilt); [`Data`] is an owned type
//! with a descriptor, which can also be read back.

mod compatibility;
#[doc(hidden)]
pub mod derive;
mod descriptor;
mod descriptor_codec;
mod encode;
mod option;
mod primitive;
mod sequence;
mod text;
mod tuple;

#[cfg(test)]
mod tests;

pub use compatibility::{Change, Compatibility, Incompatible};
pub use descriptor::{Descriptor, Field, Node, Primitive, Shape, Variant};
pub use descriptor_codec::DescriptorError;
pub use encode::{ArchiveError, Archived, Encode, Encoder, Scratch, Validator, access, write};
pub use millrace_engine_derive::Data;

pub(crate) use encode::access_trusted;

/// An owned type that has an archived form, a descriptor of it, and a way back.
///
/// Derive it: `#[derive(Data)]`. Implemented here for integers and floats of fixed width, `bool`, `char`, `()`,
/// `String`, and `Option`, `Vec`, arrays and tuples (up to eight) of `Data`. `usize` and `isize` have no fixed width
/// and are left out on purpose, as are maps, whose archived order would depend on a hasher.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not `Data`",
    label = "no descriptor, or no way back from its archived form",
    note = "a type at a source, exchange, table or sink needs `#[derive(Data)]`"
)]
pub trait Data: Encode + Sized + 'static {
    /// Reads the value back.
    fn decode(archived: &Self::Archived) -> Self;
}

// The project's formats are unaligned and little-endian. Another crate of the program that turns on rkyv's
// `big_endian` or `aligned` changes every rkyv type of the program: then this must not compile.
const _: () = {
    assert!(align_of::<rkyv::Archived<u64>>() == 1, "millrace needs rkyv with the feature `unaligned`");
    assert!(rkyv::Archived::<u16>::from_native(1).to_native() == 1);
    assert!(
        size_of::<rkyv::vec::ArchivedVec<u8>>() == 8,
        "millrace needs rkyv with 32-bit relative pointers"
    );
};
