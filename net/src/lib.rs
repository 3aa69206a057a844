//! The wire: Kafka frames and one file per API, connections, listener, client.
//!
//! The codecs ([`wire`], [`kafka`], [`frame`]) are pure functions of bytes and do no I/O. [`connection`], [`listener`]
//! and [`client`] drive them over `millrace_runtime`'s streams.
//!
//! **Invariant**: record sets are opaque here. Whether a batch is sound is for `millrace_record` to say, called by
//! whoever handles a request. Nothing of what a peer declares becomes an allocation before its bytes are there.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod budget;
pub mod client;
pub mod connection;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod kafka;
pub mod listener;
mod signal;
#[cfg(test)]
mod testing;
pub mod wire;
