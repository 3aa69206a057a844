//! The native backend: glommio's executor and a raw io_uring per shard.

// While files and sockets are being written.
#![allow(dead_code, unused_variables, clippy::todo)]

pub(crate) mod bell;
mod blocking;
pub(crate) mod driver;
pub(crate) mod executor;
mod fd;
pub(crate) mod file;
pub(crate) mod fs;
pub(crate) mod net;
mod operation;
mod parker;
pub(crate) mod random;
mod ring;
mod shard;
mod slab;
mod tasks;
pub(crate) mod time;
