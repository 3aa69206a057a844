//! How a value is written as archived bytes, and how archived bytes become a reference.

use super::Descriptor;
use rkyv::{
    Archive, Place, Portable, Serialize,
    api::low::LowValidator,
    bytecheck::CheckBytes,
    rancor::{Error, Strategy},
    ser::{
        Serializer, WriterExt,
        allocator::{Arena, ArenaHandle},
    },
};
use std::fmt;

/// Why bytes are not a valid archived value, or a value has no archived form (a string of 1 GiB and more).
pub type ArchiveError = Error;

/// What a value writes itself into: the out-of-line parts first, its root last.
pub type Encoder<'a> = Strategy<Serializer<Vec<u8>, ArenaHandle<'a>, ()>, ArchiveError>;

/// The context in which [`access`] checks untrusted bytes.
pub type Validator<'a> = LowValidator<'a, ArchiveError>;

/// A value that lands as an archived value: owned values as their archived form, archived values as themselves.
///
/// The derive implements it for both; nobody else needs to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no archived form that Millrace knows",
    label = "cannot land at an exchange, table or typed topic",
    note = "a type at a source, exchange, table or sink needs `#[derive(Data)]`",
    note = "integers and floats of fixed width, bool, char, String, and Option, Vec, arrays and tuples have one already; \
            for `usize` use `u64`, for a map a `Vec` of pairs"
)]
pub trait Encode {
    /// What the bytes are read as.
    type Archived: Archived + Encode<Resolver = Self::Resolver>;
    /// Where the out-of-line parts were written.
    type Resolver;
    /// The archived form, described.
    const DESCRIPTOR: &'static Descriptor;
    /// Whether the archived form holds no relative pointer, so that its bytes may be copied and kept anywhere, and its
    /// size is fixed.
    const FLAT: bool;

    /// Writes the out-of-line parts.
    ///
    /// # Errors
    /// If a part is too long for its archived form.
    fn encode(&self, encoder: &mut Encoder<'_>) -> Result<Self::Resolver, ArchiveError>;

    /// Fills `out`, which is zeroed, with the root.
    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>);

    /// Writes the out-of-line parts of many values, and their roots one after the other; returns where these start.
    #[doc(hidden)]
    fn encode_slice(
        values: &[Self],
        encoder: &mut Encoder<'_>,
    ) -> Result<rkyv::vec::VecResolver, ArchiveError>
    where
        Self: Sized,
    {
        let values = values.iter().map(Landed);
        rkyv::vec::ArchivedVec::<Self::Archived>::serialize_from_iter::<Landed<'_, Self>, _, _>(
            values, encoder,
        )
    }
}

/// An archived form: read in place, checked where bytes come from strangers, and landing as itself.
pub trait Archived:
    Portable + for<'a> CheckBytes<Validator<'a>> + Encode<Archived = Self> + Sized + 'static
{
}

impl<A> Archived for A where
    A: Portable + for<'a> CheckBytes<Validator<'a>> + Encode<Archived = Self> + Sized + 'static
{
}

/// Lets rkyv's own containers hold our values.
pub(super) struct Landed<'a, T: ?Sized>(pub(super) &'a T);

impl<T: ?Sized> Clone for Landed<'_, T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<T: Encode + ?Sized> Archive for Landed<'_, T> {
    type Archived = T::Archived;
    type Resolver = T::Resolver;

    #[inline]
    fn resolve(&self, resolver: Self::Resolver, out: Place<Self::Archived>) {
        self.0.resolve(resolver, out);
    }
}

impl<'a, T: Encode + ?Sized> Serialize<Encoder<'a>> for Landed<'_, T> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'a>) -> Result<Self::Resolver, ArchiveError> {
        self.0.encode(encoder)
    }
}

/// Room for what an encoder must remember while it writes a sequence; kept between records, so that none is allocated.
#[derive(Default)]
pub struct Scratch(Arena);

impl Scratch {
    /// Empty scratch: the first sequence of nested values allocates.
    #[must_use]
    pub fn new() -> Self {
        Self(Arena::new())
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

/// Appends the archived form of `value` to `out`: its root is the last bytes written. Relative pointers stay within
/// what was appended, so that it may be copied elsewhere as a whole.
///
/// # Errors
/// If a part of `value` is too long for its archived form; `out` is then as it was.
#[inline]
pub fn write<T: Encode + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), ArchiveError> {
    let start = out.len();
    let mut encoder = Serializer::new(std::mem::take(out), scratch.0.acquire(), ());
    let written = append(value, Strategy::wrap(&mut encoder));
    *out = encoder.into_writer();
    if written.is_err() {
        out.truncate(start);
    }
    written
}

#[inline]
fn append<T: Encode + ?Sized>(value: &T, encoder: &mut Encoder<'_>) -> Result<(), ArchiveError> {
    let resolver = value.encode(encoder)?;
    // SAFETY: the resolver is that of `value`, and no archived form needs alignment (see the assertion in `data`).
    unsafe { encoder.resolve_aligned(&Landed(value), resolver)? };
    Ok(())
}

/// Reads archived bytes that somebody else wrote: every byte is checked first (measured at 11 to 19 ns a value with
/// strings). The root is the last `size_of::<A>()` bytes.
///
/// # Errors
/// If the bytes are not a valid `A`.
pub fn access<A: Archived>(bytes: &[u8]) -> Result<&A, ArchiveError> {
    rkyv::api::low::access::<A, ArchiveError>(bytes)
}

/// Reads archived bytes without a check.
///
/// # Safety
/// `bytes` were written by [`write()`] for a value whose archived form is `A`, or have passed [`access`] as `A`.
#[inline]
pub(crate) unsafe fn access_trusted<A: Archived>(bytes: &[u8]) -> &A {
    // SAFETY: the caller's promise is the callee's.
    unsafe { rkyv::access_unchecked::<A>(bytes) }
}
