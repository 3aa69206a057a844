//! Segments.

pub(crate) mod header;
pub(crate) mod index;
pub(crate) mod marks;
pub(crate) mod walk;
