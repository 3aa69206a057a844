//! What derived code calls. Not for anybody else.

use super::{ArchiveError, Archived, Validator};
use rkyv::{
    Place,
    rancor::{ResultExt, Source},
};
use std::fmt;

/// The place of a field, `offset` bytes from the start of `out`.
///
/// # Safety
/// There is a field of type `F` at that offset, and no archived form needs alignment.
#[inline]
pub unsafe fn field<A: ?Sized, F>(out: Place<A>, offset: usize) -> Place<F> {
    // SAFETY: the offset is that of a field, so that the pointer stays within what `out` points to, all of which is
    // initialised.
    unsafe { Place::from_field_unchecked(out, out.ptr().cast::<u8>().add(offset).cast::<F>()) }
}

/// Checks the field `offset` bytes from `root`.
///
/// # Safety
/// As [`rkyv::bytecheck::CheckBytes::check_bytes`] for the field: its bytes are there.
#[inline]
pub unsafe fn check<F: Archived>(
    root: *const u8,
    offset: usize,
    context: &mut Validator<'_>,
    of: &'static str,
    name: &'static str,
) -> Result<(), ArchiveError> {
    // SAFETY: the caller's promise is the callee's; the offset is within the root.
    let checked = unsafe { F::check_bytes(root.add(offset).cast::<F>(), context) };
    checked.trace(InField { of, name })
}

/// The error of a tag byte that is none of an enum's.
#[cold]
#[must_use]
pub fn unknown_tag(of: &'static str, tag: u8) -> ArchiveError {
    ArchiveError::new(UnknownTag { of, tag })
}

#[derive(Debug)]
struct InField {
    of: &'static str,
    name: &'static str,
}

impl fmt::Display for InField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in field `{}` of `{}`", self.name, self.of)
    }
}

#[derive(Debug)]
struct UnknownTag {
    of: &'static str,
    tag: u8,
}

impl fmt::Display for UnknownTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` has no variant {}", self.of, self.tag)
    }
}

impl std::error::Error for UnknownTag {}
