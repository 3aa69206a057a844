//! Kafka's primitive encodings: bounded reading out of a frame, writing into a frame that may contain shared bytes.
//!
//! Everything that a peer declares is a claim. [`Reader`] checks each length and count against the bytes that remain
//! before it acts on it, and a message's decoded form is held to [`DECODED_BYTES_MAX`]. [`Writer`] collects errors
//! (a text too long for its length field) and reports the first when the frame is finished, so that encoding a
//! message is a plain sequence of writes.

mod field;
mod reader;
mod record_set;
#[cfg(test)]
pub(crate) mod sample;
mod shared_str;
mod writer;

pub use field::{Field, Format};
pub use reader::{DECODED_BYTES_MAX, DecodeError, DecodeErrorKind, Reader, TAGGED_FIELDS_MAX};
pub use record_set::RecordSet;
pub use shared_str::SharedStr;
pub use writer::{COPY_BELOW, EncodeError, Writer};
