//! Segments.

pub(crate) mod header;
pub(crate) mod index;
